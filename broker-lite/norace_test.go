//go:build !race

package brokerlite

const crashSeedsByDefault = 3
