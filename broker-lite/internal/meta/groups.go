package meta

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// GroupConfig is a subscription group (SubscriptionGroupConfig). The raw fields
// are 5.x's and passed through.
type GroupConfig struct {
	Attributes                     map[string]string `json:"attributes,omitempty"` // 5.x
	BrokerID                       int64             `json:"brokerId"`
	ConsumeBroadcastEnable         bool              `json:"consumeBroadcastEnable"`
	ConsumeEnable                  bool              `json:"consumeEnable"`
	ConsumeFromMinEnable           bool              `json:"consumeFromMinEnable"`
	ConsumeMessageOrderly          bool              `json:"consumeMessageOrderly"` // 5.x
	ConsumeTimeoutMinute           int32             `json:"consumeTimeoutMinute"`  // 5.x
	GroupName                      string            `json:"groupName"`
	GroupRetryPolicy               json.RawMessage   `json:"groupRetryPolicy,omitempty"` // 5.x
	GroupSysFlag                   int32             `json:"groupSysFlag"`               // 5.x
	NotifyConsumerIDsChangedEnable bool              `json:"notifyConsumerIdsChangedEnable"`
	RetryMaxTimes                  int32             `json:"retryMaxTimes"` // deliveries after the first before a message is dead
	RetryQueueNums                 int32             `json:"retryQueueNums"`
	SubscriptionDataSet            json.RawMessage   `json:"subscriptionDataSet,omitempty"` // 5.x
	WhichBrokerWhenConsumeSlowly   int64             `json:"whichBrokerWhenConsumeSlowly"`
}

// NewGroup is a group with Apache's defaults.
func NewGroup(name string) GroupConfig {
	return GroupConfig{
		ConsumeBroadcastEnable: true, ConsumeEnable: true, ConsumeFromMinEnable: true, ConsumeTimeoutMinute: 15,
		GroupName: name, NotifyConsumerIDsChangedEnable: true, RetryMaxTimes: 16, RetryQueueNums: 1, WhichBrokerWhenConsumeSlowly: 1,
	}
}

// UnmarshalJSON leaves what is missing, as in 4.9's files, at its default.
func (g *GroupConfig) UnmarshalJSON(data []byte) error {
	type plain GroupConfig
	v := plain(NewGroup(""))
	if err := json.Unmarshal(data, &v); err != nil {
		return err
	}
	*g = GroupConfig(v)
	return nil
}

// Groups is the table of subscription groups.
type Groups struct {
	options    Options
	logger     *slog.Logger
	file       *file
	autoCreate atomic.Bool // autoCreateSubscriptionGroup

	mu        sync.RWMutex // guards the following
	configs   map[string]GroupConfig
	forbidden map[string]map[string]int32 // 5.x: by group and topic, the bits of what is forbidden
	version   protocol.DataVersion
}

func newGroups(o Options) *Groups {
	g := &Groups{
		options: o, logger: o.Logger,
		configs: map[string]GroupConfig{}, forbidden: map[string]map[string]int32{},
		version: protocol.DataVersion{Timestamp: time.Now().UnixMilli()},
	}
	g.autoCreate.Store(o.AutoCreateGroup)
	return g
}

// SetAutoCreate says whether Find makes groups from now on.
func (g *Groups) SetAutoCreate(on bool) { g.autoCreate.Store(on) }

// addSystemGroups enters the groups that a broker has of its own
// (SubscriptionGroupManager.init).
func (g *Groups) addSystemGroups() {
	for _, name := range []string{
		"TOOLS_CONSUMER", "FILTERSRV_CONSUMER", "SELF_TEST_C_GROUP", "CID_ONS-HTTP-PROXY", "CID_ONSAPI_PULL",
		"CID_ONSAPI_PERMISSION", "CID_ONSAPI_OWNER", "CID_RMQ_SYS_TRANS",
	} {
		g.putIfAbsent(NewGroup(name))
	}
}

// Get returns a group if there is one.
func (g *Groups) Get(group string) (GroupConfig, bool) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	c, ok := g.configs[group]
	return c, ok
}

// systemGroups begin RocketMQ's own groups (MixAll.CID_RMQ_SYS_PREFIX).
const systemGroups = "CID_RMQ_SYS_"

// Find returns a group and makes it when there is none, if the configuration
// allows it, or it is one of RocketMQ's own, and the name is good
// (findSubscriptionGroupConfig). Without one the broker answers
// SUBSCRIPTION_GROUP_NOT_EXIST.
func (g *Groups) Find(group string) (GroupConfig, bool) {
	if c, ok := g.Get(group); ok {
		return c, true
	}
	allowed := g.autoCreate.Load() || strings.HasPrefix(group, systemGroups)
	if !allowed || CheckGroup(group) != nil {
		return GroupConfig{}, false
	}
	c, made := g.putIfAbsent(NewGroup(group))
	if made {
		g.logger.Info("subscription group made", "group", group)
	}
	return c, true
}

func (g *Groups) putIfAbsent(c GroupConfig) (GroupConfig, bool) {
	g.mu.Lock()
	before, ok := g.configs[c.GroupName]
	if !ok {
		g.configs[c.GroupName] = c
		g.next()
	}
	g.mu.Unlock()
	if ok {
		return before, false
	}
	g.file.touch()
	return c, true
}

// next raises the data version. mu is held.
func (g *Groups) next() {
	g.version.Counter++
	g.version.Timestamp = time.Now().UnixMilli()
}

// Update makes a group by hand or changes it. The error is a *NameError.
func (g *Groups) Update(c GroupConfig) error {
	if err := CheckGroup(c.GroupName); err != nil {
		return err
	}
	g.mu.Lock()
	g.configs[c.GroupName] = c
	g.next()
	g.mu.Unlock()
	g.file.touch()
	g.logger.Info("subscription group made or changed by hand", "group", c.GroupName, "retryMaxTimes", c.RetryMaxTimes, "consumeEnable", c.ConsumeEnable)
	return nil
}

// Delete takes a group out. It reports whether it was there.
func (g *Groups) Delete(group string) bool {
	g.mu.Lock()
	_, ok := g.configs[group]
	_, forbidden := g.forbidden[group]
	if ok || forbidden {
		delete(g.configs, group)
		delete(g.forbidden, group)
		g.next()
	}
	g.mu.Unlock()
	if ok || forbidden {
		g.file.touch()
		g.logger.Info("subscription group deleted", "group", group)
	}
	return ok
}

// readForbidden is PermName.INDEX_PERM_READ, as a bit of the forbidden table.
const readForbidden = 1 << 2

// ReadForbidden reports whether a group must not read a topic.
func (g *Groups) ReadForbidden(group, topic string) bool {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return g.forbidden[group][topic]&readForbidden != 0
}

// ForbidRead forbids a group to read a topic, or allows it again (updateForbidden).
// As on Apache, allowing one topic allows all when nothing else is forbidden for it.
func (g *Groups) ForbidRead(group, topic string, forbid bool) {
	g.mu.Lock()
	bits := g.forbidden[group][topic]
	if forbid {
		bits |= readForbidden
	} else {
		bits &^= readForbidden
	}
	switch {
	case bits == 0:
		delete(g.forbidden, group)
	case g.forbidden[group] == nil:
		g.forbidden[group] = map[string]int32{topic: bits}
	default:
		g.forbidden[group][topic] = bits
	}
	g.next()
	g.mu.Unlock()
	g.file.touch()
	g.logger.Info("what a group may read has changed", "group", group, "topic", topic, "readable", !forbid)
}

// Forbidden returns what groups must not do, as bits by group and topic.
func (g *Groups) Forbidden() map[string]map[string]int32 {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return cloneTable(g.forbidden)
}

func cloneTable(t map[string]map[string]int32) map[string]map[string]int32 {
	c := make(map[string]map[string]int32, len(t))
	for k, v := range t {
		c[k] = maps.Clone(v)
	}
	return c
}

// Names returns the groups' names, sorted.
func (g *Groups) Names() []string {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return slices.Sorted(maps.Keys(g.configs))
}

// Snapshot returns all groups with their data version.
func (g *Groups) Snapshot() (map[string]GroupConfig, protocol.DataVersion) {
	g.mu.RLock()
	defer g.mu.RUnlock()
	return maps.Clone(g.configs), g.version
}

// groupsFile is subscriptionGroup.json.
type groupsFile struct {
	DataVersion protocol.DataVersion        `json:"dataVersion"`
	Forbidden   map[string]map[string]int32 `json:"forbiddenTable,omitempty"`
	Configs     map[string]GroupConfig      `json:"subscriptionGroupTable"`
}

func (g *Groups) open(f *file) error {
	g.file = f
	return f.load(func(data []byte) error {
		var v groupsFile
		if err := protocol.DecodeBody(data, &v); err != nil {
			return err
		}
		for name, c := range v.Configs {
			c.GroupName = name
			g.configs[name] = c
		}
		if v.Forbidden != nil {
			g.forbidden = v.Forbidden
		}
		g.version = v.DataVersion
		return nil
	})
}

func (g *Groups) encode() ([]byte, error) {
	g.mu.RLock()
	v := groupsFile{g.version, cloneTable(g.forbidden), maps.Clone(g.configs)}
	g.mu.RUnlock()
	data, err := json.MarshalIndent(v, "", "\t")
	if err != nil {
		return nil, fmt.Errorf("encode subscription groups: %w", err)
	}
	return data, nil
}
