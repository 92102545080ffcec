package session

import "github.com/rocketkit/rocketkit/internal/protocol"

// Kind is what members of groups have in common.
type Kind struct {
	Group       string // of a consumer; producers are not told apart by it
	ConsumeType string // of a consumer
	Language    protocol.Language
	Version     int32 // MQVersion ordinal
}

// Tally counts the connections of producers and of consumers. One that is in several
// groups counts in each, as on Apache.
func (m *Manager) Tally() (producers, consumers map[Kind]int) {
	producers, consumers = map[Kind]int{}, map[Kind]int{}
	m.mu.RLock()
	defer m.mu.RUnlock()
	for _, g := range m.producers {
		for _, who := range g.members {
			producers[Kind{Language: who.Language, Version: who.Version}]++
		}
	}
	for name, g := range m.consumers {
		for _, who := range g.members {
			consumers[Kind{name, g.consumeType, who.Language, who.Version}]++
		}
	}
	return producers, consumers
}
