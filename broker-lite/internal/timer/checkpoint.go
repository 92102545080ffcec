package timer

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// checkpoint is the file of that name; see the package's text.
type checkpoint struct {
	Filed int64 `json:"filed"`
	Seen  int64 `json:"seen"`
	At    int64 `json:"at"`
}

// load reads the checkpoint and finds the slot files.
func (s *Service) load() error {
	c := checkpoint{At: math.MinInt64}
	_, err := vfs.ReadFileValid(s.o.FS, s.checkpointPath(), func(data []byte) error { return json.Unmarshal(data, &c) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s and its backup cannot be read; move the directory away to deliver all timer messages again: %w", s.checkpointPath(), err)
	}
	// A power cut may have taken the end of the queue; what comes in its place is new.
	high := s.o.Store.MaxOffset(meta.TimerTopic, 0)
	s.saved = marker{seen: min(c.Seen, high), at: c.At}
	s.mark = s.saved
	s.next = min(c.Filed, high)
	s.filed = s.next
	s.loaded = math.MinInt64
	return s.slots.open()
}

// checkpoint makes the slot files durable and notes how far the service has come;
// then minutes that are over are removed.
func (s *Service) checkpoint() error {
	if s.mark == s.saved && s.next == s.filed {
		return nil
	}
	if err := s.slots.sync(); err != nil {
		return fmt.Errorf("sync the timer's slots: %w", err)
	}
	data, err := json.Marshal(checkpoint{Filed: s.next, Seen: s.mark.seen, At: s.mark.at})
	if err != nil {
		return fmt.Errorf("encode the timer's checkpoint: %w", err)
	}
	if err := vfs.WriteFileAtomic(s.o.FS, s.checkpointPath(), data); err != nil {
		return fmt.Errorf("save the timer's progress: %w", err)
	}
	s.saved, s.filed = s.mark, s.next
	return s.slots.removeUntil(s.mark.at)
}
