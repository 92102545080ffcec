//go:build race

package brokerlite

// crashSeedsByDefault: the race detector makes each cost a minute.
const crashSeedsByDefault = 1
