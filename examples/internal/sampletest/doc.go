// Package sampletest runs samples in tests.
package sampletest
