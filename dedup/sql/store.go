package dedupsql

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/internal/dialect"
)

// Dialect is a kind of database.
type Dialect = dialect.Dialect

// Dialects.
const (
	SQLite     = dialect.SQLite     // 3.35 and later
	PostgreSQL = dialect.PostgreSQL // 9.5 and later
	MySQL      = dialect.MySQL      // 8.0 and later, MariaDB 10.6 and later
)

// DefaultTable is the table's name unless Table says otherwise.
const DefaultTable = "rocketkit_dedup"

const (
	maxKey      = 255 // bytes
	purgeEvery  = time.Second
	purgeAtOnce = 1000 // rows
)

// Store keeps a row for each key. Make it with New.
type Store struct {
	db      *sql.DB
	dialect Dialect
	table   string

	claim, complete, find, release, purge string // statements; MySQL's purge takes ids, of which over reads some
	over                                  string

	purged atomic.Int64 // when the last purge began, in ms
}

var _ dedup.Store = (*Store)(nil)

// Option sets something of a Store.
type Option func(*Store)

// Table names the table; DefaultTable by default. A schema may stand before it.
func Table(name string) Option { return func(s *Store) { s.table = name } }

// New makes a store of a table in db. All mistakes are reported, joined. It does not
// touch the database; db stays the caller's.
func New(db *sql.DB, d Dialect, opts ...Option) (*Store, error) {
	s := &Store{db: db, dialect: d, table: DefaultTable}
	for _, o := range opts {
		if o != nil {
			o(s)
		}
	}
	var errs []error
	if db == nil {
		errs = append(errs, errors.New("db is nil; open a database"))
	}
	if err := errors.Join(append(errs, d.Check(), dialect.CheckTable(s.table))...); err != nil {
		return nil, fmt.Errorf("dedupsql.New: %w", err)
	}
	s.prepare()
	return s, nil
}

// prepare writes the statements. A claim is taken by one upsert and then read, since
// what drivers say of affected rows differs.
func (s *Store) prepare() {
	insert := "INSERT INTO " + s.table + " (id, token, done, expires) VALUES (?, ?, ?, ?) "
	if s.dialect == MySQL {
		// MySQL assigns from left to right: expires, which decides, comes last.
		s.claim = insert + "ON DUPLICATE KEY UPDATE token = IF(expires <= ?, VALUES(token), token), done = IF(expires <= ?, 0, done), expires = IF(expires <= ?, VALUES(expires), expires)"
		s.complete = insert + "ON DUPLICATE KEY UPDATE token = VALUES(token), done = VALUES(done), expires = VALUES(expires)"
		// It locks what a statement looks at: claims have rows of their own, and so has this.
		s.over = "SELECT id FROM " + s.table + " WHERE expires <= ? LIMIT ?"
		s.purge = "DELETE s FROM " + s.table + " s FORCE INDEX (PRIMARY) WHERE s.expires <= ? AND s.id IN ("
	} else {
		set := "ON CONFLICT (id) DO UPDATE SET token = excluded.token, done = excluded.done, expires = excluded.expires"
		s.claim = insert + set + " WHERE " + s.bare() + ".expires <= ?"
		s.complete = insert + set
		lock := "" // a row that is claimed or completed at this moment stays
		if s.dialect == PostgreSQL {
			lock = " FOR UPDATE SKIP LOCKED"
		}
		s.purge = "DELETE FROM " + s.table + " WHERE id IN (SELECT id FROM " + s.table + " WHERE expires <= ? LIMIT ?" + lock + ")"
	}
	s.find = "SELECT token, done FROM " + s.table + " WHERE id = ?"
	s.release = "DELETE FROM " + s.table + " WHERE id = ? AND token = ? AND done = 0"
	for _, q := range []*string{&s.claim, &s.complete, &s.find, &s.release, &s.purge} {
		*q = s.dialect.Bind(*q)
	}
}

// bare is the table's name without its schema, as an upsert calls it.
func (s *Store) bare() string { return s.table[strings.LastIndexByte(s.table, '.')+1:] }

// Schema is the statements that make the table, for migrations of your own.
func (s *Store) Schema() []string {
	id := map[Dialect]string{SQLite: "TEXT", PostgreSQL: `VARCHAR(255) COLLATE "C"`, MySQL: "VARBINARY(255)"}[s.dialect]
	create := "CREATE TABLE IF NOT EXISTS " + s.table + " (id " + id + " NOT NULL PRIMARY KEY, token VARCHAR(32) NOT NULL, done SMALLINT NOT NULL, expires BIGINT NOT NULL"
	index := s.bare() + "_expires"
	if s.dialect == MySQL {
		return []string{create + ", INDEX " + index + " (expires))"}
	}
	return []string{create + ")", "CREATE INDEX IF NOT EXISTS " + index + " ON " + s.table + " (expires)"}
}

// CreateTable makes the table where there is none.
func (s *Store) CreateTable(ctx context.Context) error {
	for _, q := range s.Schema() {
		if _, err := s.db.ExecContext(ctx, q); err != nil {
			return fmt.Errorf("create table %s (%s): %w", s.table, s.dialect, err)
		}
	}
	return nil
}

// Claim implements dedup.Store.
func (s *Store) Claim(ctx context.Context, key string, lease time.Duration) (dedup.Claim, error) {
	if len(key) > maxKey {
		return dedup.Claim{}, fmt.Errorf("claim %.40q… in table %s: the key has %d bytes, at most %d; shorten it or take its hash", key, s.table, len(key), maxKey)
	}
	now := time.Now().UnixMilli()
	if err := s.purgeAtTimes(ctx, now); err != nil {
		return dedup.Claim{}, err
	}
	token := rand.Text()
	args := []any{key, token, 0, now + lease.Milliseconds(), now}
	if s.dialect == MySQL {
		args = append(args, now, now)
	}
	if _, err := s.db.ExecContext(ctx, s.claim, args...); err != nil {
		return dedup.Claim{}, fmt.Errorf("claim %q in table %s: %w", key, s.table, err)
	}
	var owner string
	var done bool
	switch err := s.db.QueryRowContext(ctx, s.find, key).Scan(&owner, &done); {
	case errors.Is(err, sql.ErrNoRows): // whoever had it has just given it back
		return dedup.Claim{Key: key}, nil
	case err != nil:
		return dedup.Claim{}, fmt.Errorf("claim %q in table %s: %w", key, s.table, err)
	case done:
		return dedup.Claim{Key: key, State: dedup.Done}, nil
	case owner != token:
		return dedup.Claim{Key: key}, nil
	}
	return dedup.Claim{Key: key, State: dedup.Claimed, Token: token}, nil
}

// Complete implements dedup.Store.
func (s *Store) Complete(ctx context.Context, c dedup.Claim, ttl time.Duration) error {
	if _, err := s.db.ExecContext(ctx, s.complete, c.Key, c.Token, 1, time.Now().Add(ttl).UnixMilli()); err != nil {
		return fmt.Errorf("complete %q in table %s: %w", c.Key, s.table, err)
	}
	return nil
}

// Release implements dedup.Store.
func (s *Store) Release(ctx context.Context, c dedup.Claim) error {
	if _, err := s.db.ExecContext(ctx, s.release, c.Key, c.Token); err != nil {
		return fmt.Errorf("release %q in table %s: %w", c.Key, s.table, err)
	}
	return nil
}

// purgeAtTimes deletes some of what is forgotten, now and then.
func (s *Store) purgeAtTimes(ctx context.Context, now int64) error {
	last := s.purged.Load()
	if now-last < purgeEvery.Milliseconds() || !s.purged.CompareAndSwap(last, now) {
		return nil
	}
	purge, args := s.purge, []any{now, purgeAtOnce}
	if s.dialect == MySQL {
		ids, err := s.overIDs(ctx, now)
		if err != nil {
			return fmt.Errorf("read what is over in table %s: %w", s.table, err)
		}
		if len(ids) == 0 {
			return nil
		}
		purge, args = purge+strings.Repeat("?, ", len(ids)-1)+"?)", append([]any{now}, ids...)
	}
	if _, err := s.db.ExecContext(ctx, purge, args...); err != nil {
		return fmt.Errorf("delete what is over from table %s: %w", s.table, err)
	}
	return nil
}

// overIDs reads some of what is forgotten, without a lock.
func (s *Store) overIDs(ctx context.Context, now int64) (ids []any, err error) {
	rows, err := s.db.QueryContext(ctx, s.over, now, purgeAtOnce)
	if err != nil {
		return nil, err
	}
	for rows.Next() {
		var id []byte
		if err := rows.Scan(&id); err != nil {
			return nil, errors.Join(err, rows.Close())
		}
		ids = append(ids, id)
	}
	return ids, errors.Join(rows.Err(), rows.Close())
}
