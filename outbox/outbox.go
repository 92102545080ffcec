package outbox

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"database/sql"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/internal/dialect"
	"github.com/rocketkit/rocketkit/message"
)

// Dialect is a kind of database.
type Dialect = dialect.Dialect

// Dialects.
const (
	SQLite     = dialect.SQLite     // 3.35 and later
	PostgreSQL = dialect.PostgreSQL // 10 and later
	MySQL      = dialect.MySQL      // 8.0 and later, MariaDB 10.6 and later
)

// DefaultTable is the table's name unless Table says otherwise.
const DefaultTable = "rocketkit_outbox"

// Outbox is a table of messages. Make it with New.
type Outbox struct {
	dialect Dialect
	table   string
	sql     statements
}

// Option sets something of an Outbox.
type Option func(*Outbox)

// Table names the table; DefaultTable by default. A schema may stand before it. A second
// one, for the lease, has the same name with _lease.
func Table(name string) Option { return func(o *Outbox) { o.table = name } }

// New makes an Outbox. All mistakes are reported, joined.
func New(d Dialect, opts ...Option) (*Outbox, error) {
	o := &Outbox{dialect: d, table: DefaultTable}
	for _, opt := range opts {
		if opt != nil {
			opt(o)
		}
	}
	if err := errors.Join(d.Check(), dialect.CheckTable(o.table)); err != nil {
		return nil, fmt.Errorf("outbox.New: %w", err)
	}
	o.prepare()
	return o, nil
}

// Execer is a *sql.Tx, and also a *sql.DB or *sql.Conn.
type Execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// Querier is a *sql.DB, *sql.Tx or *sql.Conn.
type Querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

// CreateTable makes the tables where there are none.
func (o *Outbox) CreateTable(ctx context.Context, db Execer) error {
	for _, q := range o.Schema() {
		if _, err := db.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("create outbox %s (%s): %w", o.table, o.dialect, err)
		}
	}
	return nil
}

// Add writes messages in the application's transaction: they are sent when it commits,
// in this order where they share a topic and sharding key. One that cannot travel is
// refused before any is written. The messages are copied. A Delay.After begins when the
// relay sends. Each gets a property dedup.IDProperty unless it has one.
func (o *Outbox) Add(ctx context.Context, tx Execer, messages ...*message.Message) error {
	rows := make([][]any, len(messages))
	var errs []error
	now := time.Now().UnixMilli()
	for i, m := range messages {
		if m == nil {
			errs = append(errs, fmt.Errorf("%w: message %d is nil", message.ErrInvalidMessage, i+1))
			continue
		}
		named := m.Clone()
		if named.Properties[dedup.IDProperty] == "" {
			if named.Properties == nil {
				named.Properties = make(map[string]string, 1)
			}
			named.Properties[dedup.IDProperty] = rand.Text()
		}
		if err := errors.Join(named.Validate(0), checkText(named)); err != nil {
			errs = append(errs, err)
			continue
		}
		text, err := json.Marshal(named)
		if err != nil { // a delay until the year 10000, for one
			errs = append(errs, fmt.Errorf("%w: topic %q: %w", message.ErrInvalidMessage, m.Topic, err))
			continue
		}
		rows[i] = []any{name(named.Properties[dedup.IDProperty]), m.Topic, lane(m), text, 0, now} // due at once, by whoever's clock
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("add to outbox %s: %w", o.table, err)
	}
	for _, row := range rows {
		if _, err := tx.ExecContext(ctx, o.sql.add, row...); err != nil {
			return fmt.Errorf("add to outbox %s (%s): %w", o.table, o.dialect, err)
		}
	}
	return nil
}

// checkText refuses what a row, which is JSON, would not keep as it is.
func checkText(m *message.Message) error {
	texts := append([]string{m.Tag, m.ShardingKey}, m.Keys...)
	for k, v := range m.Properties {
		texts = append(texts, k, v)
	}
	for _, s := range texts {
		if !utf8.ValidString(s) {
			return fmt.Errorf("%w: topic %q: %q is not UTF-8; encode it, or move it into the body", message.ErrInvalidMessage, m.Topic, s)
		}
	}
	return nil
}

// maxName is how much a column of names takes, in bytes.
const maxName = 255

// name is what every database takes for a text: itself or, when it is too long or has a
// zero byte, its hash.
func name(s string) string {
	if len(s) <= maxName && !strings.Contains(s, "\x00") {
		return s
	}
	sum := sha256.Sum256([]byte(s))
	return "#" + hex.EncodeToString(sum[:])
}

// lane is what a message is in order with: "" for nothing.
func lane(m *message.Message) string {
	if m.ShardingKey == "" {
		return ""
	}
	return name(m.Topic + "/" + m.ShardingKey)
}

// Parked is a message that was given up.
type Parked struct {
	ID       int64 // of the row
	Message  *message.Message
	Attempts int
	Err      string    // why
	Added    time.Time // by the clock of whoever added it
}

// Parked returns the first limit messages that were given up, in the order in which they
// were added.
func (o *Outbox) Parked(ctx context.Context, db Querier, limit int) (all []Parked, err error) {
	rows, err := db.QueryContext(ctx, o.sql.parked, limit)
	if err != nil {
		return nil, fmt.Errorf("read what is parked in outbox %s: %w", o.table, err)
	}
	defer func() {
		if closeErr := errors.Join(rows.Err(), rows.Close()); closeErr != nil && err == nil {
			all, err = nil, fmt.Errorf("read what is parked in outbox %s: %w", o.table, closeErr)
		}
	}()
	for rows.Next() {
		var p Parked
		var text []byte
		var added int64
		if err := rows.Scan(&p.ID, &text, &p.Attempts, &p.Err, &added); err != nil {
			return nil, fmt.Errorf("read what is parked in outbox %s: %w", o.table, err)
		}
		p.Added = time.UnixMilli(added)
		p.Message = new(message.Message)
		if err := json.Unmarshal(text, p.Message); err != nil {
			p.Message = nil // Err says so, too: it was parked for that
		}
		all = append(all, p)
	}
	return all, nil
}

// Unpark has messages sent that were given up, at once and with all their attempts again;
// without ids all of them. It returns how many there were.
func (o *Outbox) Unpark(ctx context.Context, db Execer, ids ...int64) (int64, error) {
	query, args := o.sql.unpark, []any(nil)
	if len(ids) > 0 {
		query += " AND id IN (" + marks(len(ids)) + ")"
		for _, id := range ids {
			args = append(args, id)
		}
	}
	r, err := db.ExecContext(ctx, o.dialect.Bind(query), args...)
	if err != nil {
		return 0, fmt.Errorf("unpark messages of outbox %s: %w", o.table, err)
	}
	return r.RowsAffected()
}
