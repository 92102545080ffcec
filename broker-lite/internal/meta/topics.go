package meta

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// ErrNoTopic: the topic does not exist and is not made by sending to it. The
// broker answers TOPIC_NOT_EXIST.
var ErrNoTopic = errors.New("topic does not exist")

// Queue counts.
const (
	// DLQQueueNums of a group's dead letter topic.
	DLQQueueNums = 1

	// maxQueueNums bounds what a request may ask for.
	maxQueueNums = 1 << 16
)

// scheduleQueueNums is how many queues Apache's schedule topic has.
const scheduleQueueNums = 18

// Topics is the table of topics.
type Topics struct {
	options Options // mu guards AutoCreateTopic
	logger  *slog.Logger
	file    *file

	mu      sync.RWMutex // guards the following
	configs map[string]protocol.TopicConfig
	version protocol.DataVersion
	recent  recent
	adopted map[string]bool // true: made by Adopt; false: deleted, so that Adopt leaves it alone
}

func newTopics(o Options) *Topics {
	return &Topics{
		options: o, logger: o.Logger,
		configs: map[string]protocol.TopicConfig{},
		version: protocol.DataVersion{Timestamp: time.Now().UnixMilli()},
		adopted: map[string]bool{},
	}
}

// Get returns a topic. Its Attributes must not be changed.
func (t *Topics) Get(topic string) (protocol.TopicConfig, bool) {
	t.mu.RLock()
	defer t.mu.RUnlock()
	c, ok := t.configs[topic]
	return c, ok
}

// Snapshot returns all topics with their data version: what a broker registers.
func (t *Topics) Snapshot() protocol.TopicConfigTable {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return protocol.TopicConfigTable{DataVersion: t.version, Configs: maps.Clone(t.configs)}
}

// Names returns the topics' names, sorted.
func (t *Topics) Names() []string {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return slices.Sorted(maps.Keys(t.configs))
}

// IsSystem reports whether a topic is RocketMQ's own and cannot be made or
// deleted by hand.
func (t *Topics) IsSystem(topic string) bool {
	switch topic {
	case t.options.ClusterName, t.options.BrokerName, t.options.ClusterName + replySuffix:
		return true
	case t.options.TraceTopicName:
		return topic != ""
	}
	return systemTopic(topic)
}

// CreateForSend returns the topic that a message is sent to and, when there is
// none, makes it as createTopicInSendMessageMethod does: like defaultTopic
// (TBW102), if that may be inherited from, with as many queues as the client
// wants but no more than defaultTopic has. A %RETRY% topic is made in any case.
// The error wraps ErrNoTopic.
func (t *Topics) CreateForSend(topic, defaultTopic string, clientQueueNums, sysFlag int32) (protocol.TopicConfig, error) {
	if c, ok := t.Get(topic); ok {
		return c, nil
	}
	c, made, err := t.inherit(topic, defaultTopic, clientQueueNums, sysFlag)
	switch {
	case err == nil:
	case strings.HasPrefix(topic, RetryPrefix):
		return t.CreateForSendBack(topic, 1, protocol.PermRead|protocol.PermWrite, false, sysFlag), nil
	default:
		return protocol.TopicConfig{}, err
	}
	if made {
		t.changed("topic made by a message", c)
	}
	return c, nil
}

func (t *Topics) inherit(topic, defaultTopic string, clientQueueNums, sysFlag int32) (c protocol.TopicConfig, made bool, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if c, ok := t.configs[topic]; ok {
		return c, false, nil
	}
	from, ok := t.configs[defaultTopic]
	switch {
	case !ok:
		return c, false, fmt.Errorf("%w: %s, and there is no topic %q to make it like", ErrNoTopic, topic, defaultTopic)
	case from.Perm&protocol.PermInherit == 0:
		return c, false, fmt.Errorf("%w: %s, and topics are not made like %s", ErrNoTopic, topic, defaultTopic)
	}
	queues := max(0, min(clientQueueNums, from.WriteQueueNums))
	c = protocol.TopicConfig{
		TopicName: topic, ReadQueueNums: queues, WriteQueueNums: queues, Perm: from.Perm &^ protocol.PermInherit,
		TopicSysFlag: sysFlag, TopicFilterType: from.TopicFilterType,
	}
	t.put(c)
	return c, true, nil
}

// CreateForSendBack returns a %RETRY% or %DLQ% topic, or another that the
// broker itself sends to, and makes it when there is none, as
// createTopicInSendMessageBackMethod does.
func (t *Topics) CreateForSendBack(topic string, queueNums, perm int32, order bool, sysFlag int32) protocol.TopicConfig {
	if c, ok := t.Get(topic); ok && c.Order == order {
		return c
	}
	c, changed := func() (protocol.TopicConfig, bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		c, ok := t.configs[topic]
		if ok && c.Order == order {
			return c, false
		}
		if !ok {
			c = protocol.TopicConfig{
				TopicName: topic, ReadQueueNums: queueNums, WriteQueueNums: queueNums, Perm: perm,
				TopicSysFlag: sysFlag, TopicFilterType: protocol.SingleTag,
			}
		}
		c.Order = order
		t.put(c)
		return c, true
	}()
	if changed {
		t.changed("topic made by the broker", c)
	}
	return c
}

// Update makes a topic by hand or changes it (code 17). c.Attributes is not
// looked at; attributes is a change of what the topic has, such as
// "+message.type=FIFO,-other". It returns the topic as it is now. The error is a
// *NameError, or says what is wrong with the attributes or the filter type.
func (t *Topics) Update(c protocol.TopicConfig, attributes string) (protocol.TopicConfig, error) {
	if err := t.checkUpdate(c); err != nil {
		return c, err
	}
	changes, err := parseAttributes(attributes)
	if err != nil {
		return c, fmt.Errorf("topic %s: %w", c.TopicName, err)
	}
	if slices.Contains(changes, attributeChange{name: "message.type", value: "MIXED"}) { // enableMixedMessageType
		return c, &NameError{"MIXED message type is not supported."}
	}
	switch c.TopicFilterType {
	case "":
		c.TopicFilterType = protocol.SingleTag
	case protocol.SingleTag, protocol.MultiTag:
	default:
		return c, fmt.Errorf("topic %s: topicFilterType = [%.64s] value invalid, want %s or %s", c.TopicName, c.TopicFilterType, protocol.SingleTag, protocol.MultiTag)
	}
	changed, err := func() (bool, error) {
		t.mu.Lock()
		defer t.mu.Unlock()
		before, exists := t.configs[c.TopicName]
		attrs, err := alterAttributes(before.Attributes, changes, !exists)
		if err != nil {
			return false, fmt.Errorf("topic %s: %w", c.TopicName, err)
		}
		c.Attributes = attrs
		if exists && equal(before, c) {
			return false, nil
		}
		t.put(c)
		return true, nil
	}()
	if changed {
		t.changed("topic made or changed by hand", c)
	}
	return c, err
}

// Changeable reports whether a topic may be made or changed by hand; the error is a
// *NameError.
func (t *Topics) Changeable(topic string) error {
	if err := CheckTopic(topic); err != nil {
		return err
	}
	if t.IsSystem(topic) {
		return &NameError{fmt.Sprintf("The topic[%s] is conflict with system topic.", topic)}
	}
	return nil
}

func (t *Topics) checkUpdate(c protocol.TopicConfig) error {
	if err := t.Changeable(c.TopicName); err != nil {
		return err
	}
	if min(c.ReadQueueNums, c.WriteQueueNums) < 0 || max(c.ReadQueueNums, c.WriteQueueNums) > maxQueueNums {
		return &NameError{fmt.Sprintf("The topic[%s] wants %d read and %d write queues, allowed are 0 to %d.", c.TopicName, c.ReadQueueNums, c.WriteQueueNums, maxQueueNums)}
	}
	return nil
}

func equal(a, b protocol.TopicConfig) bool {
	attributes := maps.Equal(a.Attributes, b.Attributes)
	a.Attributes, b.Attributes = nil, nil
	return attributes && a.TopicName == b.TopicName && a.ReadQueueNums == b.ReadQueueNums && a.WriteQueueNums == b.WriteQueueNums &&
		a.Perm == b.Perm && a.TopicSysFlag == b.TopicSysFlag && a.TopicFilterType == b.TopicFilterType && a.Order == b.Order
}

// Delete takes a topic out. It reports whether it was there. System topics stay.
func (t *Topics) Delete(topic string) bool {
	if t.IsSystem(topic) {
		return false
	}
	t.mu.Lock()
	c, ok := t.configs[topic]
	if ok {
		delete(t.configs, topic)
		t.adopted[topic] = false
		t.next()
	}
	t.mu.Unlock()
	if ok {
		t.changed("topic deleted", c)
	}
	return ok
}

// Adopt makes a topic anew that has a message in the last of so many queues, when it is
// not there: the process was killed before it had saved it. The topic grows with further
// messages. One that was deleted since the start is left alone.
func (t *Topics) Adopt(topic string, queues int32) {
	c, changed := func() (protocol.TopicConfig, bool) {
		t.mu.Lock()
		defer t.mu.Unlock()
		c, exists := t.configs[topic]
		adopted, known := t.adopted[topic]
		switch {
		case exists && (!adopted || queues <= c.ReadQueueNums), !exists && known && !adopted, queues > maxQueueNums:
			return c, false
		case !exists:
			c = protocol.TopicConfig{
				TopicName: topic, WriteQueueNums: queues, Perm: protocol.PermRead | protocol.PermWrite, TopicFilterType: protocol.SingleTag,
			}
		}
		c.ReadQueueNums, c.WriteQueueNums = queues, max(queues, c.WriteQueueNums)
		t.put(c)
		t.adopted[topic] = true
		return c, true
	}()
	if changed {
		t.logger.Warn("there is a message of a topic that was not saved; it is made anew", "topic", topic, "queues", queues)
		t.changed("topic made by the broker", c)
	}
}

// MarkOrdered makes topics ordered that a name server calls so
// (updateOrderTopicConfig). None is made, and none is made unordered.
func (t *Topics) MarkOrdered(topics []string) {
	var marked []protocol.TopicConfig
	t.mu.Lock()
	for _, topic := range topics {
		if c, ok := t.configs[topic]; ok && !c.Order {
			c.Order = true
			t.put(c)
			marked = append(marked, c)
		}
	}
	t.mu.Unlock()
	for _, c := range marked {
		t.changed("topic ordered by a name server", c)
	}
}

// NewVersion has name servers take all topics anew: their permissions have changed
// with the broker's.
func (t *Topics) NewVersion() {
	t.mu.Lock()
	t.next()
	t.recent = recent{from: t.version.Counter}
	t.mu.Unlock()
	t.file.touch()
	t.options.OnTopicsChanged()
}

// SetAutoCreate says whether topics are made like TBW102 from now on.
func (t *Topics) SetAutoCreate(on bool) {
	t.mu.Lock()
	t.options.AutoCreateTopic = on
	before := t.configs[DefaultTopic]
	t.addDefaultTopic()
	after := t.configs[DefaultTopic]
	t.mu.Unlock()
	if !equal(before, after) {
		t.changed("whether topics are made by messages has changed", after)
	}
}

// put enters a topic. mu is held.
func (t *Topics) put(c protocol.TopicConfig) {
	delete(t.adopted, c.TopicName)
	t.configs[c.TopicName] = c
	t.next()
	t.recent.add(t.version.Counter, c.TopicName)
}

// next raises the data version. mu is held.
func (t *Topics) next() {
	t.version.Counter++
	t.version.Timestamp = time.Now().UnixMilli()
}

// changed follows a change: the file is written and the broker told.
func (t *Topics) changed(what string, c protocol.TopicConfig) {
	t.file.touch()
	t.logger.Info(what, "topic", c.TopicName, "read", c.ReadQueueNums, "write", c.WriteQueueNums, "perm", c.Perm, "attributes", c.Attributes)
	t.options.OnTopicsChanged()
}

// topicsFile is topics.json.
type topicsFile struct {
	DataVersion protocol.DataVersion            `json:"dataVersion"`
	Configs     map[string]protocol.TopicConfig `json:"topicConfigTable"`
}

func (t *Topics) open(f *file) error {
	t.file = f
	return f.load(func(data []byte) error {
		var v topicsFile
		if err := protocol.DecodeBody(data, &v); err != nil {
			return err
		}
		for name, c := range v.Configs {
			c.TopicName = name
			t.configs[name] = c
		}
		t.version = v.DataVersion
		t.recent = recent{from: t.version.Counter}
		return nil
	})
}

func (t *Topics) encode() ([]byte, error) {
	s := t.Snapshot()
	data, err := json.MarshalIndent(topicsFile{s.DataVersion, s.Configs}, "", "\t")
	if err != nil {
		return nil, fmt.Errorf("encode topics: %w", err)
	}
	return data, nil
}
