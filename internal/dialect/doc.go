// Package dialect has what databases spell differently, for the packages over
// database/sql: dedup/sql and outbox.
package dialect
