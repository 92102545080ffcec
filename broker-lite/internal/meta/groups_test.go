package meta

import (
	"encoding/json"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

func TestGroupsHaveApachesDefaults(t *testing.T) {
	t.Parallel()
	var apache groupsFile
	if err := protocol.DecodeBody([]byte(fixture(t, "5.4.0", "subscriptionGroup.json")), &apache); err != nil {
		t.Fatal(err)
	}
	m := open(t, options(vfs.NewMem()))
	if _, ok := m.Groups.Get("cg1"); ok {
		t.Fatal("cg1 is there")
	}
	made, ok := m.Groups.Find("cg1")
	must(t, ok && made.RetryMaxTimes == 16 && made.RetryQueueNums == 1 && made.ConsumeEnable, "made %+v", made)
	got, version := m.Groups.Snapshot()
	// 5.x's retry policy is CUSTOMIZED by default, which is what its absence means.
	for name, c := range apache.Configs {
		must(t, string(c.GroupRetryPolicy) != "", "%s has no retry policy", name)
		c.GroupRetryPolicy = nil
		apache.Configs[name] = c
	}
	if diff := cmp.Diff(apache.Configs, got, cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("(-Apache +broker-lite):\n%s", diff)
	}
	if _, ok := m.Groups.Find("cg1"); !ok {
		t.Error("not found the second time")
	}
	if _, again := m.Groups.Snapshot(); again != version {
		t.Error("finding it again raised the data version")
	}
}

func TestGroupsAreNotMadeWhenTheyMustNot(t *testing.T) {
	t.Parallel()
	o := options(vfs.NewMem())
	m := open(t, o)
	if _, ok := m.Groups.Find("a b"); ok {
		t.Error("an illegal name made a group")
	}
	o = options(vfs.NewMem())
	o.AutoCreateGroup = false
	m = open(t, o)
	if _, ok := m.Groups.Find("g"); ok {
		t.Error("autoCreateSubscriptionGroup=false made a group")
	}
	if c, ok := m.Groups.Find("CID_RMQ_SYS_own"); !ok || c.GroupName != "CID_RMQ_SYS_own" {
		t.Error("autoCreateSubscriptionGroup=false kept RocketMQ's own group from being made")
	}
	if _, ok := m.Groups.Find("CID_RMQ_SYS_a/b"); ok {
		t.Error("an illegal name made a group of RocketMQ's own")
	}
	if c, ok := m.Groups.Find("TOOLS_CONSUMER"); !ok || c.GroupName != "TOOLS_CONSUMER" {
		t.Error("the broker's own groups are missing")
	}
}

func TestGroupsChangedByHand(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	m := open(t, options(fsys))
	g := NewGroup("g")
	g.RetryMaxTimes, g.ConsumeEnable = 3, false
	if err := m.Groups.Update(g); err != nil {
		t.Fatal(err)
	}
	var named *NameError
	if err := m.Groups.Update(NewGroup("a/b")); !errors.As(err, &named) {
		t.Errorf("an illegal name: %v", err)
	}
	if err := m.WaitSaved(t.Context()); err != nil {
		t.Fatal(err)
	}
	back := reopen(t, fsys)
	if c, _ := back.Groups.Get("g"); !cmp.Equal(g, c) {
		t.Errorf("after a restart: %+v", c)
	}
	if !back.Groups.Delete("g") || back.Groups.Delete("g") {
		t.Error("Delete does not say whether the group was there")
	}
}

func TestWhatBrokerLiteDoesNotKnowOfAGroupStays(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	install(t, fsys, "5.4.0")
	put(t, fsys, "subscriptionGroup.json", `{"dataVersion":{"counter":7},"forbiddenTable":{"g":{"t":4}},"subscriptionGroupTable":{
		"g":{"groupName":"g","retryMaxTimes":5,"groupRetryPolicy":{"type":"EXPONENTIAL"},"subscriptionDataSet":[{"topic":"t"}],"attributes":{"a":"b"}}}}`)
	m := open(t, options(fsys))
	if _, ok := m.Groups.Find("new"); !ok {
		t.Fatal("no group made")
	}
	if err := m.WaitSaved(t.Context()); err != nil {
		t.Fatal(err)
	}
	var v struct {
		Version   protocol.DataVersion       `json:"dataVersion"`
		Forbidden map[string]map[string]int  `json:"forbiddenTable"`
		Groups    map[string]json.RawMessage `json:"subscriptionGroupTable"`
	}
	if err := json.Unmarshal([]byte(readFile(t, fsys, "subscriptionGroup.json")), &v); err != nil {
		t.Fatal(err)
	}
	if v.Forbidden["g"]["t"] != 4 || v.Version.Counter <= 7 || len(v.Groups) < 3 {
		t.Errorf("forbidden %v, version %+v, %d groups", v.Forbidden, v.Version, len(v.Groups))
	}
	var g struct {
		Policy       struct{ Type string }    `json:"groupRetryPolicy"`
		Subs         []struct{ Topic string } `json:"subscriptionDataSet"`
		Attributes   map[string]string
		ConsumeIt    bool `json:"consumeEnable"`
		RetryMaxTime int  `json:"retryMaxTimes"`
	}
	if err := json.Unmarshal(v.Groups["g"], &g); err != nil {
		t.Fatal(err)
	}
	if g.Policy.Type != "EXPONENTIAL" || len(g.Subs) != 1 || g.Attributes["a"] != "b" || !g.ConsumeIt || g.RetryMaxTime != 5 {
		t.Errorf("the group is now %s", v.Groups["g"])
	}
}
