package main

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestFlagsWinOverVariablesWinOverTheFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rocketmq.yaml")
	if err := os.WriteFile(file, []byte("name_servers: [in-file:9876]\nproducer: {send_timeout: 2s}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	own := filepath.Join(t.TempDir(), "payments.yaml")
	if err := os.WriteFile(own, []byte("payments: {addr: ':7', order-timeout: 10m, retries: 3, service: pay}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	type want struct {
		addr, service string
		timeout       time.Duration
		retries       int
		given         bool
		servers       []string
	}
	for name, tc := range map[string]struct {
		args, environ []string
		want          want
	}{
		"defaults": {nil, nil, want{"127.0.0.1:8080", "all", 30 * time.Minute, 16, false, nil}},
		"variables": {nil, []string{
			"HTTP_ADDR=:1", "NAMESRV_ADDR=a:9876;b:9876", "PAYMENTS_ORDER_TIMEOUT=5s", "PAYMENTS_RETRIES=2", "PAYMENTS_SERVICE=pay", "PATH=/bin", "odd",
		}, want{":1", "pay", 5 * time.Second, 2, true, []string{"a:9876", "b:9876"}}},
		"empty variables": {nil, []string{"HTTP_ADDR=", "NAMESRV_ADDR=", "PAYMENTS_RETRIES="}, want{"127.0.0.1:8080", "all", 30 * time.Minute, 16, false, nil}},
		"flags": {
			[]string{"--addr=:2", "--name-servers", "c:9876;d:9876", "--order-timeout", "1s", "--retries=16", "-service", "order-timeout"},
			[]string{"HTTP_ADDR=:1", "NAMESRV_ADDR=a:9876", "PAYMENTS_RETRIES=2", "PAYMENTS_SERVICE=pay"},
			want{":2", "order-timeout", time.Second, 16, true, []string{"c:9876", "d:9876"}},
		},
		"file":                      {[]string{"--config", file}, nil, want{"127.0.0.1:8080", "all", 30 * time.Minute, 16, false, []string{"in-file:9876"}}},
		"file wins over Apache's":   {[]string{"--config", file}, []string{"NAMESRV_ADDR=a:9876"}, want{"127.0.0.1:8080", "all", 30 * time.Minute, 16, false, []string{"in-file:9876"}}},
		"the service's section":     {[]string{"--config", own, "--retries", "1"}, []string{"PAYMENTS_SERVICE=order-timeout"}, want{":7", "order-timeout", 10 * time.Minute, 1, true, nil}},
		"client's variable":         {nil, []string{"PAYMENTS_CONFIG=" + file, "ROCKETMQ_NAME_SERVERS=e:9876"}, want{"127.0.0.1:8080", "all", 30 * time.Minute, 16, false, []string{"e:9876"}}},
		"in this process, by force": {[]string{"--name-servers="}, []string{"NAMESRV_ADDR=a:9876"}, want{"127.0.0.1:8080", "all", 30 * time.Minute, 16, false, nil}},
	} {
		s, err := readSettings(tc.args, tc.environ, t.Output())
		got := want{s.Addr, s.Service, s.OrderTimeout, 16, s.Retries != nil, s.Client.NameServers}
		if s.Retries != nil {
			got.retries = *s.Retries
		}
		if err != nil || !slices.Equal(got.servers, tc.want.servers) {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
		if got.servers, tc.want.servers = nil, nil; got.addr != tc.want.addr || got.service != tc.want.service || got.timeout != tc.want.timeout || got.retries != tc.want.retries || got.given != tc.want.given {
			t.Errorf("%s: %+v, want %+v", name, got, tc.want)
		}
	}
}

func TestWrongSettingsAreNamedAllAtOnce(t *testing.T) {
	t.Parallel()
	_, err := readSettings([]string{"--addr", "8080", "--service", "pays", "--order-timeout", "50ms", "--retries", "-1", "--db", ""}, nil, t.Output())
	for _, want := range []string{`--addr "8080": want host:port`, `--service "pays": want all, pay or order-timeout`, "--order-timeout 50ms: want at least 100ms, such as level 1 (1s)", "--retries is under 0: want 0 or more", "--db is empty"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is missing in: %v", want, err)
		}
	}
	for name, tc := range map[string]struct {
		args, environ []string
		want          string
	}{
		"a flag's kind":                    {[]string{"--retries", "many"}, nil, `payments.retries: "many" is no whole number`},
		"no unit":                          {[]string{"--order-timeout", "30"}, nil, `payments.order_timeout: "30" is no duration such as`},
		"unknown flag":                     {[]string{"--retry", "1"}, nil, "-retry"},
		"argument":                         {[]string{"pay"}, nil, `unexpected argument "pay"`},
		"variable":                         {nil, []string{"PAYMENTS_RETRIES=many"}, `payments.retries: "many"`},
		"a slip in the service's variable": {nil, []string{"PAYMENTS_RETRYS=1"}, "PAYMENTS_RETRIES"},
		"no file":                          {[]string{"--config", "/nowhere.yaml"}, nil, "/nowhere.yaml"},
		"a client's variable":              {nil, []string{"ROCKETMQ_PRODUCER_SEND_TIMEOUT=3"}, "send_timeout"},
		"a slip in a variable":             {nil, []string{"ROCKETMQ_PRODUCER_SEND_TIMOUT=3s"}, "SEND_TIMEOUT"},
	} {
		if _, err := readSettings(tc.args, tc.environ, t.Output()); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestHelpNamesFlagsAndVariables(t *testing.T) {
	t.Parallel()
	var help strings.Builder
	if _, err := readSettings([]string{"--help"}, nil, &help); !errors.Is(err, flag.ErrHelp) {
		t.Fatal(err)
	}
	for name, variable := range map[string]string{"addr": "HTTP_ADDR", "name-servers": "NAMESRV_ADDR", "order-timeout": "PAYMENTS_ORDER_TIMEOUT", "retries": "PAYMENTS_RETRIES",
		"service": "PAYMENTS_SERVICE", "db": "PAYMENTS_DB", "config": "PAYMENTS_CONFIG"} {
		if !strings.Contains(help.String(), "-"+name) || !strings.Contains(help.String(), variable) {
			t.Errorf("%s or %s is missing in:\n%s", name, variable, &help)
		}
	}
}

func TestTheClientFollowsTheFile(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "rocketmq.yaml")
	const text = `rocketmq:
  producer: {max_message_size: 1KiB}
  consumers:
    - {group: pay_consumer_group, max_retries: 0}
`
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	long := "/api/pay/async?text=" + strings.Repeat("x", 1024)
	r := start(t, settingsFor(t, t.TempDir(), "--config", file))
	if status, _, body := r.request("GET", long, "", ""); status != 413 || !strings.Contains(body, "at most 1024") {
		t.Errorf("%d %s", status, body)
	}
	r.request("GET", "/api/pay/pay_cb?text=fail", "", "")
	r.log.await(t, "attempt=1.*next=.dead-letter queue")

	// A flag wins.
	r = start(t, settingsFor(t, t.TempDir(), "--config", file, "--retries", "1"))
	r.request("GET", "/api/pay/pay_cb?text=fail", "", "")
	r.log.await(t, "attempt=1.*retry 1 of 1")
}
