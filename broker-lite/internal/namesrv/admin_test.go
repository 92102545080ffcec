package namesrv

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// fields are a request's header.
type fields map[string]string

func (f fields) AppendFields(w *protocol.FieldWriter) {
	for k, v := range f {
		w.String(k, v)
	}
}

// ask makes a request that must succeed.
func (p *peer) ask(code protocol.Code, f fields, body string) *protocol.Command {
	p.t.Helper()
	resp := p.call(protocol.Command{Code: code}, f, []byte(body))
	if resp.Code != protocol.Success {
		p.t.Fatalf("%s: %s: %s", protocol.RequestName(code), protocol.ResponseName(resp.Code), resp.Remark)
	}
	return resp
}

// refused makes a request that must be refused with code and a remark that has words.
func (p *peer) refused(code protocol.Code, f fields, body string, with protocol.Code, words string) {
	p.t.Helper()
	resp := p.call(protocol.Command{Code: code}, f, []byte(body))
	if resp.Code != with || !strings.Contains(resp.Remark, words) {
		p.t.Errorf("%s is answered with %s: %s; want %s: %s", protocol.RequestName(code), protocol.ResponseName(resp.Code), resp.Remark, protocol.ResponseName(with), words)
	}
}

func (p *peer) topicList(code protocol.Code, f fields) []string {
	p.t.Helper()
	var list topicNames
	if err := json.Unmarshal(p.ask(code, f, "").Body, &list); err != nil {
		p.t.Fatal(err)
	}
	return list.Topics
}

func TestKeysAndValuesSurviveARestart(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := Options{FS: vfs.NewMem(), Dir: "/data/namesrv"}
		p := start(t, o).dial()
		p.refused(protocol.GetKVConfig, fields{"namespace": "n", "key": "k"}, "", protocol.QueryNotFound, "No config item, Namespace: n Key: k")
		p.refused(protocol.GetKVList, fields{"namespace": "n"}, "", protocol.QueryNotFound, "No config item, Namespace: n")
		p.refused(protocol.PutKVConfig, fields{"namespace": "n"}, "", protocol.SystemError, "namespace or key is null")
		p.ask(protocol.PutKVConfig, fields{"namespace": "n", "key": "k", "value": "v"}, "")
		p.ask(protocol.PutKVConfig, fields{"namespace": "n", "key": "gone", "value": "v"}, "")
		p.ask(protocol.DeleteKVConfig, fields{"namespace": "n", "key": "gone"}, "")
		p.ask(protocol.UpdateNameServerConfig, nil, "orderMessageEnable=true\n")

		again := start(t, o).dial()
		if got := again.ask(protocol.GetKVConfig, fields{"namespace": "n", "key": "k"}, "").Fields.Value("value"); got != "v" {
			t.Errorf("the value is %q", got)
		}
		if got := string(again.ask(protocol.GetKVList, fields{"namespace": "n"}, "").Body); got != `{"table":{"k":"v"}}` {
			t.Errorf("the name space is %s", got)
		}
		if got := string(again.ask(protocol.GetNameServerConfig, nil, "").Body); !strings.Contains(got, "orderMessageEnable=true\n") {
			t.Errorf("the configuration is %s", got)
		}
	})
}

func TestWhatCannotBeSavedIsNotAnsweredAsDone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		fs := vfs.NewMem()
		if err := fs.MkdirAll("/data", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := vfs.WriteFileAtomic(fs, "/data/namesrv", []byte("a file is in the way")); err != nil {
			t.Fatal(err)
		}
		p := start(t, Options{FS: vfs.NewMem(), Dir: "/data/namesrv"}).dial()
		p.ask(protocol.PutKVConfig, fields{"namespace": "n", "key": "k", "value": "v"}, "")
		h := start(t, Options{FS: fs, Dir: "/data/namesrv/below"})
		h.dial().refused(protocol.PutKVConfig, fields{"namespace": "n", "key": "k", "value": "v"}, "", protocol.SystemError, "namesrv")
	})
}

func TestKeysAndValuesAreBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		big := strings.Repeat("x", maxKVBytes/4)
		for i := range 3 {
			p.ask(protocol.PutKVConfig, fields{"namespace": "n", "key": string(rune('a' + i)), "value": big}, "")
		}
		p.refused(protocol.PutKVConfig, fields{"namespace": "n", "key": "z", "value": big + big}, "", protocol.SystemError, "at most")
	})
}

func TestOrderTopicsAreToldToBrokersAndClients(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		broker := spec("broker-a", "127.0.0.1:1", 0, topic("t", 4, 6), filler)
		p.mustRegister(broker)
		p.ask(protocol.PutKVConfig, fields{"namespace": "ORDER_TOPIC_CONFIG", "key": "t", "value": "broker-a:4"}, "")
		if got := string(p.register(broker).Body); got != `{"table":{"t":"broker-a:4"}}` {
			t.Errorf("the broker is told %s", got)
		}
		if got := p.route("t").OrderTopicConf; got != "" {
			t.Errorf("without orderMessageEnable the client is told %q", got)
		}
		p.ask(protocol.UpdateNameServerConfig, nil, "orderMessageEnable=true\nreturnOrderTopicConfigToBroker=false\n")
		if got := p.route("t").OrderTopicConf; got != "broker-a:4" {
			t.Errorf("the client is told %q", got)
		}
		if got := p.route("filler").OrderTopicConf; got != "" {
			t.Errorf("of another topic the client is told %q", got)
		}
		if got := string(p.register(broker).Body); got != "" {
			t.Errorf("without returnOrderTopicConfigToBroker the broker is told %s", got)
		}
	})
}

func TestWritePermissionIsWipedAndAdded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		p.mustRegister(spec("broker-a", "127.0.0.1:1", 0, topic("t", 4, 6), topic("TBW102", 8, 7)))
		p.mustRegister(spec("broker-b", "127.0.0.1:2", 0, topic("t", 4, 6), filler))
		perms := func(name string) map[string]int32 {
			m := map[string]int32{}
			for _, q := range p.route(name).QueueDatas {
				m[q.BrokerName] = q.Perm
			}
			return m
		}
		if got := p.ask(protocol.WipeWritePerm, fields{"brokerName": "broker-a"}, "").Fields.Value("wipeTopicCount"); got != "2" {
			t.Errorf("%s topics are wiped", got)
		}
		if diff := cmp.Diff(map[string]int32{"broker-a": 4, "broker-b": 6}, perms("t")); diff != "" {
			t.Errorf("permissions after the wipe (-want +got)\n%s", diff)
		}
		if got := p.ask(protocol.AddWritePerm, fields{"brokerName": "broker-a"}, "").Fields.Value("addTopicCount"); got != "2" {
			t.Errorf("%s topics are added", got)
		}
		if diff := cmp.Diff(map[string]int32{"broker-a": 6}, perms("TBW102")); diff != "" { // as on Apache it is not inherited from any longer
			t.Errorf("permissions of TBW102 after that (-want +got)\n%s", diff)
		}
		if got := p.ask(protocol.WipeWritePerm, fields{"brokerName": "no such"}, "").Fields.Value("wipeTopicCount"); got != "0" {
			t.Errorf("%s topics of no broker are wiped", got)
		}
	})
}

func TestTopicsAreForgottenByCluster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		other := spec("broker-b", "127.0.0.1:2", 0, topic("t", 4, 6), filler)
		other.cluster = "Other"
		p.mustRegister(spec("broker-a", "127.0.0.1:1", 0, topic("t", 4, 6), filler))
		p.mustRegister(other)
		p.ask(protocol.DeleteTopicInNameServer, fields{"topic": "t", "clusterName": "Other"}, "")
		if r := p.route("t"); len(r.QueueDatas) != 1 || r.QueueDatas[0].BrokerName != "broker-a" {
			t.Errorf("the route is %+v", r)
		}
		p.ask(protocol.DeleteTopicInNameServer, fields{"topic": "t", "clusterName": "no such"}, "")
		if p.route("t") == nil {
			t.Error("a cluster that is not there has taken the topic")
		}
		p.ask(protocol.DeleteTopicInNameServer, fields{"topic": "filler"}, "")
		p.ask(protocol.DeleteTopicInNameServer, fields{"topic": "t"}, "")
		if got := p.topicList(protocol.GetTopicList, nil); len(got) != 0 {
			t.Errorf("left: %v", got)
		}
		route := protocol.TopicRoute{QueueDatas: []protocol.QueueData{{BrokerName: "broker-a", ReadQueueNums: 1, WriteQueueNums: 1, Perm: 6}, {BrokerName: "nobody", ReadQueueNums: 1, WriteQueueNums: 1, Perm: 6}}}
		p.ask(protocol.RegisterTopicInNameServer, fields{"topic": "again"}, string(protocol.EncodeTopicRoute(&route, true)))
		if r := p.route("again"); r == nil || len(r.QueueDatas) != 1 {
			t.Errorf("the route that was entered is %+v", r)
		}
	})
}

func TestListsOfTopics(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		unit, sub, both := topic("unit", 1, 6), topic("sub", 1, 6), topic("both", 1, 6)
		unit.TopicSysFlag, sub.TopicSysFlag, both.TopicSysFlag = 1, 2, 3
		other := spec("broker-b", "127.0.0.1:2", 0, topic("elsewhere", 4, 6), filler)
		other.cluster = "Other"
		p.mustRegister(spec("broker-a", "127.0.0.1:1", 0, unit, sub, both, filler))
		p.mustRegister(other)
		for _, c := range []struct {
			code protocol.Code
			f    fields
			want []string
		}{
			{protocol.GetTopicList, nil, []string{"both", "elsewhere", "filler", "sub", "unit"}},
			{protocol.GetTopicsByCluster, fields{"cluster": "Other"}, []string{"elsewhere", "filler"}},
			{protocol.GetTopicsByCluster, fields{"cluster": "no such"}, []string{}},
			{protocol.GetUnitTopics, nil, []string{"both", "unit"}},
			{protocol.GetHasUnitSubTopics, nil, []string{"both", "sub"}},
			{protocol.GetHasUnitSubUnunitTopics, nil, []string{"sub"}},
			{protocol.GetSystemTopicsFromNameServer, nil, []string{"DefaultCluster", "Other", "broker-a", "broker-b"}},
		} {
			if diff := cmp.Diff(c.want, p.topicList(c.code, c.f)); diff != "" {
				t.Errorf("%s %v (-want +got)\n%s", protocol.RequestName(c.code), c.f, diff)
			}
		}
		p.ask(protocol.UpdateNameServerConfig, nil, "enableTopicList=false")
		p.refused(protocol.GetTopicsByCluster, fields{"cluster": "Other"}, "", protocol.SystemError, "disable")
		p.ask(protocol.GetTopicList, nil, "")
		p.ask(protocol.UpdateNameServerConfig, nil, "enableAllTopicList=false")
		p.refused(protocol.GetTopicList, nil, "", protocol.SystemError, "disable")
		if got := string(p.ask(protocol.GetBrokerMemberGroup, fields{"clusterName": "Other", "brokerName": "broker-b"}, "").Body); got !=
			`{"brokerMemberGroup":{"brokerAddrs":{"0":"127.0.0.1:2"},"brokerName":"broker-b","cluster":"Other"}}` {
			t.Errorf("the members of broker-b are %s", got)
		}
	})
}

func TestConfigurationChangesAreAllOrNothing(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, Options{Config: map[string]string{"listenPort": "9876"}})
		p := h.dial()
		p.refused(protocol.UpdateNameServerConfig, nil, "orderMessageEnable=true\nkvConfigPath=/tmp/x", protocol.NoPermission, "Can not update config in black list.")
		p.refused(protocol.UpdateNameServerConfig, nil, "orderMessageEnable=true\nlistenPort=1", protocol.SystemError, "listenPort cannot be changed while the name server runs")
		p.refused(protocol.UpdateNameServerConfig, nil, "orderMessageEnable=maybe", protocol.SystemError, "want true or false")
		want := "enableAllTopicList=true\nenableTopicList=true\nlistenPort=9876\norderMessageEnable=false\nreturnOrderTopicConfigToBroker=true\n"
		if got := string(p.ask(protocol.GetNameServerConfig, nil, "").Body); got != want {
			t.Errorf("the configuration is %s", got)
		}
		p.ask(protocol.UpdateNameServerConfig, nil, "orderMessageEnable=true")
		synctest.Wait()
		if log := h.log.String(); strings.Count(log, `msg="admin change" request=UPDATE_NAMESRV_CONFIG peer=`) != 1 || !strings.Contains(log, "orderMessageEnable=true") {
			t.Errorf("the log has no line about the change:\n%s", log)
		}
	})
}
