package load_test

import (
	"fmt"
	"testing"

	"github.com/rocketkit/rocketkit/config/load"
)

func TestLookupFindsTheApplicationsKeys(t *testing.T) {
	t.Parallel()
	lookup, err := load.Lookup(
		load.Data("base.yaml", "yaml", []byte("rocketmq: {name_servers: [ns:9876]}\npay: {topic: orders, Batch-Size: 32, late: , tags: [a, b], rate: 0.5, on: true}\nnodes: [{host: x}]\nall: \"\"\n")),
		load.Data("more.properties", "properties", []byte("pay.topic=payments\nrefund.topic: refunds\n")),
		load.Environ([]string{"PAY_RATE=7", "PAY_TOPIC=", "REFUND_GROUP=g", "PAY_TAGS_1=c"}),
	)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{
		"pay.topic": "payments", "refund.topic": "refunds", "pay.batch_size": "32", "pay.batch-size": "32", "PAY.Batch-Size": "32",
		"pay.rate": "7", "refund.group": "g", "pay.on": "true", "pay.tags[0]": "a", "pay.tags[1]": "c", "nodes[0].host": "x", "all": "",
		"rocketmq.name_servers[0]": "ns:9876",
	} {
		if got, ok := lookup(key); !ok || got != want {
			t.Errorf("%s: %q, %v, want %q", key, got, ok, want)
		}
	}
	for _, key := range []string{"pay", "pay.late", "pay.tags", "topic", "", "nodes"} {
		if got, ok := lookup(key); ok {
			t.Errorf("%q is found: %q", key, got)
		}
	}
}

func TestLookupReportsEveryFileItCannotRead(t *testing.T) {
	t.Parallel()
	_, err := load.Lookup(load.File("none.yaml"), load.Data("x.ini", "ini", nil))
	want := "config: open none.yaml: no such file or directory\nconfig x.ini: unknown format \"ini\"; want one of yaml, yml, toml, json, properties"
	if err == nil || err.Error() != want {
		t.Errorf("%v, want %s", err, want)
	}
}

func ExampleLookup() {
	lookup, err := load.Lookup(
		load.Data("application.yaml", "yaml", []byte("pay: {topic: payments}\nrocketmq: {name_servers: [ns:9876]}")),
		load.Environ([]string{"PAY_CONCURRENCY=32"}),
	)
	if err != nil {
		fmt.Println(err)
		return
	}
	topic, _ := lookup("pay.topic")
	concurrency, _ := lookup("pay.concurrency")
	fmt.Println(topic, concurrency)
	// Output: payments 32
}
