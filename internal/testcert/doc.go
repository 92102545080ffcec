// Package testcert makes certificates for tests, on the spot: nothing is kept in the
// repository that could expire, or be taken for a secret.
package testcert
