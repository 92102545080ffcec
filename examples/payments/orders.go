package main

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"
)

// Statuses of an order. An unpaid one becomes paid or closed, whichever comes
// first, and stays that.
const (
	unpaid = "unpaid"
	paid   = "paid"
	closed = "closed"
)

// errNoOrder: there is no order with that id.
var errNoOrder = errors.New("no such order")

// order is one order.
type order struct {
	ID      string    `json:"id"`
	Status  string    `json:"status"`
	Created time.Time `json:"created"`
	Closes  time.Time `json:"closes"` // unless it is paid by then
}

func (db *database) addOrder(ctx context.Context, o order) error {
	_, err := db.ExecContext(ctx, `INSERT INTO orders (id, status, created, closes) VALUES (?, ?, ?, ?)`,
		o.ID, o.Status, o.Created.UnixMilli(), o.Closes.UnixMilli())
	if err != nil {
		return fmt.Errorf("add order %s: %w", o.ID, err)
	}
	return nil
}

// order returns an order; the error may be errNoOrder.
func (db *database) order(ctx context.Context, id string) (order, error) {
	o := order{ID: id}
	var created, closes int64
	err := db.QueryRowContext(ctx, `SELECT status, created, closes FROM orders WHERE id = ?`, id).Scan(&o.Status, &created, &closes)
	switch {
	case errors.Is(err, sql.ErrNoRows):
		return o, fmt.Errorf("order %q: %w", id, errNoOrder)
	case err != nil:
		return o, fmt.Errorf("order %q: %w", id, err)
	}
	o.Created, o.Closes = time.UnixMilli(created), time.UnixMilli(closes)
	return o, nil
}

// settle makes an unpaid order paid or closed, and returns the status that it has
// then: another one when somebody was first. Payments and time-outs may come at
// once and more than once, so one conditional UPDATE decides. The error may be
// errNoOrder.
func (db *database) settle(ctx context.Context, id, status string) (is string, changed bool, err error) {
	r, err := db.ExecContext(ctx, `UPDATE orders SET status = ? WHERE id = ? AND status = 'unpaid'`, status, id)
	if err != nil {
		return "", false, fmt.Errorf("make order %s %s: %w", id, status, err)
	}
	n, err := r.RowsAffected()
	if err != nil {
		return "", false, fmt.Errorf("make order %s %s: %w", id, status, err)
	}
	if n > 0 {
		return status, true, nil
	}
	o, err := db.order(ctx, id)
	return o.Status, false, err
}
