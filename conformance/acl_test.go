package conformance_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/rocketkit/rocketkit"
	brokerlite "github.com/rocketkit/rocketkit/broker-lite"
	"github.com/rocketkit/rocketkit/config"
	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

// rulesFile is the one plain_acl.yml for broker-lite and Apache.
const rulesFile = "testdata/plain_acl.yml"

// startRules starts a server of the leg's kind that has ACL.
func (s *stand) startRules() *server {
	s.Helper()
	if s.server.lite != nil {
		return startLite(s.T, s.log, s.leg.bubble, brokerlite.ACLFile(rulesFile))
	}
	rules, err := os.ReadFile(rulesFile)
	if err != nil {
		s.Fatal(err)
	}
	dir := s.TempDir()
	conf := filepath.Join(dir, "home", "conf") // under Apache's home
	if err := os.MkdirAll(conf, 0o755); err != nil {
		s.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(conf, "plain_acl.yml"), rules, 0o600); err != nil {
		s.Fatal(err)
	}
	a := startApacheWith(s.T, apache.Options{
		Version: apache.V4, Dir: dir, BrokerConf: map[string]string{"aclEnable": "true", "messageDelayLevel": shortLevels},
	})
	return &server{nameServers: []string{a.NameServer()}, broker: a.BrokerAddr(), dial: new(net.Dialer).DialContext, levels: parseLevels(shortLevels)}
}

// openAs opens a client with credentials, or none.
func (s *stand) openAs(on *server, accessKey, secretKey string) *rocketkit.Client {
	s.Helper()
	return s.openConfig(rocketkit.Config{
		NameServers: on.nameServers, Credentials: config.Credentials{AccessKey: accessKey, SecretKey: secretKey},
	}, s.dialOptions(on.dial)...)
}

func signedRequests(s *stand) {
	on := s.startRules()
	c, topic := s.openAs(on, "order-service", "order-service-secret"), s.newTopic()
	p := s.producer(c)
	s.sendAll(p, topic, "one", "again")
	failed := atomic.Bool{}
	in := s.inbox()
	mux := s.mux(s.group())
	consumer.HandleRaw(mux, topic, func(ctx context.Context, d *message.Delivery) error {
		if string(d.Body) == "again" && failed.CompareAndSwap(false, true) {
			return errors.New("once more")
		}
		return in.take(ctx, d)
	})
	s.start(c, mux)
	if got := in.bodies(2); got[0] != "again" || got[1] != "one" || !failed.Load() {
		s.Errorf("got %q", got)
	}

	for _, wrong := range []struct{ accessKey, secretKey, names string }{
		{"", "", "No accessKey is configured"},
		{"order-service", "another-secret", "Check signature failed for accessKey=order-service"},
		{"order-servant", "order-service-secret", "No acl config for order-servant"},
		{"order-reader", "order-reader-secret", "No default permission for"},
	} {
		other := s.openAs(on, wrong.accessKey, wrong.secretKey)
		_, err := s.producer(other).Send(s.soon(), message.New(topic, []byte("refused")))
		var refused *message.BrokerError
		if !errors.As(err, &refused) || !strings.Contains(refused.Remark, wrong.names) {
			s.Errorf("%q: %v, want the remark %q", wrong.accessKey, err, wrong.names)
		} else if s.leg.driver == "native" && !strings.Contains(refused.Remedy, "credentials") {
			s.Errorf("%q: no remedy: %v", wrong.accessKey, err)
		}
	}
	short := s.openConfig(rocketkit.Config{NameServers: on.nameServers, Credentials: config.Credentials{
		AccessKey: "order-service", SecretKey: "order-service-secret", SecurityToken: "of-a-session",
	}}, s.dialOptions(on.dial)...)
	s.sendAll(s.producer(short), topic, "by token")
	if got := in.bodies(1); got[0] != "by token" {
		s.Errorf("got %q", got)
	}
	s.sendAll(p, topic, "last")
	if got := in.bodies(1); got[0] != "last" { // the refused ones are not stored
		s.Errorf("got %q", got)
	}
}

// superUser is what aclTwo's server begins with: it may do everything.
var superUser = config.Credentials{AccessKey: "rocketkit", SecretKey: "rocketkit-secret"}

// aclTwo are the lines of broker.conf for ACL 2.0 of Apache 5.4.0, whose users are
// kept in dir. The broker itself signs as the super user.
func aclTwo(dir string) map[string]string {
	return map[string]string{
		"authConfigPath":                       dir,
		"authenticationEnabled":                "true",
		"authenticationMetadataProvider":       "org.apache.rocketmq.auth.authentication.provider.LocalAuthenticationMetadataProvider",
		"initAuthenticationUser":               `{"username":"` + superUser.AccessKey + `","password":"` + superUser.SecretKey + `"}`,
		"innerClientAuthenticationCredentials": `{"accessKey":"` + superUser.AccessKey + `","secretKey":"` + superUser.SecretKey + `"}`,
		"authorizationEnabled":                 "true",
		"authorizationMetadataProvider":        "org.apache.rocketmq.auth.authorization.provider.LocalAuthorizationMetadataProvider",
	}
}

// Codes of ACL 2.0, of org.apache.rocketmq.remoting.protocol.RequestCode.
const (
	codeCreateUser = 3001
	codeCreateACL  = 3006
	codeUpdateACL  = 3007
)

// asSuperUser makes a request for aclTwo's server, signed by its super user.
func (s *stand) asSuperUser(code int, name, value string, body any) {
	s.Helper()
	b, err := json.Marshal(body)
	if err != nil {
		s.Fatal(err)
	}
	ext := map[string]string{name: value, "AccessKey": superUser.AccessKey}
	mac := hmac.New(sha1.New, []byte(superUser.SecretKey))
	mac.Write([]byte(ext["AccessKey"] + value)) // the values in the order of their keys
	mac.Write(b)
	ext["Signature"] = base64.StdEncoding.EncodeToString(mac.Sum(nil))
	if a := s.askOn(s.dial(s.server.broker), frame(code, ext, b)); a.Code != answerOK {
		s.Fatalf("code %d for %s: %d %s", code, value, a.Code, a.Remark)
	}
}

// createUser makes a user without rights on aclTwo's server.
func (s *stand) createUser(keys config.Credentials) {
	s.Helper()
	s.asSuperUser(codeCreateUser, "username", keys.AccessKey, map[string]string{"username": keys.AccessKey, "password": keys.SecretKey, "userType": "Normal"})
}

// allow lets a user do something with a resource, as mqadmin createAcl and updateAcl do.
func (s *stand) allow(code int, user, resource string, actions ...string) {
	s.Helper()
	type entry struct {
		Resource string   `json:"resource"`
		Actions  []string `json:"actions"`
		Decision string   `json:"decision"`
	}
	s.asSuperUser(code, "subject", "User:"+user, map[string]any{
		"subject": "User:" + user, "policies": []any{map[string]any{"entries": []entry{{resource, actions, "Allow"}}}},
	})
}

// comparesByACLTwo: a member that may consume and not see its group consumes, and its log
// has the remedy, which helps.
func comparesByACLTwo(s *stand, topic string, send func(body string), open func(*stand, config.Credentials) *rocketkit.Client) {
	s.Helper()
	const group = "compared"
	keys := config.Credentials{AccessKey: "member", SecretKey: "member-secret"}
	s.createUser(keys)
	s.allow(codeCreateACL, keys.AccessKey, "Topic:"+topic, "Pub", "Sub")
	s.allow(codeUpdateACL, keys.AccessKey, "Group:"+group, "Sub")
	const remedy = "updateAcl -c <cluster> -s User:member -r Group:compared -a Sub,Get -d Allow"
	consume := func(body string, told bool) {
		logged := new(tapped)
		member := *s
		member.log = slog.New(slog.NewTextHandler(logged, nil))
		c := open(&member, keys)
		in := s.inbox()
		mux := s.mux(group)
		consumer.HandleRaw(mux, topic, in.take)
		s.start(c, mux)
		send(body)
		in.until(body)
		if told {
			s.eventually("the remedy is in the log", func() bool { return strings.Contains(logged.String(), remedy) })
		}
		send(body) // by now it has compared
		in.until(body)
		if err := c.Drain(s.soon()); err != nil {
			s.Error(err)
		}
		if n := strings.Count(logged.String(), remedy); n > 1 || n > 0 != told {
			s.Errorf("the remedy is in the log %d times:\n%s", n, logged)
		}
	}
	consume("unseen", true)
	s.allow(codeUpdateACL, keys.AccessKey, "Group:"+group, "Sub", "Get")
	consume("seen", false)
}

// tapped is a log that is read while it is written.
type tapped struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (t *tapped) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.Write(p)
}

func (t *tapped) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.b.String()
}

// refusedByACLTwo checks what clients get that may not send.
func refusedByACLTwo(s *stand, topic string, open func(config.Credentials) *rocketkit.Client) {
	s.Helper()
	powerless := config.Credentials{AccessKey: "powerless", SecretKey: "powerless-secret"}
	s.createUser(powerless)
	for _, wrong := range []struct {
		keys  config.Credentials
		names string
	}{
		{config.Credentials{}, "username cannot be null"},
		{config.Credentials{AccessKey: superUser.AccessKey, SecretKey: "another-secret"}, "check signature failed"},
		{config.Credentials{AccessKey: "nobody", SecretKey: superUser.SecretKey}, "User:nobody is not found"},
		{powerless, "User:powerless has no permission to access Topic:" + topic},
	} {
		_, err := s.producer(open(wrong.keys)).Send(s.soon(), message.New(topic, []byte("refused")))
		var refused *message.BrokerError
		if !errors.As(err, &refused) || refused.Name != "NO_PERMISSION" || !strings.Contains(refused.Remark, wrong.names) || !strings.Contains(refused.Remedy, "credentials") {
			s.Errorf("%q: %v, want NO_PERMISSION, %q and a remedy", wrong.keys.AccessKey, err, wrong.names)
		}
	}
}

// The tools sign with what conf/tools.yml says.
func TestMQAdminWithAnAccessKey(t *testing.T) {
	apache.Require(t)
	takeLane(t)
	for _, version := range []string{apache.V5, apache.V4} {
		t.Run(version, func(t *testing.T) {
			t.Parallel()
			results.track(t, tlsTable, version, aclAdmin)
			b := foreignServer(t, brokerlite.ACLFile(rulesFile))
			steps := []struct {
				command string
				prints  string
			}{
				{"updateTopic -b $broker -t tools", "No accessKey is configured"},
				{"account java-peer java-peer-secret", ""},
				{"updateTopic -b $broker -t tools", "create topic to $broker success"},
				{"updateSubGroup -b $broker -g tools", "create subscription group to $broker success"},
				{"sendMessage -t tools -p hello -n $ns", "SEND_OK"},
				{"topicStatus -t tools -n $ns", "broker-a"},
				{"getBrokerConfig -b $broker", "brokerName"},
				{"account java-peer another-secret", ""},
				{"updateTopic -b $broker -t tools", "Check signature failed for accessKey=java-peer"},
				{"topicStatus -t tools -n $ns", "Check signature failed for accessKey=java-peer"},
				{"account order-service order-service-secret", ""},
				{"updateTopic -b $broker -t tools", "Need admin permission"},
				{"sendMessage -t tools -p hello -n $ns", "SEND_OK"},
				{"account order-reader order-reader-secret", ""},
				{"sendMessage -t tools -p hello -n $ns", "No default permission for"},
				{"account java-peer java-peer-secret", ""},
				{"deleteTopic -c DefaultCluster -t tools -n $ns", "success"},
			}
			names := strings.NewReplacer("$ns", b.NameServer(), "$broker", b.Addr())
			var commands [][]string
			for _, step := range steps {
				commands = append(commands, strings.Fields(names.Replace(step.command)))
			}
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			outputs, err := apache.AdminAll(ctx, version, commands)
			if err != nil {
				t.Fatal(err)
			}
			for i, step := range steps {
				if got := outputs[i].Out + outputs[i].Err; outputs[i].Refused || !strings.Contains(got, names.Replace(step.prints)) {
					t.Errorf("%d %s: want %q in\n%s", i, step.command, step.prints, got)
				}
			}
		})
	}
}
