package pop

import "maps"

// Group is a group that consumes a topic.
type Group struct{ Topic, Group string }

// Revived is how many messages of each group became visible again because their time
// was up, since Open.
func (s *Service) Revived() map[Group]int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.revives)
}
