package dedupsql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/dedup/deduptest"
	dedupsql "github.com/rocketkit/rocketkit/dedup/sql"
	"github.com/rocketkit/rocketkit/internal/testdb"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sqlite(t *testing.T) *sql.DB {
	t.Helper()
	return testdb.Use(t, "sqlite", testdb.SQLite(filepath.Join(t.TempDir(), "db")))
}

func made(t *testing.T, db *sql.DB, d dedupsql.Dialect, opts ...dedupsql.Option) *dedupsql.Store {
	t.Helper()
	s, err := dedupsql.New(db, d, opts...)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second finds it there
		if err := s.CreateTable(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	return s
}

func TestEveryDatabaseDoesWhatAStoreMust(t *testing.T) {
	t.Parallel()
	for _, d := range testdb.All() {
		t.Run(d.Dialect.String(), func(t *testing.T) {
			t.Parallel()
			deduptest.Run(t, deduptest.Subject{New: func(t *testing.T) dedup.Store { return made(t, d.Open(t), d.Dialect) }})
		})
	}
}

// What is forgotten is deleted by claims of others.
func TestWhatIsOverIsDeletedInEveryDatabase(t *testing.T) {
	t.Parallel()
	for _, d := range testdb.All() {
		t.Run(d.Dialect.String(), func(t *testing.T) {
			t.Parallel()
			overAndDeleted(t, d.Open(t), d.Dialect)
		})
	}
}

func overAndDeleted(t *testing.T, db *sql.DB, d dedupsql.Dialect) {
	t.Helper()
	s := made(t, db, d, dedupsql.Table("seen"))
	rows := func() (n int) {
		if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM seen").Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	for i := range 3 {
		if _, err := s.Claim(t.Context(), fmt.Sprint(i), time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	for i, deadline := 0, time.Now().Add(30*time.Second); rows() != 1; i++ {
		if time.Now().After(deadline) {
			t.Fatalf("%d rows are left", rows())
		}
		if _, err := s.Claim(t.Context(), "mine", time.Hour); err != nil {
			t.Fatal(err)
		}
		<-time.After(50 * time.Millisecond)
	}
}

// Members that claim, complete, give back and delete at the same time are in nobody's way.
func TestManyMembersAreInNobodysWay(t *testing.T) {
	t.Parallel()
	for _, d := range testdb.All() {
		t.Run(d.Dialect.String(), func(t *testing.T) {
			t.Parallel()
			db := d.Open(t)
			var members sync.WaitGroup
			for m := range 5 {
				s := made(t, db, d.Dialect)
				for worker := range 4 {
					members.Go(func() {
						for i := range 60 {
							key, lease := fmt.Sprintf("%d/%d/%d", m, worker, i), time.Hour
							if i%3 == 0 {
								key, lease = fmt.Sprint("everybody's ", i), time.Millisecond
							}
							c, err := s.Claim(t.Context(), key, lease)
							if err == nil && c.State == dedup.Claimed && i%2 == 0 {
								err = s.Complete(t.Context(), c, time.Millisecond)
							} else if err == nil && c.State == dedup.Claimed {
								err = s.Release(t.Context(), c)
							}
							if err != nil {
								t.Error(err)
								return
							}
						}
					})
				}
			}
			members.Wait()
		})
	}
}

// What is claimed again while it is being deleted stays.
func TestDeletionLeavesWhatIsClaimedAgain(t *testing.T) {
	t.Parallel()
	for _, d := range testdb.All() {
		if d.Dialect == dedupsql.SQLite {
			continue // which has one writer at a time
		}
		t.Run(d.Dialect.String(), func(t *testing.T) {
			t.Parallel()
			db := d.Open(t)
			if _, err := made(t, db, d.Dialect).Claim(t.Context(), "a", time.Millisecond); err != nil {
				t.Fatal(err)
			}
			<-time.After(5 * time.Millisecond)
			again, err := db.BeginTx(t.Context(), nil)
			if err == nil {
				_, err = again.ExecContext(t.Context(), fmt.Sprint("UPDATE rocketkit_dedup SET expires = ", time.Now().Add(time.Hour).UnixMilli()))
			}
			if err != nil {
				t.Fatal(err)
			}
			s, err := dedupsql.New(db, d.Dialect)
			if err != nil {
				t.Fatal(err)
			}
			deleted := make(chan error, 1)
			go func() {
				_, err := s.Claim(t.Context(), "b", time.Hour) // a store's first deletes
				deleted <- err
			}()
			select { // it waits for the transaction, or passes over its row
			case err := <-deleted:
				deleted <- err
			case <-time.After(200 * time.Millisecond):
			}
			if err := errors.Join(again.Commit(), <-deleted); err != nil {
				t.Fatal(err)
			}
			rows := 0
			if err := db.QueryRowContext(t.Context(), "SELECT count(*) FROM rocketkit_dedup WHERE id = 'a'").Scan(&rows); err != nil || rows != 1 {
				t.Errorf("%d rows are left of what was claimed again (%v)", rows, err)
			}
		})
	}
}

func TestEveryMistakeIsReported(t *testing.T) {
	t.Parallel()
	_, err := dedupsql.New(nil, 7, dedupsql.Table("a; DROP TABLE b"))
	for _, want := range []string{"db is nil", "Dialect(7) is not known", `table "a; DROP TABLE b"`} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %s", err, want)
		}
	}
	s, err := dedupsql.New(sqlite(t), dedupsql.SQLite)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Claim(t.Context(), strings.Repeat("x", 256), time.Hour); err == nil || !strings.Contains(err.Error(), "256 bytes, at most 255") {
		t.Error(err)
	}
	if _, err := s.Claim(t.Context(), "a", time.Hour); err == nil || !strings.Contains(err.Error(), "rocketkit_dedup") {
		t.Errorf("without a table: %v", err)
	}
}

func ExampleNew() {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		fmt.Println(err)
		return
	}
	defer db.Close()
	db.SetMaxOpenConns(1) // each connection would have a memory of its own
	store, err := dedupsql.New(db, dedupsql.SQLite)
	if err != nil {
		fmt.Println(err)
		return
	}
	ctx := context.Background()
	fmt.Println(store.CreateTable(ctx))
	c, err := store.Claim(ctx, "pay/payments/o1", time.Minute) // as consumer.Deduplicate(store) does
	fmt.Println(c.State, err)
	// Output:
	// <nil>
	// claimed <nil>
}
