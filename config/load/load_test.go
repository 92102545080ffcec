package load_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/config/load"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func ptr[T any](v T) *T { return &v }

// full is what the files of one meaning say.
func full() config.Config {
	return config.Config{
		NameServers: []string{"ns1:9876", "ns2:9876"}, Driver: "rocketmq-client-go", Namespace: "shop", VIPChannel: true,
		Credentials: config.Credentials{AccessKey: "ak", SecretKey: "sk"},
		TLS:         config.TLS{Enabled: true, CAFile: "/ca.pem"},
		Producer: config.Producer{
			Group: "pay_group", SendTimeout: 10 * time.Second, Retries: ptr(0), MaxMessageSize: 1 << 20, MaxInFlight: 64, FailFast: true, Compression: "zstd", CompressOver: 2 << 10, RetryAsync: ptr(false), RateLimit: 2.5, AvoidSlow: true, Linger: 5 * time.Millisecond, BatchBytes: 64 << 10, RequireDurable: true,
			Breaker: config.Breaker{Enabled: ptr(false), OpenFor: 500 * time.Millisecond},
		},
		Consumers: []config.Consumer{
			{Group: "pay_consumer_group", Model: "clustering", From: "last", Concurrency: 20, MaxRetries: ptr(16), ConsumeTimeout: 15 * time.Minute,
				Handlers: []config.Handler{{Name: "paid", Enabled: ptr(true), Concurrency: 32}, {Name: "refund"}}},
			{Group: "other"},
		},
		Telemetry: config.Telemetry{Traces: ptr(true), MessageTrace: ptr(true), MessageTraceTopic: "OUR_TRACE"},
	}
}

const fullYAML = `
rocketmq:
  name_servers: ["ns1:9876", "ns2:9876"]
  driver: rocketmq-client-go
  namespace: shop
  vip_channel: true
  credentials: {access_key: ak, secret_key: sk}
  tls: {enabled: true, ca_file: /ca.pem}
  producer:
    group: pay_group
    send_timeout: 10s
    retries: 0
    max_message_size: 1MiB
    max_in_flight: 64
    fail_fast: true
    compression: zstd
    compress_over: 2KiB
    retry_async: false
    rate_limit: 2.5
    avoid_slow: true
    linger: 5ms
    batch_bytes: 64KiB
    require_durable: true
    breaker: {enabled: false, open_for: 500ms}
  consumers:
    - group: pay_consumer_group
      model: clustering
      from: last
      concurrency: 20
      max_retries: 16
      consume_timeout: 15m
      handlers: [{name: paid, enabled: true, concurrency: 32}, {name: refund}]
    - {group: other}
  telemetry: {traces: true, message_trace: true, message_trace_topic: OUR_TRACE}
server: {port: 8080}
`

const fullTOML = `
name-servers = "ns1:9876;ns2:9876"
driver = "rocketmq-client-go"
namespace = "shop"
vip-channel = true
[credentials]
access-key = "ak"
secret-key = "sk"
[tls]
enabled = true
ca-file = "/ca.pem"
[producer]
group = "pay_group"
send-timeout = "10s"
retries = 0
max-message-size = 1048576
max-in-flight = 64
fail-fast = true
compression = "zstd"
compress-over = "2KiB"
retry-async = false
rate-limit = 2.5
avoid-slow = true
linger = "5ms"
batch-bytes = 65536
require-durable = true
[producer.breaker]
enabled = false
open-for = "500ms"
[[consumers]]
group = "pay_consumer_group"
model = "clustering"
from = "last"
concurrency = 20
max-retries = 16
consume-timeout = "15m"
[[consumers.handlers]]
name = "paid"
enabled = true
concurrency = 32
[[consumers.handlers]]
name = "refund"
[[consumers]]
group = "other"
[telemetry]
traces = true
message-trace = true
message-trace-topic = "OUR_TRACE"
`

const fullJSON = `{"rocketmq": {"name-server": "ns1:9876;ns2:9876", "driver": "rocketmq-client-go", "vip_channel": true,
 "producer": {"namespace": "shop", "avoid_slow": true, "access-key": "ak", "secret-key": "sk", "tls-enable": true, "group": "pay_group", "send-message-timeout": 10000,
  "retry-times-when-send-failed": 0, "retry-times-when-send-async-failed": 0, "max-message-size": 1048576, "max_in_flight": 64, "fail_fast": true,
  "compression": "zstd", "compress-message-body-threshold": 2048, "retry_async": false, "rate-limit": 2.5, "linger": "5ms", "batch-bytes": "64KiB", "require-durable": true,
  "enable-msg-trace": true, "customized-trace-topic": "OUR_TRACE", "breaker": {"enabled": false, "open_for": "500ms"}},
 "tls": {"ca_file": "/ca.pem"},
 "consumers": [{"group": "pay_consumer_group", "model": "clustering", "from": "last", "concurrency": 20, "max_retries": 16, "consume_timeout": "15m",
  "handlers": [{"name": "paid", "enabled": true, "concurrency": 32}, {"name": "refund"}]}, {"group": "other"}],
 "telemetry": {"traces": true}}}`

const fullProperties = `
# as rocketmq-spring has it
rocketmq.name-server=ns1:9876;ns2:9876
rocketmq.driver : rocketmq-client-go
rocketmq.producer.namespace=shop
rocketmq.vip-channel=true
rocketmq.producer.avoid-slow=true
rocketmq.producer.access-key ak
rocketmq.producer.secret-key = s\u006b
rocketmq.tls.enabled=true
rocketmq.tls.ca-file=/ca.pem
rocketmq.producer.group=pay_group
rocketmq.producer.send-message-timeout=10000
rocketmq.producer.retries=0
rocketmq.producer.max-message-size=1MiB
rocketmq.producer.max-in-flight=64
rocketmq.producer.fail-fast=true
rocketmq.producer.compression=zstd
rocketmq.producer.compress-message-body-threshold=2048
rocketmq.producer.retry-async=false
rocketmq.producer.rate-limit=2.5
rocketmq.producer.linger=5ms
rocketmq.producer.batch-bytes=64KiB
rocketmq.producer.require-durable=true
rocketmq.producer.breaker.enabled=false
rocketmq.producer.breaker.open-for=500\
    ms
rocketmq.consumers[0].group=pay_consumer_group
rocketmq.consumers[0].model=clustering
rocketmq.consumers[0].from=last
rocketmq.consumers[0].concurrency=20
rocketmq.consumers[0].max-retries=16
rocketmq.consumers[0].consume-timeout=15m
rocketmq.consumers[0].handlers[0].name=paid
rocketmq.consumers[0].handlers[0].enabled=true
rocketmq.consumers[0].handlers[0].concurrency=32
rocketmq.consumers[0].handlers[1].name=refund
rocketmq.consumers[1].group=other
rocketmq.telemetry.traces=true
rocketmq.producer.enable-msg-trace=true
rocketmq.producer.customized-trace-topic=OUR_TRACE
! not ours
server.port=8080
`

func TestEveryFormatSaysTheSame(t *testing.T) {
	t.Parallel()
	for ext, text := range map[string]string{"yaml": fullYAML, "yml": fullYAML, "toml": fullTOML, "json": fullJSON, "properties": fullProperties} {
		t.Run(ext, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "app."+ext)
			if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			for name, opt := range map[string]load.Option{"file": load.File(path), "data": load.Data("app", ext, []byte(text))} {
				got, err := load.Load(opt, load.Environ(nil))
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if diff := cmp.Diff(full(), got); diff != "" {
					t.Errorf("%s (-want +got):\n%s", name, diff)
				}
				if err := got.WithDefaults().Validate(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

func TestGroupsAreOrderedAndBroadcastByTheirKeys(t *testing.T) {
	t.Parallel()
	got, err := load.Load(
		load.Data("app", "yaml", []byte("name_servers: [ns1:9876]\nproducer: {compression-level: 7}\nconsumers:\n- {group: cache, model: broadcasting, instance: node-1, offset-dir: /data}\n- {group: steps, order: sharding_key, suspend: 5s, allocation: by_circle, pull_wait: 3s, invisible: 2m}")),
		load.Environ([]string{"ROCKETMQ_CONSUMERS_0_INSTANCE=node-2"}))
	if err != nil {
		t.Fatal(err)
	}
	want := []config.Consumer{
		{Group: "cache", Model: "broadcasting", Instance: "node-2", OffsetDir: "/data"},
		{Group: "steps", Order: "sharding_key", Suspend: 5 * time.Second, Allocation: "by_circle", PullWait: 3 * time.Second, Invisible: 2 * time.Minute},
	}
	if diff := cmp.Diff(want, got.Consumers); diff != "" || got.Producer.CompressionLevel != 7 {
		t.Errorf("level %d; (-want +got):\n%s", got.Producer.CompressionLevel, diff)
	}
	if err := got.WithDefaults().Validate(); err != nil {
		t.Error(err)
	}
}

func TestTheEnvironmentWinsOverFiles(t *testing.T) {
	t.Parallel()
	got, err := load.Load(
		load.Data("base", "yaml", []byte("producer: {group: base, retries: 1, max_in_flight: 7}\nconsumers: [{group: a}, {group: b}]")),
		load.Data("local", "yaml", []byte("producer: {group: local}")),
		load.Environ([]string{
			"ROCKETMQ_NAME_SERVERS=env:9876;env2:9876", "NAMESRV_ADDR=apache:9876",
			"ROCKETMQ_PRODUCER_RETRIES=5", "ROCKETMQ_PRODUCER_SEND_MESSAGE_TIMEOUT=250", "ROCKETMQ_PRODUCER_BREAKER_ENABLED=off",
			"ROCKETMQ_PRODUCER_MAX_MESSAGE_SIZE=2MiB", "ROCKETMQ_PRODUCER_FAIL_FAST=", "ROCKETMQ_CREDENTIALS_SECRET_KEY=s=k",
			"ROCKETMQ_CONSUMERS_1_CONCURRENCY=9", "ROCKETMQ_CONSUMERS_2_GROUP=c", "ROCKETMQ_CONSUMERS_2_HANDLERS_0_NAME=h",
			"ROCKETMQ_HOME=/opt/rocketmq", "ROCKETMQ_SERVICE_HOST=10.0.0.1", "ROCKETMQ_PORT_9876_TCP=tcp://10.0.0.1:9876", "PATH=/bin",
		}))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		NameServers: []string{"env:9876", "env2:9876"}, Credentials: config.Credentials{SecretKey: "s=k"},
		Producer: config.Producer{
			Group: "local", Retries: ptr(5), MaxInFlight: 7, SendTimeout: 250 * time.Millisecond, MaxMessageSize: 2 << 20, Breaker: config.Breaker{Enabled: ptr(false)},
		},
		Consumers: []config.Consumer{{Group: "a"}, {Group: "b", Concurrency: 9}, {Group: "c", Handlers: []config.Handler{{Name: "h"}}}},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestListsOfMoreThanTenKeepTheirOrder(t *testing.T) {
	t.Parallel()
	var file strings.Builder
	var env []string
	for i := range 12 {
		fmt.Fprintf(&file, "consumers[%d].group=g%d\n", i, i)
		env = append(env, fmt.Sprintf("ROCKETMQ_CONSUMERS_%d_GROUP=e%d", i, i))
	}
	for prefix, opts := range map[string][]load.Option{
		"g": {load.Data("x", "properties", []byte(file.String())), load.Environ(nil)},
		"e": {load.Environ(env)},
	} {
		got, err := load.Load(opts...)
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range got.Consumers {
			if c.Group != fmt.Sprint(prefix, i) {
				t.Errorf("consumer %d is %s", i, c.Group)
			}
		}
		if len(got.Consumers) != 12 {
			t.Errorf("%d consumers", len(got.Consumers))
		}
	}
}

func TestApachesVariableIsTheLastResort(t *testing.T) {
	t.Parallel()
	env := load.Environ([]string{"NAMESRV_ADDR=a:9876;b:9876"})
	got, err := load.Load(env)
	if err != nil || !cmp.Equal(got.NameServers, []string{"a:9876", "b:9876"}) {
		t.Errorf("%v, %v", got.NameServers, err)
	}
	got, err = load.Load(env, load.Data("x", "yaml", []byte("name_servers: c:9876")))
	if err != nil || !cmp.Equal(got.NameServers, []string{"c:9876"}) {
		t.Errorf("%v, %v", got.NameServers, err)
	}
}

func TestTheProcessesEnvironmentIsTheDefault(t *testing.T) {
	t.Setenv("ROCKETMQ_PRODUCER_GROUP", "from_env")
	got, err := load.Load()
	if err != nil || got.Producer.Group != "from_env" {
		t.Errorf("%+v, %v", got.Producer, err)
	}
}

// The file is that of rocketmq-spring's sample of a producer, with more keys in the
// spelling of Java, which Spring takes as well, and in that of its variables.
func TestKeysInCamelCaseAreTheSame(t *testing.T) {
	t.Parallel()
	got, err := load.Load(load.Data("application.properties", "properties", []byte(`
rocketmq.name-server=localhost:9876
rocketmq.producer.group=my-group1
rocketmq.producer.sendMessageTimeout=300000
rocketmq.producer.enableMsgTrace=true
rocketmq.producer.maxInFlight=7
rocketmq.consumers[0].group=readers
rocketmq.consumers[0].maxRetries=3
rocketmq.consumers[0].handlers[0].name=paid
rocketmq.consumers[0].handlers[0].killSwitch.enabled=true

# properties used in the application
demo.rocketmq.topic=string-topic
demo.rocketmq.orderTopic=order-paid-topic
`)), load.Environ([]string{"ROCKETMQ_PRODUCER_COMPRESSMESSAGEBODYTHRESHOLD=4096", "ROCKETMQ_CONSUMERS_0_PULLBATCH=9"}))
	if err != nil {
		t.Fatal(err)
	}
	want := config.Config{
		NameServers: []string{"localhost:9876"},
		Producer:    config.Producer{Group: "my-group1", SendTimeout: 5 * time.Minute, MaxInFlight: 7, CompressOver: 4 << 10},
		Consumers: []config.Consumer{{Group: "readers", MaxRetries: ptr(3), PullBatch: 9,
			Handlers: []config.Handler{{Name: "paid", KillSwitch: config.KillSwitch{Enabled: true}}}}},
		Telemetry: config.Telemetry{MessageTrace: ptr(true)},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestMistakesAreNamed(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		yaml string
		env  []string
		want []string
	}{
		"unknown key":            {yaml: "producer: {send_timout: 3s}", want: []string{`"producer.send_timout"`, `"producer.send_timeout"`}},
		"unknown section":        {yaml: "prodcer: {group: x}", want: []string{`"prodcer.group"`, `"producer.group"`}},
		"key of another section": {yaml: "send_timeout: 3s", want: []string{`nearest is "producer.send_timeout"`}},
		"unknown key in a list":  {yaml: "consumers: [{group: a}, {grup: b}]", want: []string{`"consumers[1].grup"`, `"consumers[].group"`}},
		"unknown shared section": {yaml: "rocketmqq: {name_servers: a}", want: []string{`unknown section "rocketmqq"; where`, `a section "rocketmq"`}},
		"under rocketmq":         {yaml: "rocketmq: {producr: {group: x}}", want: []string{`"rocketmq.producr.group"`, "nearest"}},
		"a spring key":           {yaml: "producer: {retry-next-server: true}", want: []string{"rocketmq-spring", "another broker"}},
		"spring's consumer":      {yaml: "consumer: {group: x}", want: []string{"rocketmq-spring", "consumers: [{group"}},
		"spring's account":       {yaml: "rocketmq: {consumer: {access-key: ak}}", want: []string{`"rocketmq.consumer.access-key" of rocketmq-spring`, "credentials: {access_key"}},
		"spring's listeners":     {yaml: "consumer: {listeners: {g: {t: false}}}", want: []string{`"consumer.listeners.g.t" of rocketmq-spring`, "enabled: false"}},
		"spring's new namespace": {yaml: "producer: {namespace-v2: ns}", want: []string{"rocketmq-spring", "use namespace"}},
		"spring's, in Java":      {yaml: "rocketmq: {pullConsumer: {accessKey: ak, group: x}, accessChannel: LOCAL}", want: []string{"credentials: {access_key", "consumers: [{group", "remove it"}},
		"two cases":              {yaml: "producer: {sendTimeout: 1s, send_timeout: 2s}", want: []string{"send_timeout", "different"}},
		"no section of ours":     {yaml: "server: {port: 1}\nspring: {application: {name: a}}", want: []string{`section "server"; where`, `section "spring"; where`, `a section "rocketmq"`}},
		"a list as a section":    {yaml: "rocketmq: {consumers: {group: a, handlers: [{name: x}, {name: y}]}}", want: []string{`"rocketmq.consumers.group"; consumers is a list: consumers: [{group: …}]`, `consumers: [{handlers: …}]`}},
		"a list in a list":       {yaml: "consumers: [{group: a, handlers: {name: x}}]", want: []string{`"consumers[0].handlers.name"; handlers is a list: handlers: [{name: …}]`}},
		"nothing like it":        {yaml: "rocketmq: {zookeeper: x}", want: []string{`"rocketmq.zookeeper"; there is none like it in section "rocketmq", which has consumers, credentials, driver`}},
		"two documents":          {yaml: "---\nproducer: {group: a}\n---\nproducer: {group: b}", want: []string{"config test: it holds several documents", "load.File"}},
		"a placeholder":          {yaml: "producer: {group: '${APP:pay}-group'}", want: []string{`"producer.group" has a placeholder`, "set ROCKETMQ_PRODUCER_GROUP"}},
		"placeholders in lists":  {yaml: "rocketmq: {name-server: ['${NS}'], consumers: [{group: '${G}'}]}", want: []string{`"rocketmq.name-server" has a`, "set ROCKETMQ_NAME_SERVERS", "set ROCKETMQ_CONSUMERS_0_GROUP"}},
		"no unit":                {yaml: "producer: {send_timeout: 3000}", want: []string{"producer.send_timeout", "3000", "unit"}},
		"bad unit":               {yaml: "producer: {send_timeout: 3 potatoes}", want: []string{"producer.send_timeout", "3 potatoes"}},
		"bad size":               {yaml: "producer: {max_message_size: 4 potatoes}", want: []string{"max_message_size", "4 potatoes"}},
		"a fraction":             {yaml: "producer: {retries: 2.5}", want: []string{"producer.retries", "2.5"}},
		"a rate of NaN":          {yaml: "producer: {rate_limit: 'NaN'}", want: []string{"rate_limit", "NaN"}},
		"a fraction of a size":   {yaml: "producer: {max_message_size: 2.5}", want: []string{"max_message_size", "2.5"}},
		"no number":              {yaml: "producer: {retries: many}", want: []string{"producer.retries", "many"}},
		"no boolean":             {yaml: "producer: {fail_fast: perhaps}", want: []string{"producer.fail_fast", "perhaps"}},
		"a number for a name":    {yaml: "producer: {group: 7}", want: []string{"producer.group", "string"}},
		"a value for a section":  {yaml: "producer: 7", want: []string{`"producer" holds keys`}},
		"a map for a list":       {yaml: "consumers: {group: a}", want: []string{"consumers.group", "consumers is a list"}},
		"values for a list":      {yaml: "consumers: [a, b]", want: []string{`"consumers" holds keys`}},
		"two spellings":          {yaml: "name-server: a:1\nname_servers: b:1", want: []string{`"name-server"`, `"name_servers"`, "different"}},
		"two retries":            {yaml: "producer: {retries: 1, retry-times-when-send-failed: 2}", want: []string{"retry-times-when-send-failed", "different"}},
		"broken file":            {yaml: "producer: [", want: []string{"config test"}},
		"variable, nearly a key": {env: []string{"ROCKETMQ_PRODUCER_SEND_TIMEOT=3s"}, want: []string{"ROCKETMQ_PRODUCER_SEND_TIMEOT", "ROCKETMQ_PRODUCER_SEND_TIMEOUT"}},
		"variable, bad value":    {env: []string{"ROCKETMQ_PRODUCER_RETRIES=two"}, want: []string{"producer.retries", "two"}},
		"variable past the end":  {env: []string{"ROCKETMQ_CONSUMERS_3_GROUP=x"}, want: []string{"ROCKETMQ_CONSUMERS_3_GROUP", "index"}},
		"two mistakes at once":   {yaml: "a: 1\nb: 2", env: []string{"ROCKETMQ_PRODUCER_RETRIES=two"}, want: []string{`"a"`, `"b"`, "two"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := load.Load(load.Data("test", "yaml", []byte(tc.yaml)), load.Environ(tc.env))
			if err == nil {
				t.Fatalf("accepted: %+v", got)
			}
			for _, want := range tc.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("not mentioned: %s in\n%v", want, err)
				}
			}
		})
	}
}

func TestSecretsAreNotInErrors(t *testing.T) {
	t.Parallel()
	for _, yaml := range []string{
		"credentials: {secret_key: hunter2}\nproducer: {secret-key: hunter2b}",
		"credentials: {secret_key: [hunter2]}", "credentials: {secret_key: {hunter: hunter2}}", "credentials: hunter2",
	} {
		_, err := load.Load(load.Data("test", "yaml", []byte(yaml)), load.Environ(nil))
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", yaml, err)
		}
	}
}

func TestFilesThatCannotBeRead(t *testing.T) {
	t.Parallel()
	for path, want := range map[string]string{"/does/not/exist.yaml": "no such file", "x.ini": `unknown format "ini"`, "x": `unknown format ""`} {
		if _, err := load.Load(load.File(path), load.Environ(nil)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

func TestEmptySourcesSayNothing(t *testing.T) {
	t.Parallel()
	for _, text := range []string{"", "rocketmq:", "rocketmq: {}", "producer:\nconsumers: []\ntls: {}", "producer: {group: }"} {
		got, err := load.Load(load.Data("test", "yaml", []byte(text)), load.Environ(nil))
		if err != nil || len(got.NameServers) != 0 || got.Producer.Group != "" || len(got.Consumers) != 0 {
			t.Errorf("%q: %+v, %v", text, got, err)
		}
	}
}

func ExampleLoad() {
	cfg, err := load.Load(
		load.Data("app.yaml", "yaml", []byte("rocketmq: {name-server: 'ns1:9876;ns2:9876', producer: {group: pay_group}}")),
		load.Environ([]string{"ROCKETMQ_PRODUCER_RETRIES=3"}), // by default the process's own
	)
	fmt.Println(cfg, err)
	// Output: name_servers=[ns1:9876 ns2:9876] producer.group=pay_group producer.retries=3 <nil>
}
