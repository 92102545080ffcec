package config

import (
	"slices"
	"strings"

	"github.com/rocketkit/rocketkit/internal/nearest"
)

// onlyApache reports whether name is a key of Apache RocketMQ that broker-lite
// has no use for.
func onlyApache(name string) bool {
	for known := range strings.FieldsSeq(apacheKeys) {
		if known == name {
			return true
		}
	}
	return false
}

// nearestKey is the known key that name means, "" for none; keys that broker-lite acts on
// win ties.
func nearestKey(name string) string {
	var names []string
	for _, k := range keys() {
		names = append(names, k.name)
	}
	return nearest.To(name, slices.AppendSeq(names, strings.FieldsSeq(apacheKeys)))
}
