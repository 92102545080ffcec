// Package dbserver starts PostgreSQL and MariaDB for a run of tests: the servers' own
// binaries, which Maven Central has in jars. They are kept in the user's cache directory,
// below rocketkit.
//
// A server listens on a Unix socket in a temporary directory with its data, flushes
// nothing to the disk, and ends with Stop, or with the process that started it: the next
// Start deletes the data then. PostgreSQL refuses to run as root: started by root it runs
// as nobody.
//
// MySQL's own server is in no package registry.
package dbserver
