//go:build race

package rocketkit_test

const raceDetector = true
