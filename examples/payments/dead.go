package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/message"
)

// deadPayment is a payment that failed for the last time.
type deadPayment struct {
	ID         string    `json:"msgId"`
	Tag        string    `json:"tag"`
	Keys       string    `json:"keys"`
	Body       string    `json:"body"`
	Deliveries int       `json:"deliveries"`
	Died       time.Time `json:"died"`
}

// onDead writes a dead letter down. Its group is pay_consumer_group_dlq.
//
//rocketmq:dlq
func (p *payService) onDead(ctx context.Context, d *message.Delivery) error {
	dead := deadPayment{
		ID: d.ID, Tag: d.Tag, Keys: strings.Join(d.Keys(), " "), Body: string(d.Body),
		Deliveries: d.ReconsumeTimes, Died: d.Stored(),
	}
	if err := p.db.addDead(ctx, dead); err != nil {
		return err
	}
	p.log.Warn("payment is dead; see /api/pay/dead", "id", dead.ID, "keys", dead.Keys, "deliveries", dead.Deliveries)
	return nil
}

// dead answers all dead payments, the latest first.
func (p *payService) dead(w http.ResponseWriter, r *http.Request) error {
	ds, err := p.db.allDead(r.Context())
	if err != nil {
		return err
	}
	writeJSON(w, http.StatusOK, ds)
	return nil
}

// addDead keeps a dead payment; one that is there already stays as it is.
func (db *database) addDead(ctx context.Context, d deadPayment) error {
	_, err := db.ExecContext(ctx, `INSERT INTO dead_payments (message_id, tag, keys, body, deliveries, died) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING`,
		d.ID, d.Tag, d.Keys, d.Body, d.Deliveries, d.Died.UnixMilli())
	if err != nil {
		return fmt.Errorf("keep dead payment %s: %w", d.ID, err)
	}
	return nil
}

func (db *database) allDead(ctx context.Context) (ds []deadPayment, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read dead payments: %w", err)
		}
	}()
	rows, err := db.QueryContext(ctx, `SELECT message_id, tag, keys, body, deliveries, died FROM dead_payments ORDER BY died DESC, message_id`)
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	ds = []deadPayment{} // "[]" in JSON
	for rows.Next() {
		var d deadPayment
		var died int64
		if err := rows.Scan(&d.ID, &d.Tag, &d.Keys, &d.Body, &d.Deliveries, &died); err != nil {
			return nil, err
		}
		d.Died = time.UnixMilli(died)
		ds = append(ds, d)
	}
	return ds, rows.Err()
}
