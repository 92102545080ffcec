//go:build !race

package brokerlite

const (
	crashSeedsByDefault = 3
	// crashOps is how many operations a workload has.
	crashOps = 60
)
