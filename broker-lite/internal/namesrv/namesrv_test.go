package namesrv

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// The bodies were written by Apache's own classes of both versions.
func TestApachesRegistrationsAreUnderstoodInEveryForm(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		release, file string
		compressed    bool
		version       int32
	}{
		"4.9 JSON":       {"4.9.7", "body-103-request.json", false, protocol.VersionV4_9_7},
		"4.9 compressed": {"4.9.7", "body-103-request-compressed.bin", true, protocol.VersionV4_9_7},
		"5.x JSON":       {"5.4.0", "body-103-request.json", false, protocol.VersionV5_4_0},
		"5.x compressed": {"5.4.0", "body-103-request-compressed.bin", true, protocol.VersionV5_4_0},
		// What 5.4.0's broker sends with compressedRegister=true.
		"5.x compressed, unsaid": {"5.4.0", "body-103-request-compressed.bin", false, protocol.VersionV5_4_0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			body := golden(t, c.release, c.file)
			synctest.Test(t, func(t *testing.T) {
				p := start(t, Options{}).dial()
				resp := p.registerBody(spec("broker-a", "127.0.0.1:10911", 0), body, c.compressed, c.version)
				if resp.Code != protocol.Success || len(resp.Body) > 0 {
					t.Fatalf("%s %q, body %q", protocol.ResponseName(resp.Code), resp.Remark, resp.Body)
				}
				want := &protocol.TopicRoute{
					QueueDatas:    []protocol.QueueData{{BrokerName: "broker-a", Perm: 6, ReadQueueNums: 8, WriteQueueNums: 8}},
					BrokerDatas:   []protocol.BrokerData{{BrokerAddrs: map[int64]string{0: "127.0.0.1:10911"}, BrokerName: "broker-a", Cluster: "DefaultCluster"}},
					FilterServers: map[string][]string{},
				}
				if diff := cmp.Diff(want, p.route("TopicTest")); diff != "" {
					t.Errorf("route (-want +got):\n%s", diff)
				}
				if p.route("TBW102") == nil {
					t.Error("the second topic has no route")
				}
			})
		})
	}
}

func TestADamagedRegistrationIsRefusedAndChangesNothing(t *testing.T) {
	t.Parallel()
	body := golden(t, "5.4.0", "body-103-request.json")
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		h := protocol.RegisterBrokerRequest{BrokerName: "broker-a", BrokerAddr: "127.0.0.1:10911", ClusterName: "C", BodyCRC32: protocol.BodyCRC(body) ^ 1}
		resp := p.call(protocol.Command{Code: protocol.RegisterBroker}, &h, body)
		if resp.Code != protocol.SystemError || resp.Remark != "crc32 not match" {
			t.Errorf("wrong checksum: %s %q", protocol.ResponseName(resp.Code), resp.Remark)
		}
		h.BodyCRC32 = 0 // an old broker that sends none
		if resp := p.call(protocol.Command{Code: protocol.RegisterBroker}, &h, body[:len(body)-1]); resp.Code != protocol.SystemError {
			t.Errorf("cut body: %s", protocol.ResponseName(resp.Code))
		}
		h.BrokerName = ""
		if resp := p.call(protocol.Command{Code: protocol.RegisterBroker}, &h, body); resp.Code != protocol.SystemError || !strings.Contains(resp.Remark, "brokerName") {
			t.Errorf("no name: %s %q", protocol.ResponseName(resp.Code), resp.Remark)
		}
		if p.route("TopicTest") != nil {
			t.Error("the topic has a route")
		}
	})
}

func TestRoutesComeInTheClientsDialect(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		a := spec("broker-a", "127.0.0.1:10911", 0, topic("TopicTest", 8, 6), filler)
		p.mustRegister(a)
		p.mustRegister(spec("broker-a", "127.0.0.1:10921", 1))
		b := spec("broker-b", "10.0.0.2:10911", 0, protocol.TopicConfig{TopicName: "TopicTest", ReadQueueNums: 4, WriteQueueNums: 4, Perm: 4, TopicSysFlag: 1}, filler)
		p.mustRegister(b)
		fastjson, standard := golden(t, "5.4.0", "body-105-response-fastjson.json"), golden(t, "5.4.0", "body-105-response-standard.json")
		for name, c := range map[string]struct {
			version int32
			header  protocol.RouteRequest
			want    []byte
		}{
			"Java 4.9.3":              {protocol.VersionV4_9_3, protocol.RouteRequest{Topic: "TopicTest"}, fastjson},
			"client-go's":             {317, protocol.RouteRequest{Topic: "TopicTest"}, fastjson},
			"4.9.4":                   {protocol.VersionV4_9_4, protocol.RouteRequest{Topic: "TopicTest"}, standard},
			"5.4.0":                   {protocol.VersionV5_4_0, protocol.RouteRequest{Topic: "TopicTest"}, standard},
			"asks for standard JSON":  {317, protocol.RouteRequest{Topic: "TopicTest", AcceptStandardJSONOnly: protocol.SomeBool(true)}, standard},
			"refuses standard JSON":   {317, protocol.RouteRequest{Topic: "TopicTest", AcceptStandardJSONOnly: protocol.SomeBool(false)}, fastjson},
			"newer wins over refusal": {protocol.VersionV5_4_0, protocol.RouteRequest{Topic: "TopicTest", AcceptStandardJSONOnly: protocol.SomeBool(false)}, standard},
		} {
			resp := p.call(protocol.Command{Code: protocol.GetRouteInfo, Version: c.version}, &c.header, nil)
			if diff := cmp.Diff(string(c.want), string(resp.Body)); diff != "" {
				t.Errorf("%s (-want +got):\n%s", name, diff)
			}
		}
		if diff := cmp.Diff(string(golden(t, "5.4.0", "body-106-response.json")), string(p.call(protocol.Command{Code: protocol.GetClusterInfo}, nil, nil).Body)); diff != "" {
			t.Errorf("cluster (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(`{"topicList":["TopicTest","filler"]}`, string(p.call(protocol.Command{Code: protocol.GetTopicList}, nil, nil).Body)); diff != "" {
			t.Errorf("topics (-want +got):\n%s", diff)
		}
	})
}

func TestAnUnknownTopicIsAnsweredInApachesWords(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		resp := p.call(protocol.Command{Code: protocol.GetRouteInfo}, &protocol.RouteRequest{Topic: "none"}, nil)
		want := "No topic route info in name server for the topic: none\nSee https://rocketmq.apache.org/docs/bestPractice/06FAQ for further details."
		if resp.Code != protocol.TopicNotExist || resp.Remark != want {
			t.Errorf("%s %q", protocol.ResponseName(resp.Code), resp.Remark)
		}
		resp = p.call(protocol.Command{Code: protocol.GetRouteInfo}, &protocol.RouteRequest{}, nil)
		if resp.Code != protocol.SystemError || !strings.Contains(resp.Remark, `"topic"`) {
			t.Errorf("no topic asked: %s %q", protocol.ResponseName(resp.Code), resp.Remark)
		}
		resp = p.call(protocol.Command{Code: 9999}, nil, nil)
		if resp.Code != protocol.CodeNotSupported || resp.Remark != " request type 9999 not supported" {
			t.Errorf("unknown code: %d %q", resp.Code, resp.Remark)
		}
	})
}

func TestABrokerThatFallsSilentExpiresAfter120Seconds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, Options{})
		silent, busy, asking := h.dial(), h.dial(), h.dial()
		begin := time.Now()
		silent.mustRegister(spec("silent", "127.0.0.1:1", 0, topic("both", 4, 6), topic("silent's", 4, 6)))
		busy.mustRegister(spec("busy", "127.0.0.1:2", 0, topic("both", 4, 6), filler))
		for range 3 {
			time.Sleep(30 * time.Second)
			busy.mustRegister(spec("busy", "127.0.0.1:2", 0, topic("both", 4, 6), filler))
		}
		time.Sleep(time.Until(begin.Add(BrokerExpiry - time.Millisecond)))
		if asking.route("silent's") == nil {
			t.Fatalf("gone after %s", time.Since(begin))
		}
		time.Sleep(time.Millisecond)
		synctest.Wait()
		if r := asking.route("silent's"); r != nil {
			t.Errorf("still there after %s: %+v", time.Since(begin), r)
		}
		if r := asking.route("both"); r == nil || len(r.QueueDatas) != 1 || r.QueueDatas[0].BrokerName != "busy" {
			t.Errorf("route of the shared topic: %+v", r)
		}
		select {
		case <-silent.conn.Closed():
		default:
			t.Error("the silent broker's connection is still open")
		}
		if !strings.Contains(h.log.String(), "broker=silent") || strings.Contains(h.log.String(), "gone: its connection") {
			t.Errorf("log:\n%s", h.log)
		}
		time.Sleep(2 * BrokerExpiry)
		synctest.Wait()
		if asking.route("both") != nil {
			t.Error("the other broker never expires")
		}
	})
}

func TestTheTimeOutThatABrokerNamesCounts(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, Options{})
		acting, beating, asking := h.dial(), h.dial(), h.dial()
		s := spec("acting", "127.0.0.1:1", 0, topic("a", 4, 6), filler)
		s.timeout = protocol.SomeInt64(10_000)
		acting.mustRegister(s)
		b := spec("beating", "127.0.0.1:2", 0, topic("b", 4, 6), filler)
		b.timeout = protocol.SomeInt64(10_000)
		beating.mustRegister(b)
		version, err := protocol.EncodeBody(b.version)
		if err != nil {
			t.Fatal(err)
		}
		who := protocol.Fields{{Key: "clusterName", Value: b.cluster}, {Key: "brokerAddr", Value: b.addr}, {Key: "brokerName", Value: b.name}, {Key: "brokerId", Value: "0"}}
		for i := range 30 { // the two kinds of heartbeat keep it alive
			time.Sleep(time.Second)
			synctest.Wait()
			code := protocol.QueryDataVersion
			if i%2 == 0 {
				code = protocol.BrokerHeartbeat
			}
			if resp := beating.call(protocol.Command{Code: code, Fields: who}, nil, version); resp.Code != protocol.Success {
				t.Fatalf("%d: %s", code, resp.Remark)
			}
			if here := asking.route("a") != nil; here != (i < 9) {
				t.Fatalf("%d s after its registration: registered is %v", i+1, here)
			}
		}
		if asking.route("b") == nil {
			t.Error("the broker that sends heartbeats is gone")
		}
		// A query with another version is no sign of life: the broker registers then.
		for range 9 {
			time.Sleep(time.Second)
			resp := beating.call(protocol.Command{Code: protocol.QueryDataVersion, Fields: who}, nil, []byte(`{"counter":2,"timestamp":1}`))
			if resp.Fields.Value("changed") != "true" {
				t.Fatalf("changed is %q", resp.Fields.Value("changed"))
			}
		}
		time.Sleep(time.Second)
		synctest.Wait()
		if asking.route("b") != nil {
			t.Error("the broker with the other version is still there")
		}
	})
}

func TestABrokerIsGoneAtOnceWhenItsConnectionCloses(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, Options{})
		first, second, asking := h.dial(), h.dial(), h.dial()
		first.mustRegister(spec("broker-a", "127.0.0.1:1", 0, topic("a", 4, 6), filler))
		first.mustRegister(spec("broker-b", "127.0.0.1:2", 0, topic("b", 4, 6), filler)) // a container's second broker
		first.close()
		synctest.Wait()
		if asking.route("a") != nil || asking.route("b") != nil {
			t.Error("a broker of the closed connection is still there")
		}
		// An old connection that closes late takes nothing of a newer one along.
		old := h.dial()
		old.mustRegister(spec("broker-a", "127.0.0.1:1", 0, topic("a", 4, 6), filler))
		second.mustRegister(spec("broker-a", "127.0.0.1:1", 0, topic("a", 4, 6), filler))
		old.close()
		synctest.Wait()
		if asking.route("a") == nil {
			t.Error("the broker that registered again is gone")
		}
	})
}

func TestUnregisteringTakesOneBrokerOut(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		p.mustRegister(spec("broker-a", "127.0.0.1:1", 0, topic("t", 4, 6), filler))
		p.mustRegister(spec("broker-a", "127.0.0.1:2", 1))
		p.mustRegister(spec("broker-b", "127.0.0.1:3", 0, topic("t", 8, 6), filler))
		bye := func(name, addr string, id int64) {
			t.Helper()
			h := protocol.UnregisterBrokerRequest{BrokerName: name, BrokerAddr: addr, ClusterName: "DefaultCluster", BrokerID: id}
			if resp := p.call(protocol.Command{Code: protocol.UnregisterBroker}, &h, nil); resp.Code != protocol.Success {
				t.Fatal(resp.Remark)
			}
		}
		bye("broker-a", "127.0.0.1:1", 0)
		want := map[int64]string{1: "127.0.0.1:2"}
		if r := p.route("t"); r == nil || len(r.BrokerDatas) != 2 || cmp.Diff(want, r.BrokerDatas[0].BrokerAddrs) != "" {
			t.Fatalf("without the master: %+v", r)
		}
		bye("broker-a", "127.0.0.1:2", 1)
		if r := p.route("t"); r == nil || len(r.QueueDatas) != 1 || len(r.BrokerDatas) != 1 || r.QueueDatas[0].BrokerName != "broker-b" {
			t.Fatalf("without broker-a: %+v", r)
		}
		bye("broker-b", "127.0.0.1:3", 0)
		bye("broker-b", "127.0.0.1:3", 0) // twice does no harm
		if got := string(p.call(protocol.Command{Code: protocol.GetClusterInfo}, nil, nil).Body); got != string(golden(t, "5.4.0", "body-106-response-empty.json")) {
			t.Errorf("cluster of nobody: %s", got)
		}
	})
}

func TestSlavesAreToldTheirMaster(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		ask := func(s brokerSpec) (resp protocol.RegisterBrokerResponse) {
			t.Helper()
			if err := resp.DecodeFields(p.register(s).Fields); err != nil {
				t.Fatal(err)
			}
			return resp
		}
		none := protocol.RegisterBrokerResponse{}
		if got := ask(spec("broker-a", "127.0.0.1:2", 1)); got != none {
			t.Errorf("without a master: %+v", got)
		}
		if got := ask(spec("broker-a", "127.0.0.1:1", 0, topic("t", 4, 6), filler)); got != none {
			t.Errorf("the master itself: %+v", got)
		}
		if got, want := ask(spec("broker-a", "127.0.0.1:2", 1, topic("slave's", 4, 6), filler)), (protocol.RegisterBrokerResponse{HAServerAddr: "127.0.0.1:11", MasterAddr: "127.0.0.1:1"}); got != want {
			t.Errorf("with a master: %+v, want %+v", got, want)
		}
		if p.route("slave's") != nil {
			t.Error("a slave's own topic has a route")
		}
	})
}

func TestASlaveThatBecomesMasterKeepsOneEntry(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		p.mustRegister(spec("broker-a", "127.0.0.1:1", 0, topic("t", 4, 6), filler))
		p.mustRegister(spec("broker-a", "127.0.0.1:2", 1))
		p.mustRegister(spec("broker-a", "127.0.0.1:2", 0, topic("t", 4, 6), filler))
		if diff := cmp.Diff(map[int64]string{0: "127.0.0.1:2"}, p.route("t").BrokerDatas[0].BrokerAddrs); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
	})
}

func TestASlaveActsAsMasterReadOnly(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, Options{})
		master, slave := h.dial(), h.dial()
		m := spec("broker-a", "127.0.0.1:1", 0, topic("t", 4, 6), filler)
		m.acting = protocol.SomeBool(true)
		master.mustRegister(m)
		s := spec("broker-a", "127.0.0.1:2", 1, topic("t", 4, 6), topic("new", 4, 6))
		s.acting = protocol.SomeBool(true)
		slave.mustRegister(s)
		if perm := slave.route("t").QueueDatas[0].Perm; perm != 6 || slave.route("new") != nil {
			t.Fatalf("with a master the perm is %d", perm)
		}
		master.close()
		synctest.Wait()
		if perm := slave.route("t").QueueDatas[0].Perm; perm != 4 {
			t.Errorf("without the master the perm is %d, want 4", perm)
		}
		s.version.Counter++
		slave.mustRegister(s)
		if r := slave.route("new"); r == nil || r.QueueDatas[0].Perm != 4 || !r.BrokerDatas[0].EnableActingMaster {
			t.Errorf("the standing-in slave's topic: %+v", r)
		}
	})
}

func TestTopicsChangeOnlyWithTheirVersion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		s := spec("broker-a", "127.0.0.1:1", 0, topic("t", 4, 6), filler)
		p.mustRegister(s)
		s.topics = []protocol.TopicConfig{topic("t", 8, 2), topic("new", 1, 6), filler}
		p.mustRegister(s)
		if q := p.route("t").QueueDatas[0]; q.ReadQueueNums != 4 || q.Perm != 6 {
			t.Errorf("the same version changed the topic: %+v", q)
		}
		if p.route("new") == nil {
			t.Error("a topic that was missing is still missing")
		}
		s.version.Counter++
		s.topics = []protocol.TopicConfig{topic("t", 8, 2)} // one topic, as when it changed
		p.mustRegister(s)
		if q := p.route("t").QueueDatas[0]; q.ReadQueueNums != 8 || q.WriteQueueNums != 8 || q.Perm != 2 {
			t.Errorf("the new version did not change the topic: %+v", q)
		}
		if p.route("new") == nil {
			t.Error("registering one topic took another out")
		}
	})
}

func TestOneTopicOfAnUnknownBrokerIsRefused(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		resp := p.register(spec("broker-a", "127.0.0.1:1", 0, topic("t", 4, 6)))
		if resp.Code != protocol.SystemError || resp.Remark != "register broker failed" {
			t.Errorf("%s %q", protocol.ResponseName(resp.Code), resp.Remark)
		}
		if got := string(p.call(protocol.Command{Code: protocol.GetClusterInfo}, nil, nil).Body); got != `{"brokerAddrTable":{},"clusterAddrTable":{}}` {
			t.Errorf("cluster: %s", got)
		}
	})
}

func TestAnOlderEpochCannotTakeABrokersPlace(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		s := spec("broker-a", "127.0.0.1:1", 0, topic("t", 4, 6), filler)
		s.version.StateVersion = 5
		p.mustRegister(s)
		old := spec("broker-a", "127.0.0.1:2", 0, topic("t", 4, 6), filler)
		old.version.StateVersion = 4
		if resp := p.register(old); resp.Code != protocol.SystemError {
			t.Errorf("the older one: %s", protocol.ResponseName(resp.Code))
		}
		if got := p.route("t").BrokerDatas[0].BrokerAddrs[0]; got != "127.0.0.1:1" {
			t.Errorf("the master is %s", got)
		}
		old.version.StateVersion = 5
		p.mustRegister(old)
		if got := p.route("t").BrokerDatas[0].BrokerAddrs[0]; got != "127.0.0.1:2" {
			t.Errorf("the master is %s", got)
		}
	})
}

func TestOnewayRequestsAreServedWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	body := golden(t, "5.4.0", "body-103-request.json")
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		h := protocol.RegisterBrokerRequest{BrokerName: "broker-a", BrokerAddr: "127.0.0.1:10911", ClusterName: "C"}
		cmd := protocol.Command{Code: protocol.RegisterBroker, Version: protocol.VersionV5_4_0}
		if err := p.conn.Oneway(t.Context(), &cmd, &h, body); err != nil {
			t.Fatal(err)
		}
		synctest.Wait()
		if p.route("TopicTest") == nil {
			t.Error("not registered")
		}
		if n := p.conn.LateResponses(); n != 0 {
			t.Errorf("%d answers to a oneway request", n)
		}
	})
}

func TestTheTableBearsManyAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, Options{})
		var wg sync.WaitGroup
		for i := range 8 {
			p := h.dial()
			wg.Go(func() {
				s := spec(fmt.Sprintf("broker-%d", i%4), fmt.Sprintf("127.0.0.1:%d", i+1), int64(i/4), topic("shared", 4, 6), filler)
				for j := range 25 {
					s.version.Counter++
					p.mustRegister(s)
					p.route("shared")
					p.call(protocol.Command{Code: protocol.GetClusterInfo}, nil, nil)
					if j%5 == i%5 {
						p.call(protocol.Command{Code: protocol.UnregisterBroker}, &protocol.UnregisterBrokerRequest{
							BrokerName: s.name, BrokerAddr: s.addr, ClusterName: s.cluster, BrokerID: s.id,
						}, nil)
					}
				}
				p.close()
			})
		}
		wg.Wait()
		synctest.Wait()
		if r := h.dial().route("shared"); r != nil {
			t.Errorf("every connection has closed, and there is %+v", r)
		}
	})
}
