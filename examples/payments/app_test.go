package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/rocketkittest"
)

func TestItSaysWhereEverythingIsAndWhatToTry(t *testing.T) {
	t.Parallel()
	elsewhere := rocketkittest.Start(t).NameServer()
	for name, tc := range map[string]struct {
		args []string
		says []string
		not  string
	}{
		"by default": {nil, []string{
			"RocketMQ runs in this process, name server 127.0.0.1:", "1. ID=$(curl -s -X POST http://127.0.0.1:", `2. curl "http://127.0.0.1:`, "&order=$ID", "3. curl http://127.0.0.1:",
			"closed after 30m0s. To watch that, start with --order-timeout 5s",
			"\nOrders are kept in ", "payments.db, messages beside it\n",
		}, "other service"},
		"soon":          {[]string{"--order-timeout", "5s"}, []string{"1. ID=", "2. curl http://127.0.0.1:", "3. sleep 6; curl http://127.0.0.1:", "closed"}, "To watch that"},
		"elsewhere":     {[]string{"--name-servers", elsewhere}, []string{"RocketMQ at " + elsewhere, "payments.db\nHow"}, "in this process"},
		"pay":           {[]string{"--service", "pay"}, []string{"/api/pay/delay?text=later", "/api/pay/dead", "The other service runs beside with: --service order-timeout --name-servers 127.0.0.1:"}, "/api/orders"},
		"order-timeout": {[]string{"--service", "order-timeout"}, []string{"/api/orders", "runs beside with: --service pay", "30m0s"}, "/api/pay"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, settingsFor(t, t.TempDir(), tc.args...))
			for _, want := range append(tc.says, "listen on "+r.url, " are kept in ", r.url+"/readyz?format=text", "\nCtrl-C ends it") {
				if !strings.Contains(r.out.String(), want) {
					t.Errorf("%q is missing in:%s", want, r.out)
				}
			}
			if strings.Contains(r.out.String(), tc.not) {
				t.Errorf("%q is in:%s", tc.not, r.out)
			}
		})
	}
}

// What it prints to try is tried, in a shell.
func TestWhatItSaysToTryWorks(t *testing.T) {
	t.Parallel()
	for _, tool := range []string{"bash", "curl"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("left out: %v", err)
		}
	}
	for name, tc := range map[string]struct {
		args []string
		want []string
	}{
		"by default":          {nil, []string{"order ", `"sendStatus":"SEND_OK"`, `"status":`}},
		"an order times out":  {[]string{"--order-timeout", "2s"}, []string{"order ", `"status":"unpaid"`, `"status":"closed"`}},
		"payments alone":      {[]string{"--service", "pay", "--retries", "0"}, []string{`"sendStatus":"SEND_OK"`, "", `"sendStatus":"SEND_OK"`}},
		"order-timeout alone": {[]string{"--service", "order-timeout", "--order-timeout", "2s"}, []string{"order ", `"status":"unpaid"`, `"status":"closed"`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := start(t, settingsFor(t, t.TempDir(), tc.args...))
			script := ""
			for i, line := range r.out.await(t, `(?m)^  1\. (.*)\n  2\. (.*)\n  3\. (.*)$`)[1:] {
				script += fmt.Sprintf("%s\necho; echo END%d\n", line, i)
			}
			ctx, cancel := context.WithTimeout(t.Context(), patient)
			defer cancel()
			out, err := exec.CommandContext(ctx, "bash", "-c", script).Output()
			if err != nil {
				t.Fatal(err)
			}
			rest := string(out)
			for i, want := range tc.want {
				answer, after, _ := strings.Cut(rest, fmt.Sprintf("END%d", i))
				if rest = after; !strings.Contains(answer, want) {
					t.Errorf("line %d answers %q, want %s", i+1, answer, want)
				}
			}
		})
	}
}

func TestTheServicesRunApart(t *testing.T) {
	t.Parallel()
	dir := t.TempDir() // the database is shared
	s, clock := withClock(settingsFor(t, dir, "--service", "order-timeout", "--retries", "0"))
	orders := start(t, s)
	nameServer := orders.out.await(t, `name server (\S+)`)[1]
	pay := start(t, settingsFor(t, dir, "--service", "pay", "--name-servers", nameServer, "--retries", "0"))

	id, late := orders.order(), orders.order()
	pay.request(http.MethodGet, "/api/pay/pay_cb?text=x&order="+id, "", "")
	pay.log.await(t, `order is paid" order=`+id)
	orders.is(id, paid)
	orders.log.advance(t, clock, 30*time.Minute, `order is closed.* order=`+late)
	orders.is(late, closed)
	pay.request(http.MethodGet, "/api/pay/pay_cb?text=fail", "", "")
	pay.log.await(t, "payment is dead")

	for r, path := range map[*running]string{orders: "/api/pay/pay_cb?text=x", pay: "/api/orders/" + id} {
		if status, _, body := r.request(http.MethodGet, path, "", ""); status != 404 || !strings.Contains(body, "--service") {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
}

func TestProbesAreAnswered(t *testing.T) {
	t.Parallel()
	b := rocketkittest.Start(t)
	r := start(t, settingsFor(t, t.TempDir(), "--name-servers", b.NameServer()))
	for path, want := range map[string]string{
		"/livez": `"live":true,"ready":true`, "/readyz": `"live":true,"ready":true`, "/readyz?format=text": "\nconsumer order_timeout_consumer_group: ok",
	} {
		if status, _, body := r.request(http.MethodGet, path, "", ""); status != 200 || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	defer b.Fault(brokerlite.Match{NameServer: true}, brokerlite.CloseConnection())()
	for begun := time.Now(); time.Since(begun) < patient; { // until a name server was asked
		r.request(http.MethodGet, "/api/pay/pay_cb?text=x", "", "")
		if status, _, body := r.request(http.MethodGet, "/readyz", "", ""); status == 503 {
			return
		} else if status != 200 {
			t.Fatalf("%d %s", status, body)
		}
	}
	t.Error("it is ready without a name server")
}

func TestAPortInUseIsNamedBeforeAnythingStarts(t *testing.T) {
	t.Parallel()
	r := start(t, settingsFor(t, t.TempDir()))
	s := r.settings // the same directory too
	s.Addr = strings.TrimPrefix(r.url, "http://")
	if got := failsToStart(t, s); !strings.Contains(got, s.Addr) || !strings.Contains(got, "address already in use") || !strings.Contains(got, "--addr or HTTP_ADDR") {
		t.Error(got)
	}
	s.Addr = "127.0.0.1:0"
	if got := failsToStart(t, s); !strings.Contains(got, "broker-lite") || !strings.Contains(got, "lock") || !strings.Contains(got, "--name-servers") {
		t.Errorf("two servers on one directory: %s", got)
	}
}

func TestItStartsBeforeItsServerDoes(t *testing.T) {
	t.Parallel()
	late := rocketkittest.Start(t)
	addr := late.NameServer()
	if err := late.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := start(t, settingsFor(t, t.TempDir(), "--name-servers", addr))
	r.log.await(t, "no name server answers; trying again.*"+addr)
	for _, path := range []string{"/api/pay/pay_cb?text=x", "/api/pay/oneway?text=x"} {
		if status, _, body := r.request(http.MethodGet, path, "", ""); status != 503 || !strings.Contains(body, addr) || !strings.Contains(body, `"safeToRetry":true`) {
			t.Errorf("%s: %d %s", path, status, body)
		}
	}
	if status, _, body := r.request(http.MethodPost, "/api/orders", "", ""); status != 503 || !strings.Contains(body, "the order's time-out cannot be sent") {
		t.Errorf("%d %s", status, body)
	}
	if status, _, body := r.request(http.MethodGet, "/api/pay/async?text=x", "", ""); status != 200 || body != "" {
		t.Errorf("%d %s", status, body)
	}
	r.log.await(t, `send failed.*safeToRetry=true.*no name server reachable`)

	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		t.Fatal(err)
	}
	var n int
	if _, err := fmt.Sscan(port, &n); err != nil {
		t.Fatal(err)
	}
	rocketkittest.Start(t, brokerlite.NameServerPort(n))
	r.request(http.MethodGet, "/api/pay/pay_cb?text=now", "", "")
	r.log.await(t, "msg=Hello rocketmq = now")
}

func TestAFailedSendIsAnsweredByItsKind(t *testing.T) {
	t.Parallel()
	b := rocketkittest.Start(t)
	r := start(t, settingsFor(t, t.TempDir(), "--name-servers", b.NameServer()))
	const send = 310
	for name, tc := range map[string]struct {
		reaction brokerlite.Reaction
		status   int
		says     string
	}{
		"refused":         {brokerlite.Answer(13, "no"), 502, `MESSAGE_ILLEGAL`},
		"not known":       {brokerlite.CloseConnection(), 504, `"safeToRetry":false`},
		"stored, not yet": {brokerlite.ReplaceAnswer(10), 200, `"sendStatus":"FLUSH_DISK_TIMEOUT"`},
	} {
		stop := b.Fault(brokerlite.Match{Code: send, Topic: payTopic}, tc.reaction)
		status, _, body := r.request(http.MethodGet, "/api/pay/pay_cb?text=x", "", "")
		if status != tc.status || !strings.Contains(body, tc.says) {
			t.Errorf("%s: %d %s", name, status, body)
		}
		stop()
	}
	// A broker that is busy for a moment costs a retry only.
	b.Fault(brokerlite.Match{Code: send, Topic: payTopic}, brokerlite.Answer(2, "busy").Times(3))
	if status, _, body := r.request(http.MethodGet, "/api/pay/pay_cb?text=x", "", ""); status != 200 {
		t.Errorf("busy for three attempts: %d %s", status, body)
	}
}

// A handler that is at work when the service ends is waited for, and what it did
// is not done again.
func TestTheDrainFinishesWhatHasBegun(t *testing.T) {
	t.Parallel()
	s := settingsFor(t, t.TempDir())
	r := start(t, s)
	id := r.order()
	release := lockDatabase(t, s)
	r.request(http.MethodGet, "/api/pay/pay_cb?text=x&order="+id, "", "")
	r.log.await(t, "msg=Hello rocketmq = x") // and now it waits for the database
	r.stop()
	isRefused(r.url) // the drain has begun
	release()
	r.end()
	r = start(t, s)
	r.is(id, paid)
}

// isRefused waits until connections are.
func isRefused(url string) {
	for begun := time.Now(); time.Since(begun) < patient; {
		conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			return
		}
		_ = conn.Close()
	}
}

// lockDatabase keeps writers waiting.
func lockDatabase(t *testing.T, s settings) (release func()) {
	t.Helper()
	db, end, err := openDatabase(t.Context(), s, nil)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := db.Conn(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := conn.ExecContext(t.Context(), "BEGIN IMMEDIATE"); err != nil {
		t.Fatal(err)
	}
	return func() {
		if _, err := conn.ExecContext(t.Context(), "COMMIT"); err != nil {
			t.Error(err)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		end()
	}
}

// Requests that do not end, and a broker that does not answer, are cut off.
func TestItEndsInTimeWhateverHangs(t *testing.T) {
	t.Parallel()
	b := rocketkittest.Start(t)
	s := settingsFor(t, t.TempDir(), "--name-servers", b.NameServer())
	r := start(t, s)
	r.request(http.MethodGet, "/api/pay/pay_cb?text=first", "", "")
	r.log.await(t, "msg=Hello rocketmq = first")
	arrived := make(chan struct{}, 10)
	b.Intercept(func(q brokerlite.Request) (brokerlite.Reaction, bool) {
		if !q.NameServer && q.Topic == payTopic && q.Code == 310 {
			arrived <- struct{}{}
		}
		return brokerlite.DropRequest(), !q.NameServer
	})
	r.request(http.MethodGet, "/api/pay/async?text=lost", "", "")
	<-arrived
	conn, err := net.Dial("tcp", strings.TrimPrefix(r.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := fmt.Fprintf(conn, "GET /api/pay/pay_cb?text=hangs HTTP/1.1\r\nHost: x\r\n\r\n"); err != nil {
		t.Fatal(err)
	}
	<-arrived
	begun := time.Now()
	r.stop()
	select {
	case err := <-r.ended:
		r.ended <- nil
		if took := time.Since(begun); took > 5*time.Second || err == nil || !strings.Contains(err.Error(), "requests were cut off") {
			t.Errorf("after %v: %v", took, err)
		}
	case <-time.After(patient):
		t.Fatal("it does not end")
	}
	if !strings.Contains(r.log.String(), "send failed") {
		t.Errorf("it does not say what it cut off:\n%s", r.log)
	}
}

// program starts the program in a process of its own.
func program(t *testing.T, log io.Writer, args ...string) (cmd *exec.Cmd, url string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patient)
	t.Cleanup(cancel)
	cmd = exec.CommandContext(ctx, os.Args[0], args...)
	cmd.Env = append(os.Environ(), runVariable+"=1", "NAMESRV_ADDR=")
	cmd.Stderr = io.MultiWriter(t.Output(), log)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for lines := bufio.NewScanner(out); lines.Scan(); {
		if _, url, ok := strings.Cut(lines.Text(), "listen on "); ok {
			return cmd, url
		}
	}
	t.Fatalf("it did not start: %v", cmd.Wait())
	return nil, ""
}

func TestCtrlCEndsWellAndASecondOneAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	s := settingsFor(t, dir)
	cmd, _ := program(t, io.Discard, "--addr", "127.0.0.1:0", "--db", s.DB)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Errorf("after Ctrl-C: %v", err)
	}

	log := newBook()
	cmd, url := program(t, log, "--addr", "127.0.0.1:0", "--db", s.DB)
	r := &running{t: t, url: url, log: log}
	id := r.order()
	defer lockDatabase(t, s)() // a handler that does not end
	r.request(http.MethodGet, "/api/pay/pay_cb?text=x&order="+id, "", "")
	log.await(t, `topic=pay_test_topic.*keys=`+id)
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	isRefused(url) // so the first one has been heard
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	err := cmd.Wait()
	if status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("after a second Ctrl-C: %v", err)
	}
}

func TestExitCodes(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args []string
		code int
		says string
	}{
		"help":       {[]string{"-h"}, 0, "-order-timeout"},
		"wrong flag": {[]string{"--service", "none"}, 2, "payments: --service \"none\""},
		"no start":   {[]string{"--addr", "256.0.0.1:1"}, 1, "payments: listen tcp"},
	} {
		var out, errs strings.Builder
		ctx, cancel := context.WithTimeout(t.Context(), patient)
		if code := run(ctx, tc.args, nil, &out, &errs); code != tc.code || !strings.Contains(errs.String(), tc.says) {
			t.Errorf("%s: %d\n%s", name, code, errs.String())
		}
		cancel()
	}
}
