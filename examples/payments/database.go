package main

import (
	"context"
	"database/sql"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver "sqlite", in Go
)

// schema of the database. Times are in ms since 1970.
const schema = `
CREATE TABLE IF NOT EXISTS orders (
	id      TEXT PRIMARY KEY,
	status  TEXT NOT NULL CHECK (status IN ('unpaid', 'paid', 'closed')),
	created INTEGER NOT NULL,
	closes  INTEGER NOT NULL
);
CREATE TABLE IF NOT EXISTS dead_payments (
	message_id TEXT PRIMARY KEY,
	tag        TEXT NOT NULL,
	keys       TEXT NOT NULL,
	body       TEXT NOT NULL,
	deliveries INTEGER NOT NULL,
	died       INTEGER NOT NULL
);`

// database is the SQLite file, which several processes may share.
type database struct{ *sql.DB }

// openDatabase opens the file and makes its tables. The returned function closes
// it.
func openDatabase(ctx context.Context, s settings, log *slog.Logger) (*database, func(), error) {
	if err := os.MkdirAll(filepath.Dir(s.DB), 0o755); err != nil {
		return nil, nil, fmt.Errorf("directory of the database (--db): %w", err)
	}
	// Several connections, perhaps of several processes: readers do not wait for a
	// writer (WAL), writers wait for each other (busy_timeout).
	dsn := url.URL{Scheme: "file", Opaque: url.PathEscape(s.DB), RawQuery: "_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)"}
	db, err := sql.Open("sqlite", dsn.String())
	if err != nil {
		return nil, nil, fmt.Errorf("open database %s: %w", s.DB, err)
	}
	if _, err := db.ExecContext(ctx, schema); err != nil {
		_ = db.Close() // nothing was written; the first error is the one to report
		return nil, nil, fmt.Errorf("database %s (--db): %w", s.DB, err)
	}
	end := func() {
		if err := db.Close(); err != nil {
			log.Error("closing the database", "error", err)
		}
	}
	return &database{db}, end, nil
}
