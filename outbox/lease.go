package outbox

import (
	"context"
	"crypto/rand"
	"database/sql"
	"fmt"
	"time"
)

// lease says which of a table's relays works. Its row has an owner and a number, the
// beat, which the owner raises. Whoever stands by takes it over when it has seen one beat
// for as long as the lease lasts: no clock is compared with another's. Its relay's loop
// owns it.
type lease struct {
	box      *Outbox
	db       *sql.DB
	lasts    time.Duration
	me       string
	until    time.Time // when it ends that is held; zero when it is not
	owner    string    // of others, as it was seen
	beat     int64
	unmoved  time.Time // since when it was seen so
	observed bool
}

func newLease(box *Outbox, db *sql.DB, lasts time.Duration) *lease {
	return &lease{box: box, db: db, lasts: lasts, me: rand.Text()}
}

// hold takes the lease, or keeps it when it is held; false: another relay works. Until it
// ends nobody else sends.
func (l *lease) hold(ctx context.Context) (held bool, err error) {
	began := time.Now()
	if !l.until.IsZero() {
		if began.Before(l.until.Add(-l.lasts * 2 / 3)) {
			return true, nil
		}
		l.until = time.Time{}
		if held, err = l.update(ctx, l.box.sql.beat, l.me); held {
			l.until = began.Add(l.lasts)
		}
		return held, err
	}
	var owner string
	var beat int64
	if err := l.db.QueryRowContext(ctx, l.box.sql.lease).Scan(&owner, &beat); err != nil {
		return false, fmt.Errorf("read the lease of outbox %s: %w", l.box.table, err)
	}
	if !l.observed || owner != l.owner || beat != l.beat {
		l.owner, l.beat, l.unmoved, l.observed = owner, beat, time.Now(), true
	}
	if owner != "" && owner != l.me && time.Since(l.unmoved) < l.lasts {
		return false, nil
	}
	if held, err = l.update(ctx, l.box.sql.takeLease, l.me, owner, beat); held {
		l.until = began.Add(l.lasts)
	}
	return held, err
}

// giveBack lets others take the lease at once.
func (l *lease) giveBack(ctx context.Context) error {
	if l.until.IsZero() {
		return nil
	}
	l.until = time.Time{}
	_, err := l.update(ctx, l.box.sql.returnLease, l.me)
	return err
}

func (l *lease) update(ctx context.Context, query string, args ...any) (done bool, err error) {
	r, err := l.db.ExecContext(ctx, query, args...)
	if err != nil {
		return false, fmt.Errorf("change the lease of outbox %s: %w", l.box.table, err)
	}
	n, err := r.RowsAffected()
	return n == 1, err
}
