package session

import (
	"context"
	"log/slog"
)

// note is a line of log that is written when mu is free: a logger may take its time.
type note struct {
	level slog.Level
	text  string
	attrs []any
}

// note keeps a line for unlock. mu is held.
func (m *Manager) note(level slog.Level, text string, attrs ...any) {
	m.notes = append(m.notes, note{level, text, attrs})
}

// unlock ends a change.
func (m *Manager) unlock() {
	notes := m.notes
	m.notes = nil
	m.mu.Unlock()
	for _, n := range notes {
		m.logger.Log(context.Background(), n.level, n.text, n.attrs...)
	}
}
