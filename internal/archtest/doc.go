// Package archtest holds the import rules of docs/design.md: who may know whom
// inside the module, and what a program that imports only the SDK must not link.
package archtest
