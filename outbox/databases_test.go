package outbox_test

import (
	"crypto/rand"
	"database/sql"
	"os"
	"path/filepath"
	"strings"
	"testing"

	_ "github.com/go-sql-driver/mysql" // the driver
	_ "github.com/jackc/pgx/v5/stdlib" // the driver

	"github.com/rocketkit/rocketkit/outbox"
)

// Where these name a database, the tests run there too, in tables of their own.
const (
	postgresAt = "ROCKETKIT_POSTGRES" // such as postgres://user:password@localhost:5432/test
	mysqlAt    = "ROCKETKIT_MYSQL"    // such as user:password@tcp(localhost:3306)/test
)

// databases are the kinds that tests run on, each with a way to get an outbox of one's
// own.
func databases() map[string]func(*testing.T) (*sql.DB, *outbox.Outbox) {
	all := map[string]func(*testing.T) (*sql.DB, *outbox.Outbox){
		"SQLite": func(t *testing.T) (*sql.DB, *outbox.Outbox) {
			db, err := openSQLite(filepath.Join(t.TempDir(), "db"))
			return opened(t, db, err, outbox.SQLite)
		},
	}
	if dsn := os.Getenv(postgresAt); dsn != "" {
		all["PostgreSQL"] = func(t *testing.T) (*sql.DB, *outbox.Outbox) {
			schema := inServer(t, "pgx", dsn, "SCHEMA")
			db, err := sql.Open("pgx", dsn+map[bool]string{true: "&", false: "?"}[strings.Contains(dsn, "?")]+"search_path="+schema)
			return opened(t, db, err, outbox.PostgreSQL)
		}
	}
	if dsn := os.Getenv(mysqlAt); dsn != "" {
		all["MySQL"] = func(t *testing.T) (*sql.DB, *outbox.Outbox) {
			database := inServer(t, "mysql", dsn, "DATABASE")
			db, err := sql.Open("mysql", dsn[:strings.LastIndexByte(dsn, '/')+1]+database)
			return opened(t, db, err, outbox.MySQL)
		}
	}
	return all
}

func opened(t *testing.T, db *sql.DB, err error, d outbox.Dialect) (*sql.DB, *outbox.Outbox) {
	t.Helper()
	wants(t, err)
	box, err := outbox.New(d, outbox.Table("box"))
	wants(t, err)
	return db, box
}

// inServer makes a schema or database for the test.
func inServer(t *testing.T, driver, dsn, kind string) (name string) {
	t.Helper()
	db, err := sql.Open(driver, dsn)
	wants(t, err)
	name = "t" + strings.ToLower(rand.Text()[:12])
	_, err = db.ExecContext(t.Context(), "CREATE "+kind+" "+name)
	wants(t, err)
	t.Cleanup(func() {
		drop := "DROP " + kind + " " + name
		if kind == "SCHEMA" {
			drop += " CASCADE"
		}
		if _, err := db.Exec(drop); err != nil {
			t.Error(err)
		}
		if err := db.Close(); err != nil {
			t.Error(err)
		}
	})
	return name
}
