//go:build race

package brokerlite

// The race detector makes 60 operations cost a minute, since the broker recovers after
// each change of a file. Races need no long history.
const (
	crashSeedsByDefault = 1
	crashOps            = 20
)
