package meta

import (
	"encoding/json"
	"fmt"
	"maps"
	"sync"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Modes is the table of message request modes: how groups consume topics, for those
// that were told to (MessageRequestModeManager, 5.x).
type Modes struct {
	file *file

	mu    sync.RWMutex                                      // guards the following
	modes map[string]map[string]protocol.MessageRequestMode // by topic and group
}

func newModes() *Modes { return &Modes{modes: map[string]map[string]protocol.MessageRequestMode{}} }

// Get returns how a group consumes a topic, if it was told.
func (m *Modes) Get(topic, group string) (protocol.MessageRequestMode, bool) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	mode, ok := m.modes[topic][group]
	return mode, ok
}

// Set tells a group how to consume a topic.
func (m *Modes) Set(mode protocol.MessageRequestMode) {
	m.mu.Lock()
	groups := m.modes[mode.Topic]
	if groups == nil {
		groups = map[string]protocol.MessageRequestMode{}
		m.modes[mode.Topic] = groups
	}
	groups[mode.ConsumerGroup] = mode
	m.mu.Unlock()
	m.file.touch()
}

// Snapshot returns all modes.
func (m *Modes) Snapshot() protocol.MessageRequestModes {
	m.mu.RLock()
	defer m.mu.RUnlock()
	all := protocol.MessageRequestModes{Modes: map[string]map[string]protocol.MessageRequestMode{}}
	for topic, groups := range m.modes {
		all.Modes[topic] = maps.Clone(groups)
	}
	return all
}

func (m *Modes) open(f *file) error {
	m.file = f
	return f.load(func(data []byte) error {
		var v protocol.MessageRequestModes
		if err := protocol.DecodeBody(data, &v); err != nil {
			return err
		}
		if v.Modes != nil {
			m.modes = v.Modes
		}
		return nil
	})
}

func (m *Modes) encode() ([]byte, error) {
	data, err := json.MarshalIndent(m.Snapshot(), "", "\t")
	if err != nil {
		return nil, fmt.Errorf("encode message request modes: %w", err)
	}
	return data, nil
}
