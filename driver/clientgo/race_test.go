//go:build race

package clientgo_test

const raceDetector = true
