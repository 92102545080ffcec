package schedule

import (
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// load reads delayOffset.json, which may be Apache's.
func (s *Service) load() error {
	var file struct {
		Offsets map[string]int64     `json:"offsetTable"`
		Version protocol.DataVersion `json:"dataVersion"`
	}
	_, err := vfs.ReadFileValid(s.o.FS, s.o.Path, func(data []byte) error {
		return protocol.DecodeBody(data, &file)
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%s and its backup cannot be read; repair them, or move them away to deliver all delayed messages again: %w", s.o.Path, err)
	}
	for key, offset := range file.Offsets {
		n, err := strconv.Atoi(key)
		if err != nil || n < 1 {
			return fmt.Errorf("%s: offsetTable has the key %q, want a delay level", s.o.Path, key)
		}
		if n <= len(s.levels) {
			s.levels[n-1].offset = max(offset, 0)
		} else {
			s.o.Logger.Warn("messages may wait at a delay level that messageDelayLevel does not have", "level", n, "levels", len(s.levels))
		}
	}
	s.saves = file.Version.Counter
	return nil
}

// changed has the offsets saved soon. mu is held.
func (s *Service) changed() {
	if !s.dirty {
		s.dirty = true
		s.saver.Set(time.Now().Add(saveDelay))
	}
}

// save is the saver's ring.
func (s *Service) save(now time.Time) (next time.Time) {
	err := s.write()
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err == nil && s.faulty:
		s.o.Logger.Info("the offsets of the delay levels are saved again", "file", s.o.Path)
	case err != nil && !s.faulty:
		s.o.Logger.Error("the offsets of the delay levels are not saved; it is tried again until it works", "file", s.o.Path, "err", err)
	}
	s.faulty = err != nil
	if err != nil {
		return now.Add(saveDelay)
	}
	return time.Time{}
}

// write writes the file if an offset has changed. Only the saver calls it, and
// Close behind it.
func (s *Service) write() error {
	s.mu.Lock()
	if !s.dirty {
		s.mu.Unlock()
		return nil
	}
	s.dirty = false
	s.saves++
	data := s.encode()
	s.mu.Unlock()
	if err := vfs.WriteFileAtomic(s.o.FS, s.o.Path, data); err != nil {
		s.mu.Lock()
		s.dirty = true
		s.mu.Unlock()
		return fmt.Errorf("save the offsets of the delay levels: %w", err)
	}
	return nil
}

// encode writes the levels as bare numbers, as Apache does. mu is held.
func (s *Service) encode() []byte {
	b := fmt.Appendf(nil, `{"dataVersion":{"counter":%d,"stateVersion":0,"timestamp":%d},"offsetTable":{`, s.saves, time.Now().UnixMilli())
	for i, l := range s.levels {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, "%d:%d", i+1, l.offset)
	}
	return append(b, "}}\n"...)
}
