// Package redeliver appends messages that the broker itself moves: delayed ones
// whose time has come, half messages that were committed, those that are checked
// again. It groups appends and waits for them, so that the caller knows what is
// stored before it notes how far it has come.
package redeliver
