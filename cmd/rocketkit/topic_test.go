package main

import (
	"encoding/json"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
)

func TestTopicsAreMadeAndShown(t *testing.T) {
	t.Parallel()
	c, b := withServer(t)
	addr := b.Addr()
	want := "create topic to " + addr + " success.\nTopicConfig [topicName=orders, readQueueNums=8, writeQueueNums=8, perm=RW-, topicFilterType=SINGLE_TAG, topicSysFlag=0, order=false, attributes={}]\n"
	if diff := cmp.Diff(want, c.must("topic", "create", "orders")); diff != "" {
		t.Errorf("create (-want +got):\n%s", diff)
	}
	c.must("topic", "create", "-t", "small", "-b", addr, "-r", "3", "-w", "2", "-p", "4")
	c.must("topic", "create", "small2", "-c", "DefaultCluster", "-r", "1", "-w", "1")
	list := strings.Split(c.must("topic", "list"), "\n")
	for _, topic := range []string{"orders", "small", "small2", "TBW102"} {
		if !slices.Contains(list, topic) {
			t.Errorf("%s is not in %q", topic, list)
		}
	}
	if !slices.IsSorted(list[:len(list)-1]) {
		t.Errorf("%q is not sorted", list)
	}
	pad := strings.Repeat(" ", len(addr)+4-len("#BrokerAddrs"))
	want = "#ClusterName    #BrokerName  #BrokerAddrs" + pad + "  #ReadQueue  #WriteQueue  #Perm\n" +
		"DefaultCluster  broker-a     {0=" + addr + "}  3           2            4\n"
	got, _, _ := strings.Cut(c.must("topic", "route", "small"), "Total:")
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("route (-want +got):\n%s", diff)
	}
	var route struct {
		BrokerDatas []struct{ BrokerAddrs map[string]string }
		QueueDatas  []struct{ ReadQueueNums int }
	}
	if err := json.Unmarshal([]byte(c.must("topic", "route", "-t", "small", "--json")), &route); err != nil || route.BrokerDatas[0].BrokerAddrs["0"] != addr || route.QueueDatas[0].ReadQueueNums != 3 {
		t.Errorf("%+v, %v", route, err)
	}
	c.must("send", "-t", "small2", "--body", "x", "--count", "3")
	status := c.must("topic", "status", "small2")
	if !regexp.MustCompile(`^#Broker Name  #QID  #Min Offset  #Max Offset  #Last Updated\nbroker-a      0     0            3            \d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}\n\nMessages: 3\nTopic Put TPS: \d+\.\d\n$`).MatchString(status) {
		t.Errorf("status:\n%s", status)
	}
}

// The second broker is in the cluster of the first.
func TestTopicsAreMadeOnOneBrokerOrOnAll(t *testing.T) {
	t.Parallel()
	c, b := withServer(t)
	_, second := withServer(t, brokerlite.WithRole(brokerlite.RoleBroker), brokerlite.NameServers(b.NameServer()), brokerlite.Name("broker-b", "DefaultCluster"))
	brokers := func(topic string) []string {
		t.Helper()
		var route struct {
			QueueDatas []struct{ BrokerName string }
		}
		if err := json.Unmarshal([]byte(c.must("topic", "route", "-t", topic, "--json")), &route); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, q := range route.QueueDatas {
			names = append(names, q.BrokerName)
		}
		slices.Sort(names)
		return names
	}
	c.must("topic", "create", "everywhere", "-c", "DefaultCluster")
	if got := brokers("everywhere"); !slices.Equal(got, []string{"broker-a", "broker-b"}) {
		t.Errorf("with -c the topic is on %q", got)
	}
	c.must("topic", "create", "there", "-b", second.Addr())
	if got := brokers("there"); !slices.Equal(got, []string{"broker-b"}) {
		t.Errorf("with -b the topic is on %q", got)
	}
	c.must("send", "-t", "everywhere", "--body", "x", "--count", "16")
	if status := c.must("topic", "status", "everywhere"); strings.Count(status, "broker-a") != 8 || strings.Count(status, "broker-b") != 8 || !strings.Contains(status, "Messages: 16") {
		t.Errorf("status:\n%s", status)
	}
}
