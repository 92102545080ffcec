package pop

import (
	"maps"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
)

// Revived is how many messages of each group became visible again because their time
// was up, since Open.
func (s *Service) Revived() map[meta.Consumption]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.revives)
}
