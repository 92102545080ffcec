package load_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/config/load"
)

type base struct {
	Dir string `key:"dir"`
}

// A section that could be read in two ways is a mistake of the program.
func TestASectionThatIsAmbiguousIsRefused(t *testing.T) {
	t.Parallel()
	var numbered struct {
		A string `key:"port_2"`
	}
	var twoWays struct {
		A     string `key:"order_timeout"`
		Order struct {
			Timeout string `key:"timeout"`
		} `key:"order"`
	}
	var embeds struct {
		base
		Addr string `key:"addr"`
	}
	var long, short struct {
		A string `key:"a_b"`
		B string `key:"b"`
	}
	for name, tc := range map[string]struct {
		opts []load.Option
		want string
	}{
		"a number in a key":             {[]load.Option{load.Section("shop", &numbered)}, `the key "port_2"`},
		"a key that is a section's too": {[]load.Option{load.Section("shop", &twoWays)}, "SHOP_ORDER_TIMEOUT"},
		"sections that are alike":       {[]load.Option{load.Section("shop", &long), load.Section("shop_a", &short)}, "SHOP_A_B"},
		"an embedded struct":            {[]load.Option{load.Section("shop", &embeds)}, "base"},
		"an alias of the client's":      {[]load.Option{load.Section("name_server", &short)}, "the client's"},
		"a key's first word":            {[]load.Option{load.Section("shop", &short), load.Section("shop", &short)}, "read twice"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := load.Load(append(tc.opts, load.Environ(nil))...)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error %v, want %s", err, tc.want)
			}
		})
	}
}

// A variable of one section is no slip of another's.
func TestAVariableOfAnotherSectionIsNoSlip(t *testing.T) {
	t.Parallel()
	var one struct {
		A string `key:"order_timeout"`
	}
	var other struct {
		A string `key:"timeouts"`
	}
	if _, err := load.Load(load.Section("shop", &one), load.Section("shop_order", &other), load.Environ([]string{"SHOP_ORDER_TIMEOUTS=5"})); err != nil || other.A != "5" || one.A != "" {
		t.Errorf("%v, %q, %q", err, other.A, one.A)
	}
}

// A field without a key is left alone, also when a key is called as it is.
func TestAFieldWithoutAKeyIsLeftAlone(t *testing.T) {
	t.Parallel()
	own := struct {
		Host    string
		Address string `key:"host"`
		Port    func()
		Number  int `key:"port"`
	}{Host: "mine"}
	_, err := load.Load(load.Section("shop", &own), load.Environ(nil), load.Data("x", "yaml", []byte("shop: {host: theirs, port: 1}")))
	if err != nil || own.Host != "mine" || own.Address != "theirs" || own.Number != 1 || own.Port != nil {
		t.Errorf("%v, %+v", err, own.Host)
	}
}

// A section that is no map says so, and is not passed over.
func TestASectionThatIsAListOrATextIsRefused(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"shop: [{addr: a}]\nrocketmq: {driver: native}",
		"shop: [a]\nrocketmq: {driver: native}",
		"shop: a\nrocketmq: {driver: native}",
		"shop: 1", "shop: []", "shop: [{addr: a}]",
		"shop: {store: [{dir: a}]}", "shop: {nodes: {host: a}}", "shop: {nodes: [a]}", "shop: {addr: {b: c}}", "shop: {addr: [a]}",
		"rocketmq: [a]\nshop: {addr: a}", "rocketmq: a\nshop: {addr: a}", "rocketmq: [{driver: native}]",
	} {
		own := defaults()
		if _, err := load.Load(load.Section("shop", &own), load.Environ(nil), load.Data("x", "yaml", []byte(text))); err == nil || !strings.Contains(err.Error(), "shop") && !strings.Contains(err.Error(), "rocketmq") {
			t.Errorf("%s: error %v", text, err)
		}
	}
}

// Numbers that a field cannot hold are not made others.
func TestANumberThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	type fields struct {
		N int           `key:"n"`
		P *int          `key:"p"`
		S config.Size   `key:"s"`
		F float64       `key:"f"`
		D time.Duration `key:"d"`
	}
	for _, tc := range []string{
		"n: 18446744073709551615", "n: 9223372036854775808", "n: .inf", "n: -.inf", "n: .nan", "n: 1e300", "n: 9.3e18", "p: 18446744073709551615", "p: .inf",
		"s: 18446744073709551615", "s: .inf", "s: 1e300", "s: -5", "s: \"-5\"", "f: .nan", "f: \"nan\"", "f: \"inf\"", "f: .inf",
		"n: true", "n: [1]", "d: 5", "d: true", "d: 1e300s", "n: \"9223372036854775808\"",
	} {
		var own fields
		_, err := load.Load(load.Section("shop", &own), load.Environ(nil), load.Data("x", "yaml", []byte("shop: {"+tc+"}")))
		if err == nil || !strings.Contains(err.Error(), "shop."+tc[:1]) {
			t.Errorf("%s: error %v", tc, err)
		}
	}
	var own fields
	_, err := load.Load(load.Section("shop", &own), load.Environ(nil), load.Data("x", "json", []byte(`{"shop": {"n": 1e3, "p": 9007199254740992, "s": 1e6, "f": 1}}`)))
	if err != nil || own.N != 1000 || *own.P != 1<<53 || own.S != 1e6 || own.F != 1 {
		t.Errorf("%v: %+v", err, own)
	}
	for _, text := range []string{"producer: {rate_limit: .nan}", "producer: {retries: 18446744073709551615}", "consumers: [{group: g, rate_limit: .nan}]"} {
		if c, err := load.Load(load.Environ(nil), load.Data("x", "yaml", []byte(text))); err == nil {
			t.Errorf("%s: %+v", text, c.Producer)
		}
	}
}

// What is secret is not in an error's text.
func TestErrorsDoNotTellSecrets(t *testing.T) {
	t.Parallel()
	const secret = "48151623"
	type own struct {
		Password string `key:"password"`
		Addr     string `key:"addr"`
	}
	for format, texts := range map[string][]string{
		"yaml": {
			"rocketmq: {credentials: {access_key: a, secret_key: %s}}",
			"rocketmq: {credentials: {access_key: a, secret_key: [%s]}}",
			"rocketmq: {credentials: {access_key: a, secret_key: {b: %s}}}",
			"rocketmq: {credentials: %s}",
			"rocketmq: {credentials: {secretkey: x%s, secret-key: y%s}}",
			"shop: {password: %s}", "shop: {password: [%s]}", "shop: {password: {b: %s}}", "shop: %s",
			"shop: {password: %s", "shop: {password: x\n  %s: y: z", "- %s",
		},
		"properties": {`rocketmq.credentials.secret-key=%s\uzz`, `shop.password=%s\u12`},
		"toml":       {"[shop]\npassword = %s", "[shop]\npassword = x%s", "[shop]\npassword = \"%s\ny"},
		"json":       {`{"shop": {"password": %s}}`, `{"shop": {"password": "x%s}`, `{"shop": {"password": x%s}}`},
	} {
		for _, text := range texts {
			full := strings.ReplaceAll(text, "%s", secret)
			var o own
			_, err := load.Load(load.Section("shop", &o), load.Environ(nil), load.Data("x", format, []byte(full)))
			if err == nil {
				t.Logf("%s: taken", full)
			} else if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %v", full, err)
			}
		}
	}
	for _, opt := range []load.Option{
		load.Set("rocketmq.credentials", secret), load.Set("shop", secret), load.Set("shop.password.x", secret),
		load.Environ([]string{"SHOP_PASSWORT=" + secret}), load.Environ([]string{"ROCKETMQ_CREDENTIALS_SECRET_KEI=" + secret}),
	} {
		var o own
		if _, err := load.Load(load.Environ(nil), load.Section("shop", &o), opt); err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("error %v", err)
		}
	}
}

// Two spellings of one key are told, also when they differ by capitals only.
func TestKeysThatDifferByCapitalsOnlyAreTold(t *testing.T) {
	t.Parallel()
	for range 20 {
		var own struct {
			Addr string `key:"addr"`
		}
		if _, err := load.Load(load.Section("shop", &own), load.Environ(nil), load.Data("x", "yaml", []byte("shop: {addr: a, Addr: b}"))); err == nil {
			t.Fatalf("it is %q", own.Addr)
		}
	}
}

func FuzzLoad(f *testing.F) {
	for _, s := range []string{"shop: {addr: a}", "shop: [a]", "consumers[0].group: x", `{"shop": {"": {"": 1}}}`, "rocketmq.consumers[0][1].group=x", "a=\\u12", "[shop]\naddr='x'\n[[consumers]]", "consumers[99999999999999999999].group: x", "shop: {nodes: [{host: a}, 1]}", "? [a]\n: b", "shop: &a {x: *a}", "1: 2", "shop: {1: 2}", "shop: !!binary aa", "\x1f: {\x1f: 1}"} {
		for i := range 4 {
			f.Add(uint8(i), s, "shop.nodes[0].host", "x")
		}
	}
	f.Fuzz(func(t *testing.T, format uint8, text, key, value string) {
		formats := []string{"yaml", "toml", "json", "properties"}
		own := defaults()
		_, err := load.Load(load.Section("shop", &own), load.Environ([]string{"SHOP_" + key + "=" + value}), load.Data("x", formats[int(format)%len(formats)], []byte(text)), load.Set(key, value))
		if err != nil && own.Timeout != defaults().Timeout {
			t.Errorf("it has changed in spite of %v", err)
		}
	})
}

// A section that changes between Load and the watcher's first look is not taken silently,
// nor is one that becomes invalid, and a flag wins over the file for good.
func TestAWatcherKnowsWhatLoadHasRead(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "app.yaml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	own := defaults()
	opts := []load.Option{load.Environ(nil), load.File(path), load.Section("shop", &own), load.Set("rocketmq.producer.group", "flag")}
	write("shop: {addr: a}\nrocketmq: {producer: {group: g}}")
	if _, err := load.Load(opts...); err != nil || own.Addr != "a" {
		t.Fatalf("%v, %q", err, own.Addr)
	}
	write("shop: {addr: b}\nrocketmq: {producer: {group: g}}")
	took := make(applied, 10)
	w := load.NewWatcher(took.apply, opts...)
	if err := w.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.Drain(t.Context()); err != nil {
			t.Error(err)
		}
	}()
	wantErr := func(part string) {
		t.Helper()
		deadline := time.After(10 * time.Second)
		for !strings.Contains(fmt.Sprint(w.Err()), part) {
			select {
			case <-time.After(time.Millisecond):
			case <-deadline:
				t.Fatalf("error %v, want %s", w.Err(), part)
			}
		}
	}
	wantErr(`restart required: nothing was changed, since the application does not read section "shop"`)
	write("shop: {addr: a, order_timeout: 5}\nrocketmq: {producer: {group: g}}")
	wantErr("shop.order_timeout")
	write("shop: {addr: a}\nrocketmq: {producer: {group: other}}")
	took.want(t, "flag")
	wantErr("<nil>")
	if len(took) != 0 {
		t.Errorf("%q was applied, too", <-took)
	}
}

// A placeholder and a section read one key alike.
func TestLookupReadsWhatASectionReads(t *testing.T) {
	t.Parallel()
	var own struct {
		Topic string   `key:"topic" env:"PAY_TOPIC"`
		Group string   `key:"group" env:"PAY_GROUP"`
		Tags  []string `key:"tags"`
		Nodes []node   `key:"nodes"`
	}
	opts := []load.Option{
		load.Section("shop", &own),
		load.Data("a", "yaml", []byte("shop: {topic: file, group: file, tags: [a, b, c], nodes: [{host: x}, {host: y}]}")),
		load.Data("b", "yaml", []byte("shop: {tags: [d], nodes: [{host: z}]}")),
		load.Environ([]string{"PAY_TOPIC=named", "PAY_GROUP=named", "SHOP_GROUP=own", "=x"}),
	}
	if _, err := load.Load(opts...); err != nil {
		t.Fatal(err)
	}
	lookup, err := load.Lookup(opts...)
	if err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"shop.topic": own.Topic, "shop.group": own.Group, "shop.tags[0]": own.Tags[0], "shop.nodes[0].host": own.Nodes[0].Host} {
		if got, ok := lookup(key); !ok || got != want {
			t.Errorf("%s: %q, %v, and the section has %q", key, got, ok, want)
		}
	}
	for _, key := range []string{"shop.tags[1]", "shop.nodes[1].host", "shop.nodes[0].port", "shop.none"} {
		if got, ok := lookup(key); ok || len(own.Tags)+len(own.Nodes) != 2 {
			t.Errorf("%s: %q, and the section has %v", key, got, own)
		}
	}
	if _, err := load.Lookup(load.Section("rocketmq", &own)); err == nil {
		t.Error("a section that nobody can read is taken")
	}
}

// A program in Kubernetes has variables of the services beside it, its own among them.
func TestVariablesOfKubernetesAreNoKeys(t *testing.T) {
	t.Parallel()
	type ports struct {
		Port  int `key:"port"`
		Store struct {
			Port string `key:"port"`
		} `key:"store"`
	}
	links := []string{
		"SHOP_SERVICE_HOST=10.0.0.1", "SHOP_SERVICE_PORT=80", "SHOP_PORT=tcp://10.0.0.1:80", "SHOP_PORT_80_TCP=tcp://10.0.0.1:80", "SHOP_PORT_80_TCP_ADDR=10.0.0.1",
		"SHOP_STORE_SERVICE_HOST=10.0.0.2", "SHOP_STORE_PORT=udp://10.0.0.2:53",
	}
	own := ports{Port: 8080}
	if _, err := load.Load(load.Section("shop", &own), load.Environ(links)); err != nil || own != (ports{Port: 8080}) {
		t.Errorf("%v, %+v", err, own)
	}
	lookup, err := load.Lookup(load.Environ(links), load.Data("x", "yaml", []byte("shop: {port: 82}")))
	if err != nil {
		t.Fatal(err)
	}
	if got, ok := lookup("shop.port"); !ok || got != "82" {
		t.Errorf("a placeholder: %q, %v", got, ok)
	}
	if _, err := load.Load(load.Section("shop", &own), load.Environ(append(links[:2:2], "SHOP_PORT=81"))); err != nil || own.Port != 81 {
		t.Errorf("a port of the user's: %v, %+v", err, own)
	}
	if _, err := load.Load(load.Section("shop", &own), load.Environ([]string{"SHOP_PORT=tcp://10.0.0.1:80"})); err == nil {
		t.Error("a slip of the user's is passed over")
	}
}

// hooked has fields that are the program's.
type hooked struct {
	Addr   string `key:"addr"`
	Hook   string
	parsed string
	fails  func() error
}

func (h *hooked) Validate() error {
	h.parsed = "parsed " + h.Addr
	return h.fails()
}

func TestTheProgramsFieldsStayAsItHasThem(t *testing.T) {
	t.Parallel()
	own := hooked{Addr: ":1", Hook: "early", fails: func() error { return nil }}
	opts := []load.Option{load.Environ(nil), load.Section("shop", &own)}
	own.Hook = "late"
	for _, addr := range []string{":2", ":3"} {
		if _, err := load.Load(append(opts, load.Set("shop.addr", addr))...); err != nil || own.Hook != "late" || own.Addr != addr || own.parsed != "parsed "+addr {
			t.Errorf("%v: %+q", err, []string{own.Addr, own.Hook, own.parsed})
		}
	}
	if _, err := load.Load(opts...); err != nil || own.Addr != ":1" {
		t.Errorf("what nothing is said about: %v, %q", err, own.Addr)
	}
	own.fails = func() error { panic("no check for this") } // a Watcher calls it in a program that runs
	if _, err := load.Load(opts...); err == nil || !strings.Contains(err.Error(), "no check for this") || !strings.Contains(err.Error(), `"shop"`) {
		t.Errorf("error %v", err)
	}
}
