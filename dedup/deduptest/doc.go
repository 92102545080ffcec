// Package deduptest tests a dedup.Store: those of this module, and one of yours.
package deduptest
