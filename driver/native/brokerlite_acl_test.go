package native_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// Every kind of request that the driver makes is signed: the account is no admin, and
// the server has no white list.
func TestAllRequestsAreSigned(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "plain_acl.yml")
	const text = `accounts: [{accessKey: service, secretKey: secret-of-it, defaultTopicPerm: PUB|SUB, defaultGroupPerm: SUB}]`
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	creds := driver.Credentials{AccessKey: "service", SecretKey: "secret-of-it"}
	withServer(t, func(t *testing.T, s *server) {
		s.creds = creds
		snd := s.sender(driver.SenderConfig{Check: func(context.Context, *message.Delivery) driver.TxState { return driver.TxCommit }})
		failedOnce := false
		m := s.join("group", []string{"orders", "half"}, func(d *message.Delivery) driver.Verdict {
			if string(d.Body) == "again" && !failedOnce {
				failedOnce = true
				return driver.Verdict{}
			}
			return driver.Verdict{Action: driver.ActionAck}
		})
		for _, body := range []string{"one", "again"} {
			if _, err := s.send(snd, 0, message.New("orders", []byte(body))); err != nil {
				t.Fatal(err)
			}
		}
		qs, err := snd.Queues(t.Context(), "orders")
		if err != nil {
			t.Fatal(err)
		}
		if err := snd.SendOneway(t.Context(), qs[0], &driver.Outgoing{Message: message.New("orders", []byte("oneway")), ID: snd.NewID()}); err != nil {
			t.Fatal(err)
		}
		half := &driver.Outgoing{Message: message.New("half", []byte("checked")), ID: snd.NewID()}
		if _, _, err := snd.SendTx(t.Context(), message.Queue{}, half, func(context.Context, driver.Receipt) driver.TxState { return driver.TxUnknown }); err != nil {
			t.Fatal(err)
		}
		pass(10 * time.Minute)
		got := map[string]int{}
		for _, d := range m.all() {
			got[string(d.Body)]++
		}
		if got["one"] != 1 || got["again"] != 2 || got["oneway"] != 1 || got["checked"] != 1 {
			t.Errorf("got %v", got)
		}
	}, brokerlite.ACLFile(rules))
}

func TestAWrongKeyIsToldWithTheRemedy(t *testing.T) {
	rules := filepath.Join(t.TempDir(), "plain_acl.yml")
	const text = `accounts: [{accessKey: service, secretKey: secret-of-it, defaultTopicPerm: PUB|SUB, defaultGroupPerm: SUB}]`
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	withServer(t, func(t *testing.T, s *server) {
		for creds, want := range map[driver.Credentials]string{
			{}: "No accessKey is configured",
			{AccessKey: "service", SecretKey: "another-secret"}: "Check signature failed for accessKey=service",
			{AccessKey: "servant", SecretKey: "secret-of-it"}:   "No acl config for servant",
		} {
			s.creds = creds
			_, err := s.send(s.sender(driver.SenderConfig{}), 0, message.New("orders", []byte("x")))
			var refused *message.BrokerError
			if !errors.As(err, &refused) || !strings.Contains(refused.Remark, want) || !strings.Contains(refused.Remedy, "credentials") {
				t.Errorf("%v: %v", creds, err)
			}
		}
	}, brokerlite.ACLFile(rules))
}
