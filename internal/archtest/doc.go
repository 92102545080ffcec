// Package archtest holds the import rules of docs/design.md: who may know whom
// inside the module, and what a program that imports only the SDK must not link.
//
// It also holds the pages to the code: their Go compiles, their configurations load, the
// tests that they name exist, and every name of rocketmq-spring has its row.
package archtest
