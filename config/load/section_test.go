package load_test

import (
	"errors"
	"flag"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/config/load"
)

type kind string

type node struct {
	Host string `key:"host"`
	Port int    `key:"port"`
}

// shop has a field of every type that a key may have.
type shop struct {
	Addr    string         `key:"addr" env:"HTTP_ADDR"`
	Kind    kind           `key:"kind"`
	Timeout time.Duration  `key:"order_timeout"`
	Grace   *time.Duration `key:"grace"`
	Retries *int           `key:"retries"`
	Limit   config.Size    `key:"body_limit"`
	Rate    float64        `key:"rate"`
	Debug   bool           `key:"debug"`
	Tags    []string       `key:"tags"`
	Store   struct {
		Dir  string `key:"dir" env:"SHOP_HOME"`
		Node node   `key:"node"`
	} `key:"store"`
	Nodes []node `key:"nodes"`

	Hook func() // no key
	err  error
}

func (s *shop) Validate() error { return s.err }

// defaults are what an application has before it loads.
func defaults() shop {
	s := shop{Addr: ":8080", Kind: "all", Timeout: 30 * time.Minute, Retries: ptr(16), Tags: []string{"a", "b", "c"}, Nodes: []node{{"x", 1}, {"y", 2}}}
	s.Store.Dir, s.Store.Node.Port = "data", 7
	return s
}

func TestASectionIsTheApplications(t *testing.T) {
	t.Parallel()
	const full = `
rocketmq: {name_servers: [ns:9876]}
shop:
  addr: ":1"
  kind: pay
  order-timeout: 5s
  grace: 1s
  retries: 0
  body_limit: 1MiB
  rate: 0.5
  debug: true
  tags: [z]
  store: {dir: /var, node: {host: h}}
  nodes: [{host: only}]
other: {addr: ":9"}
`
	const properties = "rocketmq.name_servers=ns:9876\nshop.addr=:1\nshop.kind=pay\nshop.order-timeout=5s\nshop.grace=1s\nshop.retries=0\nshop.body_limit=1MiB\nshop.rate=0.5\n" +
		"shop.debug=true\nshop.tags=z\nshop.store.dir=/var\nshop.store.node.host=h\nshop.nodes[0].host=only\nother.addr=:9\n"
	want := shop{Addr: ":1", Kind: "pay", Timeout: 5 * time.Second, Grace: ptr(time.Second), Retries: ptr(0), Limit: 1 << 20, Rate: 0.5, Debug: true, Tags: []string{"z"}, Nodes: []node{{Host: "only"}}}
	want.Store.Dir, want.Store.Node = "/var", node{"h", 7}
	few := defaults()
	few.Timeout = time.Second
	everything := defaults()
	everything.Addr, everything.Timeout, everything.Store.Dir, everything.Store.Node.Port, everything.Nodes = ":2", time.Minute, "/srv", 8, []node{{"e", 0}}
	flags := defaults()
	flags.Addr, flags.Timeout, flags.Kind, flags.Tags = ":3", time.Hour, "", []string{"f", "g"}
	for name, tc := range map[string]struct {
		opts    []load.Option
		want    shop
		servers []string
	}{
		"nothing":                 {nil, defaults(), nil},
		"everything":              {[]load.Option{load.Data("x", "yaml", []byte(full))}, want, []string{"ns:9876"}},
		"properties":              {[]load.Option{load.Data("x", "properties", []byte(properties))}, want, []string{"ns:9876"}},
		"alone in the file":       {[]load.Option{load.Data("x", "yaml", []byte("shop: {order_timeout: 1s, retries: }"))}, few, nil},
		"beside the client's":     {[]load.Option{load.Data("x", "yaml", []byte("name_servers: a:1\nshop: {order_timeout: 1s}"))}, few, []string{"a:1"}},
		"in another file":         {[]load.Option{load.Data("x", "yaml", []byte("name_servers: a:1")), load.Data("y", "yaml", []byte("shop: {order_timeout: 1s}"))}, few, []string{"a:1"}},
		"an empty section":        {[]load.Option{load.Data("x", "yaml", []byte("shop:\n"))}, defaults(), nil},
		"an application like it":  {[]load.Option{load.Data("x", "yaml", []byte("shop: {order_timeout: 1s}\nshops: {port: 1}\nrocketmq: {driver: native}\n"))}, few, nil},
		"variables over the file": {[]load.Option{load.Data("x", "yaml", []byte("shop: {order_timeout: 1s, addr: \":1\"}")), load.Environ([]string{"HTTP_ADDR=:2", "SHOP_ORDER_TIMEOUT=1m", "SHOP_HOME=/srv", "SHOP_STORE_NODE_PORT=8", "SHOP_NODES_0_HOST=e", "SHOP_RATE=", "SHOP_PORT=tcp://10.0.0.1:80", "SHOPS=1"})}, everything, nil},
		"a variable's own name":   {[]load.Option{load.Environ([]string{"HTTP_ADDR=:1", "SHOP_ADDR=:2", "SHOP_ORDER_TIMEOUT=1m", "SHOP_HOME=/srv", "SHOP_STORE_NODE_PORT=8", "SHOP_NODES_0_HOST=e"})}, everything, nil},
		"flags over variables": {[]load.Option{load.Set("shop.order-timeout", "1h"), load.Environ([]string{"HTTP_ADDR=:2", "SHOP_ORDER_TIMEOUT=1m", "ROCKETMQ_NAME_SERVERS=b:1"}),
			load.Set("shop.addr", ":3"), load.Set("rocketmq.name_servers", "c:1;d:1"), load.Set("shop.tags", "f;g"), load.Set("shop.kind", "pay"), load.Set("shop.kind", "")}, flags, []string{"c:1", "d:1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := defaults()
			cfg, err := load.Load(append([]load.Option{load.Section("shop", &got), load.Environ(nil)}, tc.opts...)...)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tc.want, got, cmp.AllowUnexported(shop{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tc.servers, cfg.NameServers); diff != "" {
				t.Errorf("name servers (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWhatIsSetWinsOverApachesVariable(t *testing.T) {
	t.Parallel()
	env := load.Environ([]string{"NAMESRV_ADDR=a:1", "ROCKETMQ_PRODUCER_RETRIES=5"})
	for key, value := range map[string]string{"rocketmq.name_servers": "", "name-server": "b:1", "rocketmq.name-servers": "b:1"} {
		cfg, err := load.Load(env, load.Set(key, value), load.Set("rocketmq.producer.retries", "1"), load.Set("producer.send-message-timeout", "250"))
		if err != nil || !cmp.Equal(cfg.NameServers, config.SplitAddresses(value)) || *cfg.Producer.Retries != 1 || cfg.Producer.SendTimeout != 250*time.Millisecond {
			t.Errorf("%s: %v, %v", key, cfg, err)
		}
	}
	// A list's elements are set one by one, over the file's.
	file := load.Data("x", "yaml", []byte("consumers: [{group: a}, {group: b, concurrency: 1}]"))
	cfg, err := load.Load(env, file, load.Set("rocketmq.consumers[1].concurrency", "9"), load.Set("rocketmq.consumers[2].group", "c"))
	if want := []config.Consumer{{Group: "a"}, {Group: "b", Concurrency: 9}, {Group: "c"}}; err != nil || !cmp.Equal(cfg.Consumers, want) {
		t.Errorf("%+v, %v", cfg.Consumers, err)
	}
	lookup, err := load.Lookup(load.Data("x", "yaml", []byte("pay: {topic: a, group: g}")), load.Environ([]string{"PAY_TOPIC=b"}), load.Set("pay.topic", "c"))
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"pay.topic": "c", "pay.group": "g"} {
		if got, _ := lookup(key); got != want {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

// A value that is wrong is looked for where it was written, and there it is seldom said which
// of file, variable and flag was meant.
func TestAWrongValueIsNamedWithWhereItIsFrom(t *testing.T) {
	t.Parallel()
	fs := flag.NewFlagSet("test", flag.ContinueOnError)
	own := defaults()
	opts := []load.Option{
		load.Data("base.yaml", "yaml", []byte("shop: {rate: a, retries: b, grace: 1, nodes: [{host: a, port: b}]}\nrocketmq: {producer: {send-message-timeout: soon}}")),
		load.Data("prod.yaml", "yaml", []byte("shop: {rate: b}")),
		load.Environ([]string{"SHOP_DEBUG=perhaps"}),
		load.Section("shop", &own),
		load.Flag(fs, "retries", "shop.retries", "how often"),
		load.Set("rocketmq.producer.max_message_size", "huge"),
	}
	if err := fs.Parse([]string{"--retries=many"}); err != nil {
		t.Fatal(err)
	}
	_, err := load.Load(opts...)
	if err == nil {
		t.Fatal("accepted")
	}
	for key, from := range map[string]string{
		"shop.rate": "prod.yaml", "shop.retries": "--retries", "shop.grace": "base.yaml", "shop.nodes[0].port": "base.yaml", "shop.debug": "variable SHOP_DEBUG",
		"producer.send_timeout": "base.yaml", "producer.max_message_size": "load.Set",
	} {
		found := false
		for line := range strings.Lines(err.Error()) {
			found = found || strings.HasPrefix(line, "config: "+key+": ") && strings.HasSuffix(strings.TrimSpace(line), "; it is from "+from)
		}
		if !found {
			t.Errorf("%s is not said to be from %s in\n%v", key, from, err)
		}
	}
}

func TestMistakesInASectionAreNamed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		yaml string
		env  []string
		sets [][2]string
		want []string
	}{
		"unknown key":          {yaml: "shop: {order_timout: 3s}", want: []string{`"shop.order_timout"`, `"order_timeout"`}},
		"a nearly right name":  {yaml: "shpo: {addr: x}", want: []string{`unknown section "shpo"; there is none "shop" here`}},
		"beside rocketmq":      {yaml: "rocketmq: {driver: native}\nshops: {addr: x}", want: []string{`unknown section "shops"; there is none "shop" here`}},
		"no unit":              {yaml: "shop: {order_timeout: 30}", want: []string{"config: shop.order_timeout: 30 has no unit"}},
		"no number":            {yaml: "shop: {retries: many}", want: []string{`config: shop.retries: "many" is no whole number`}},
		"a value":              {yaml: "shop: 7", want: []string{`"shop"`}},
		"in a list":            {yaml: "shop: {nodes: [{host: a}, {prot: 1}]}", want: []string{`"shop.nodes[1].prot"`, `"nodes[].port"`}},
		"a placeholder":        {yaml: "shop: {addr: '${ADDR}'}", want: []string{"set SHOP_ADDR"}},
		"a slip in a variable": {env: []string{"SHOP_RETRYS=3"}, want: []string{"SHOP_RETRYS", "SHOP_RETRIES"}},
		"a variable":           {env: []string{"SHOP_RETRIES=two"}, want: []string{`shop.retries: "two"`}},
		"its tag's variable":   {env: []string{"SHOP_ORDER_TIMEOUT=3", "HTTP_ADDR=:1"}, want: []string{`shop.order_timeout: "3" is no duration`}},
		"a flag":               {sets: [][2]string{{"shop.retries", ""}}, want: []string{`shop.retries: "" is no whole number`}},
		"a flag's key":         {sets: [][2]string{{"shop.retrys", "1"}}, want: []string{`unknown key "shop.retrys"; the nearest is "retries"`}},
		"a flag for a section": {sets: [][2]string{{"shop.store", "1"}, {"shop", "1"}}, want: []string{`"shop.store" holds keys`, `"shop"`}},
		"a flag for nothing":   {sets: [][2]string{{"shopp.addr", "1"}, {"shop.nodes[3].port", "1"}}, want: []string{`"shopp.addr"`, "index"}},
		"both at once": {yaml: "rocketmq: {producer: {retries: x}}\nshop: {retries: y, rate: z}", env: []string{"SHOP_DEBUG=perhaps"}, sets: [][2]string{{"rocketmq.producer.group", "g"}, {"shop.grace", "1"}},
			want: []string{"config: producer.retries", "config: shop.retries", "config: shop.rate", "config: shop.debug", "config: shop.grace"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := defaults()
			opts := []load.Option{load.Data("test", "yaml", []byte(tc.yaml)), load.Environ(tc.env), load.Section("shop", &got)}
			for _, s := range tc.sets {
				opts = append(opts, load.Set(s[0], s[1]))
			}
			_, err := load.Load(opts...)
			if err == nil {
				t.Fatalf("accepted: %+v", got)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("not mentioned: %s in\n%v", want, err)
				}
			}
			if diff := cmp.Diff(defaults(), got, cmp.AllowUnexported(shop{})); diff != "" {
				t.Errorf("it changed (-want +got):\n%s", diff)
			}
		})
	}
}

func TestASectionValidatesItself(t *testing.T) {
	t.Parallel()
	boom := errors.New("boom")
	got := shop{err: boom}
	_, err := load.Load(load.Section("shop", &got), load.Environ([]string{"SHOP_KIND=pay", "ROCKETMQ_PRODUCER_RETRIES=x"}))
	if !errors.Is(err, boom) || !strings.Contains(err.Error(), "producer.retries") || got.Kind != "" {
		t.Errorf("%v, %+v", err, got)
	}
}

func TestASectionThatNothingCanBeReadIntoIsAnError(t *testing.T) {
	t.Parallel()
	type within struct {
		Nodes []within `key:"nodes"`
	}
	for name, tc := range map[string]struct {
		section string
		into    any
		want    string
	}{
		"no pointer":    {"shop", shop{}, "a pointer to a struct, not load_test.shop"},
		"nil":           {"shop", nil, "a pointer to a struct, not <nil>"},
		"a nil pointer": {"shop", (*shop)(nil), "a pointer to a struct"},
		"no struct":     {"shop", new(int), "a pointer to a struct, not *int"},
		"no keys":       {"shop", new(struct{ A int }), "no field with a tag key"},
		"a bad key": {"shop", new(struct {
			A int `key:"Order-Timeout"`
		}), `field A: the key "Order-Timeout"`},
		"two keys": {"shop", new(struct {
			A int `key:"a"`
			B int `key:"a"`
		}), `field B: the key "a"`},
		"a map": {"shop", new(struct {
			A map[string]int `key:"a"`
		}), "field A: nothing can be read into a map[string]int"},
		"a pointer to a list": {"shop", new(struct {
			A *[]string `key:"a"`
		}), "field A: nothing can be read into a *[]string"},
		"below": {"shop", new(struct {
			A []struct {
				B chan int `key:"b"`
			} `key:"a"`
		}), "field A: field B: nothing can be read into a chan int"},
		"in itself":    {"shop", new(within), "is in itself"},
		"the client's": {"rocketmq", new(shop), "the client's"},
		"a client's":   {"producer", new(shop), "the client's"},
		"a spring key": {"consumer", new(shop), "the client's"},
		"no name":      {"", new(shop), "small letters"},
		"a bad name":   {"Shop", new(shop), "small letters"},
	} {
		if _, err := load.Load(load.Section(tc.section, tc.into), load.Environ(nil)); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("section %q", tc.section)) || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := load.Load(load.Section("shop", new(shop)), load.Section("shop", new(shop)), load.Environ(nil)); err == nil || !strings.Contains(err.Error(), "twice") {
		t.Error(err)
	}
}

func ExampleSection() {
	own := struct {
		Addr    string        `key:"addr" env:"HTTP_ADDR"`
		Timeout time.Duration `key:"order_timeout"`
	}{Addr: ":8080", Timeout: 30 * time.Minute}
	cfg, err := load.Load(
		load.Data("app.yaml", "yaml", []byte("rocketmq: {name_servers: [ns:9876]}\nshop: {order_timeout: 10m}")),
		load.Section("shop", &own),
		load.Environ([]string{"HTTP_ADDR=:9090"}),
	)
	fmt.Println(cfg.NameServers, own.Addr, own.Timeout, err)
	// Output: [ns:9876] :9090 10m0s <nil>
}

// Flags win over files and the environment.
func ExampleFlag() {
	fs := flag.NewFlagSet("shop", flag.ContinueOnError)
	own := struct {
		Timeout time.Duration `key:"order_timeout"`
	}{30 * time.Minute}
	opts := []load.Option{
		load.Section("shop", &own), load.Environ([]string{"SHOP_ORDER_TIMEOUT=10m", "ROCKETMQ_NAME_SERVERS=ns:9876"}),
		load.Flag(fs, "order-timeout", "shop.order_timeout", "how long an order may stay unpaid"),
		load.Flag(fs, "name-servers", "rocketmq.name_servers", "where RocketMQ is"),
	}
	if err := fs.Parse([]string{"--order-timeout", "5s"}); err != nil {
		fmt.Println(err)
		return
	}
	cfg, err := load.Load(opts...)
	fmt.Println(cfg.NameServers, own.Timeout, err)
	// Output: [ns:9876] 5s <nil>
}
