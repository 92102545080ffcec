// Package testdb opens databases for tests: SQLite always, and PostgreSQL and MySQL where
// the environment names a server.
package testdb
