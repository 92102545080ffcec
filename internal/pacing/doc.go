// Package pacing lets so many messages a second pass, at a rate that can change while
// others wait for their turn.
package pacing
