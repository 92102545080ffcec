//go:build race

package clientgo

// RaceDetector says that the test binary looks for races.
const RaceDetector = true
