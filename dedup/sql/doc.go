// Package dedupsql is a dedup.Store in a database, for all members of a group, over
// database/sql with any driver for SQLite, PostgreSQL or MySQL.
//
//	store, err := dedupsql.New(db, dedupsql.PostgreSQL)
//	err = store.CreateTable(ctx)
//
// A message costs three statements of one row each. Times are the members' own: their
// clocks should agree within seconds. What is forgotten is deleted on the way, up to a
// thousand rows a second.
//
// Tests run on SQLite and, in CI, on PostgreSQL 17.2 and, for the dialect MySQL, on MariaDB
// 11.4.5. MySQL's own server was not tried.
package dedupsql
