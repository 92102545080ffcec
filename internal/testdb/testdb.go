package testdb

import (
	"crypto/rand"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver
	_ "github.com/jackc/pgx/v5/stdlib" // the driver
	_ "modernc.org/sqlite"             // the driver

	"github.com/rocketkit/rocketkit/internal/dbserver"
	"github.com/rocketkit/rocketkit/internal/dialect"
)

// Database is a kind of database.
type Database struct {
	Dialect dialect.Dialect
	// Open makes an empty database, or a schema, of the test's own.
	Open func(t *testing.T) *sql.DB
}

// All are the kinds that tests run on. A test is left out that opens one for which the
// environment names no server.
func All() []Database {
	return []Database{
		{dialect.SQLite, func(t *testing.T) *sql.DB { return Use(t, "sqlite", SQLite(filepath.Join(t.TempDir(), "db"))) }},
		{dialect.PostgreSQL, func(t *testing.T) *sql.DB {
			dsn := named(t, dbserver.PostgresAt)
			name := made(t, "pgx", dsn, "SCHEMA", " CASCADE")
			separator := "?"
			if strings.Contains(dsn, "?") {
				separator = "&"
			}
			return Use(t, "pgx", dsn+separator+"search_path="+name)
		}},
		{dialect.MySQL, func(t *testing.T) *sql.DB {
			dsn := named(t, dbserver.MySQLAt)
			return Use(t, "mysql", dsn[:strings.LastIndexByte(dsn, '/')+1]+made(t, "mysql", dsn, "DATABASE", ""))
		}},
	}
}

// named is where a server is.
func named(t *testing.T, variable string) string {
	t.Helper()
	dsn := os.Getenv(variable)
	if dsn == "" {
		t.Skip(dbserver.LeftOut(variable))
	}
	return dsn
}

// SQLite names a database in a file to the driver "sqlite".
func SQLite(file string) string {
	return "file:" + filepath.ToSlash(file) + "?_pragma=busy_timeout(10000)&_pragma=journal_mode(WAL)&_pragma=synchronous(OFF)&_txlock=immediate"
}

// Use opens a database and closes it with the test.
func Use(t *testing.T, driver, dsn string) *sql.DB {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return db
}

// made makes a schema or database in a server, and drops it with the test.
func made(t *testing.T, driver, dsn, kind, drop string) (name string) {
	t.Helper()
	db := Use(t, driver, dsn)
	name = "t" + strings.ToLower(rand.Text()[:12])
	if _, err := db.ExecContext(t.Context(), "CREATE "+kind+" "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if _, err := db.Exec("DROP " + kind + " " + name + drop); err != nil {
			t.Error(err)
		}
	})
	return name
}
