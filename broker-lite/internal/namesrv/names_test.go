package namesrv

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

func TestABrokersOldNameIsGoneWhenItRegistersByAnother(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := start(t, Options{}).dial()
		p.mustRegister(spec("slave-stays", "127.0.0.1:10911", 0, topic("kept", 4, 6), filler))
		p.mustRegister(spec("slave-stays", "127.0.0.1:10921", 1))
		for i := range 5 {
			p.mustRegister(spec(fmt.Sprint("broker-", i), "127.0.0.1:10911", 0, topic(fmt.Sprint("of-", i), 4, 6), filler))
		}
		list := string(p.call(protocol.Command{Code: protocol.GetTopicList}, nil, nil).Body)
		if want := `{"topicList":["filler","kept","of-4"]}`; list != want {
			t.Errorf("topics %s, want %s", list, want)
		}
		if r := p.route("filler"); len(r.BrokerDatas) != 2 || r.BrokerDatas[0].BrokerName != "broker-4" || r.BrokerDatas[1].BrokerName != "slave-stays" {
			t.Errorf("brokers of the route: %+v", r.BrokerDatas)
		}
		if diff := cmp.Diff(map[int64]string{1: "127.0.0.1:10921"}, p.route("kept").BrokerDatas[0].BrokerAddrs); diff != "" {
			t.Errorf("the master that is another's now (-want +got):\n%s", diff)
		}
	})
}

func TestAConnectionRegistersNoMoreBrokersThanAContainerHas(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := start(t, Options{})
		p := h.dial()
		one := func(i int) brokerSpec {
			return spec(fmt.Sprint("broker-", i), fmt.Sprint("127.0.0.1:", 10911+i), 0, topic("TopicTest", 4, 6), filler)
		}
		for i := range maxBrokers {
			p.mustRegister(one(i))
		}
		resp := p.register(one(maxBrokers))
		if resp.Code != protocol.SystemError || !strings.Contains(resp.Remark, "has registered 64 brokers already") {
			t.Errorf("one too many: %s %q", protocol.ResponseName(resp.Code), resp.Remark)
		}
		if n := len(p.route("TopicTest").BrokerDatas); n != maxBrokers {
			t.Errorf("%d brokers have the topic", n)
		}
		p.mustRegister(one(0))
		h.dial().mustRegister(one(maxBrokers))
	})
}
