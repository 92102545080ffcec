package namesrv

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
	"github.com/rocketkit/rocketkit/broker-lite/internal/config"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// orderNamespace holds the ordered topics, as "broker-a:4;broker-b:4" by topic.
const orderNamespace = "ORDER_TOPIC_CONFIG"

// maxKVBytes bounds what the name server keeps for its clients.
const maxKVBytes = 8 << 20

// maxWaiting bounds the changes that wait for the disk.
const maxWaiting = 1000

var errBusy = errors.New("too many changes wait for the disk; try again")

// The keys of NamesrvConfig that can change at run time, with Apache's defaults.
const (
	keyAllTopicList  = "enableAllTopicList"             // code 206 is answered
	keyTopicList     = "enableTopicList"                // codes 224 and 311 to 313 are
	keyOrderMessages = "orderMessageEnable"             // routes tell of ordered topics
	keyOrderToBroker = "returnOrderTopicConfigToBroker" // answers to code 103 do
)

// settings are what operators have set: keys and values by name space, and the
// name server's own configuration. Both are written before a change is answered.
type settings struct {
	fs    vfs.FS // nil keeps nothing
	dir   string
	saver *alarm.Alarm // its goroutine is the only writer of the files

	mu      sync.Mutex // guards the following
	kv      map[string]map[string]string
	flags   map[string]bool
	waiting []func(error) // what is to be told when the files are written
}

// openSettings reads the files, if there are any.
func openSettings(fsys vfs.FS, dir string) (*settings, error) {
	s := &settings{
		fs: fsys, dir: dir, kv: map[string]map[string]string{},
		flags: map[string]bool{keyAllTopicList: true, keyTopicList: true, keyOrderMessages: false, keyOrderToBroker: true},
	}
	if fsys != nil {
		if err := errors.Join(s.load("kvConfig.json", s.loadKV), s.load("namesrv.properties", s.loadFlags)); err != nil {
			return nil, err
		}
	}
	s.saver = alarm.Start(0, s.save)
	return s, nil
}

func (s *settings) load(name string, decode func([]byte) error) error {
	_, err := vfs.ReadFileValid(s.fs, filepath.Join(s.dir, name), decode)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s and its backup cannot be read; repair them, or move them away to start without: %w", filepath.Join(s.dir, name), err)
	}
	return nil
}

// kvFile is kvConfig.json, as KVConfigSerializeWrapper has it.
type kvFile struct {
	Table map[string]map[string]string `json:"configTable"`
}

func (s *settings) loadKV(data []byte) error {
	var v kvFile
	if err := protocol.DecodeBody(data, &v); err != nil {
		return err
	}
	if v.Table != nil {
		s.kv = v.Table
	}
	return nil
}

func (s *settings) loadFlags(data []byte) error {
	props, errs := config.ParseProperties(string(data))
	for _, p := range props {
		v, err := strconv.ParseBool(p.Value)
		if _, known := s.flags[p.Key]; !known || err != nil {
			errs = append(errs, fmt.Errorf("line %d: %s=%s is no setting", p.Line, p.Key, p.Value))
			continue
		}
		s.flags[p.Key] = v
	}
	return errors.Join(errs...)
}

func (s *settings) close() { s.saver.Stop() }

// change makes a change and has done called, on another goroutine, when it is
// durable or could not be made so. An error of f means that nothing has changed.
func (s *settings) change(f func() error, done func(error)) error {
	s.mu.Lock()
	err := errBusy
	if len(s.waiting) < maxWaiting {
		err = f()
	}
	if err == nil {
		s.waiting = append(s.waiting, done)
	}
	s.mu.Unlock()
	if err == nil {
		s.saver.Set(time.Now())
	}
	return err
}

// save is the saver's.
func (s *settings) save(time.Time) time.Time {
	s.mu.Lock()
	waiting := s.waiting
	s.waiting = nil
	kv, err := json.MarshalIndent(kvFile{s.kv}, "", "\t")
	var flags strings.Builder
	for _, name := range slices.Sorted(maps.Keys(s.flags)) {
		fmt.Fprintf(&flags, "%s=%t\n", name, s.flags[name])
	}
	s.mu.Unlock()
	if len(waiting) == 0 {
		return time.Time{}
	}
	if err == nil && s.fs != nil {
		if err = vfs.MkdirAllSync(s.fs, s.dir, 0o755); err == nil {
			err = errors.Join(
				vfs.WriteFileAtomic(s.fs, filepath.Join(s.dir, "kvConfig.json"), kv),
				vfs.WriteFileAtomic(s.fs, filepath.Join(s.dir, "namesrv.properties"), []byte(flags.String())))
		}
	}
	for _, done := range waiting {
		done(err)
	}
	return time.Time{}
}

// put sets a value. It is for change.
func (s *settings) put(namespace, key, value string) func() error {
	return func() error {
		more := len(namespace) + len(key) + len(value)
		size := more
		for ns, kv := range s.kv {
			for k, v := range kv {
				size += len(ns) + len(k) + len(v)
			}
		}
		if size > maxKVBytes {
			return fmt.Errorf("the name server keeps %d bytes of keys and values at most; delete some", maxKVBytes)
		}
		if s.kv[namespace] == nil {
			s.kv[namespace] = map[string]string{}
		}
		s.kv[namespace][key] = value
		return nil
	}
}

// remove takes a value out. It is for change.
func (s *settings) remove(namespace, key string) func() error {
	return func() error {
		delete(s.kv[namespace], key)
		return nil
	}
}

// get returns a value.
func (s *settings) get(namespace, key string) (value string, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	value, ok = s.kv[namespace][key]
	return value, ok
}

// list returns a name space, nil when there is none.
func (s *settings) list(namespace string) map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.kv[namespace])
}

// is returns a flag.
func (s *settings) is(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.flags[key]
}

// all returns the flags as text.
func (s *settings) all() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	text := map[string]string{}
	for name, v := range s.flags {
		text[name] = strconv.FormatBool(v)
	}
	return text
}

// set sets flags, all or none. It is for change.
func (s *settings) set(props []config.Property) func() error {
	return func() error {
		flags := maps.Clone(s.flags)
		for _, p := range props {
			v, err := strconv.ParseBool(p.Value)
			switch _, known := flags[p.Key]; {
			case !known:
				return fmt.Errorf("%s cannot be changed while the name server runs; what can: %s", p.Key, strings.Join(slices.Sorted(maps.Keys(flags)), ", "))
			case err != nil:
				return fmt.Errorf("%s=%s: want true or false", p.Key, p.Value)
			}
			flags[p.Key] = v
		}
		s.flags = flags
		return nil
	}
}
