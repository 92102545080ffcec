package acl

import (
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/conformance/apache"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// question is a line for Apache 4.9.7's ACL (conformance/java/golden/Acl.java) and what
// to make of its answer.
type question struct {
	line  string
	check func(t *testing.T, answer string)
}

// TestApacheDecidesTheSame asks one JVM with Apache 4.9.7's classes everything at once.
func TestApacheDecidesTheSame(t *testing.T) {
	apache.Require(t)
	rng := rand.New(rand.NewPCG(4, 97)) // the same questions each time
	questions := patternQuestions(rng)
	questions = append(questions, decisionQuestions(t, rng)...)
	questions = append(questions, stricterQuestions(t)...)
	questions = append(questions, bracketQuestions(t)...)
	questions = append(questions, fileQuestions(t)...)
	var lines strings.Builder
	for _, q := range questions {
		lines.WriteString(q.line + "\n")
	}
	dir := t.TempDir()
	in, out := filepath.Join(dir, "in"), filepath.Join(dir, "out")
	if err := os.WriteFile(in, []byte(lines.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := apache.RunJava(t.Context(), apache.V4, "golden.Acl", "decide", in, out); err != nil {
		t.Fatal(err)
	}
	answers, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	got := strings.Split(strings.TrimSuffix(string(answers), "\n"), "\n")
	if len(got) != len(questions) {
		t.Fatalf("%d answers to %d questions", len(got), len(questions))
	}
	kinds := map[string]int{}
	for i, q := range questions {
		q.check(t, got[i])
		kind, _, _ := strings.Cut(got[i], " ")
		if q.line[0] == 'P' && strings.Contains(kind, "1") {
			kind = "matched"
		}
		kinds[kind]++
	}
	t.Logf("%d questions: %v", len(questions), kinds)
	if kinds["ok"] < 500 || kinds["no"] < 500 || kinds["bad"] < 300 || kinds["matched"] < 500 {
		t.Error("the questions are too one-sided to tell much")
	}
}

func pick[T any](rng *rand.Rand, of ...T) T { return of[rng.IntN(len(of))] }

// home writes a ROCKETMQ_HOME whose rules are text, and returns it.
func home(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "conf", "acl"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "conf", ruleFile), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

// loads is a question about a rule file that Apache is to read.
func loads(dir string) question {
	return question{"R " + dir, func(t *testing.T, answer string) {
		if answer != "loaded" {
			t.Errorf("Apache cannot read %s: %s", dir, answer)
		}
	}}
}

// ask is a question about a request.
func ask(t *testing.T, remote netip.Addr, cmd *protocol.Command, check func(t *testing.T, apache string)) question {
	t.Helper()
	frame, err := protocol.AppendCommand(nil, cmd, nil)
	if err != nil {
		t.Fatal(err)
	}
	return question{fmt.Sprintf("C %s:5000 %s", remote, hex.EncodeToString(frame)), check}
}

// remark is our answer in the form of Apache's.
func remark(err error) string {
	var refusal *Refusal
	if errors.As(err, &refusal) {
		text, _, _ := strings.Cut(refusal.Remark(), ";")
		return "no " + text
	}
	return "ok"
}

// decisionQuestions are random requests under random rules.
func decisionQuestions(t *testing.T, rng *rand.Rand) []question {
	var questions []question
	for range 12 {
		text := randomRules(rng)
		dir := home(t, text)
		rules, err := Parse(ruleFile, []byte(text))
		if err != nil {
			t.Fatalf("%v\n%s", err, text)
		}
		questions = append(questions, loads(dir))
		for range 150 {
			cmd := randomRequest(rng)
			remote := netip.MustParseAddr(pick(rng, "10.1.2.3", "10.1.3.3", "192.168.0.7", "203.0.113.9", "203.0.113.9", "203.0.113.9"))
			ours := remark(rules.Check(remote, cmd))
			questions = append(questions, ask(t, remote, cmd, func(t *testing.T, answer string) {
				const denied = "no No default permission for " // of several, Apache names any
				if answer != ours && !(strings.HasPrefix(answer, denied) && strings.HasPrefix(ours, denied)) {
					t.Errorf("Apache %q, ours %q\n%s from %s, %v body %q under\n%s", answer, ours, protocol.RequestName(cmd.Code), remote, cmd.Fields, cmd.Body, text)
				}
			}))
		}
	}
	return questions
}

func randomRules(rng *rand.Rand) string {
	var lines []string
	add := func(line string) {
		if rng.IntN(3) > 0 {
			lines = append(lines, line)
		}
	}
	perm := func() string { return pick(rng, "DENY", "PUB", "SUB", "PUB|SUB", "SUB|PUB") }
	add("whiteRemoteAddress: " + pick(rng, "", "192.168.0.7", "10.1.2-3.*", "203.0.113.{8,7}"))
	add("admin: " + pick(rng, "true", "false"))
	add("defaultTopicPerm: " + perm())
	add("defaultGroupPerm: " + perm())
	add("topicPerms: [t=" + perm() + ", u = " + perm() + ", '%RETRY%i=" + perm() + "']")
	add("groupPerms: [g=" + perm() + ", h=" + perm() + "]")
	text := userRules(lines...)
	if rng.IntN(2) == 0 {
		text = "globalWhiteRemoteAddresses: [" + pick(rng, "10.1.2.*", "10.1.2.3,10.1.9.9", "'2001:db8:*'") + "]\n" + text
	}
	return text
}

// randomRequest is of a code that Apache checks as we do, signed in most cases.
func randomRequest(rng *rand.Rand) *protocol.Command {
	topic := pick(rng, "t", "t", "u", "v", "%RETRY%g", "%RETRY%h", "%RETRY%i", "%DLQ%g", "RMQ_SYS_TRACE_TOPIC")
	group := pick(rng, "g", "h", "i", "j")
	sender := group
	if g, ok := strings.CutPrefix(topic, "%RETRY%"); ok {
		sender = g // otherwise Apache looks at the wrong group
	}
	var cmd *protocol.Command
	switch code := pick[protocol.Code](rng, 10, 310, 36, 11, 12, 34, 35, 38, 15, 17, 25, 200, 207, 215, 28, 30, 33); code {
	case 10:
		cmd = request(code, "group="+sender, "producerGroup=p", "topic="+topic, "queueId=1")
	case 310:
		cmd = request(code, "a="+sender, "b="+topic, "e=1")
	case 36:
		cmd = request(code, "group="+group, "originTopic="+topic)
	case 34:
		cmd = withBody(request(code), fmt.Sprintf(`{"clientID":"c","consumerDataSet":[{"groupName":%q,"subscriptionDataSet":[{"topic":%q,"subString":"*"},{"topic":"t","subString":"*"}]}],"producerDataSet":[{"groupName":"p"}]}`, group, topic))
	case 15:
		cmd = request(code, "consumerGroup="+group, "topic="+topic, "queueId=1", "commitOffset=5")
	case 12:
		cmd = request(code, "topic="+topic, "key=k", "maxNum=1")
	case 35:
		cmd = request(code, "clientID=c", pick(rng, "consumerGroup=", "producerGroup=")+group)
	default:
		cmd = request(code, "consumerGroup="+group, "topic="+topic)
	}
	cmd.Codec = pick(rng, protocol.JSON, protocol.Binary)
	if rng.IntN(4) == 0 {
		cmd.Body = append(cmd.Body, ' ')
	}
	key := pick(rng, userKey, userKey, userKey, userKey, adminKey, "nobody1")
	switch rng.IntN(10) {
	case 0: // unsigned
	case 1:
		sign(cmd, key, secretKey+"0")
	case 2:
		cmd.Fields = append(cmd.Fields, protocol.Field{Key: FieldAccessKey, Value: key})
	case 3:
		cmd.Fields = append(cmd.Fields, protocol.Field{Key: "_UNIQUE_KEY_QUERY", Value: "true"}, protocol.Field{Key: FieldSecurityToken, Value: "tok"})
		sign(cmd, key, secretKey, "_UNIQUE_KEY_QUERY")
	default:
		sign(cmd, key, secretKey)
	}
	return cmd
}

// stricterQuestions are what Apache 4.9.7 lets an account do that may do nothing.
func stricterQuestions(t *testing.T) []question {
	text := userRules("groupPerms: [own=SUB]")
	rules := parse(t, text)
	questions := []question{loads(home(t, text))}
	for _, cmd := range []*protocol.Command{
		request(320, "a=p", "b=t"), request(324, "topic=t"), request(325, "b=t"), request(370, "topic=t"), request(37, "topic=t"),
		request(361, "topic=t", "consumerGroup=g"), request(14, "topic=t", "consumerGroup=g"), request(222, "topic=t", "group=g"),
		withBody(request(41), `{"consumerGroup":"g"}`), withBody(request(42), `{"consumerGroup":"g"}`),
		request(200050, "topic=t"), request(200051, "topic=t"), request(200052, "topic=t"), request(200053, "topic=t"), request(200054, "topic=t"), request(200055, "topic=t"), request(200056, "topic=t"),
		withBody(request(200151), `{"acks":[{"c":"g","t":"t"}]}`),
		request(50), request(51), request(53), request(54), request(314), request(2001), request(3001),
		request(310, "a=own", "b=%RETRY%g"),
	} {
		signedBy(userKey, cmd)
		ours := rules.Check(elsewhere, cmd)
		questions = append(questions, ask(t, elsewhere, cmd, func(t *testing.T, answer string) {
			if answer != "ok" || ours == nil {
				t.Errorf("%s: Apache %q, ours %v; the package comment says that only Apache takes it", protocol.RequestName(cmd.Code), answer, ours)
			}
		}))
	}
	return questions
}

// bracketQuestions show that a JVM from Java 14 on, which writes IPv6 addresses in
// brackets, keeps Apache from matching any of them.
func bracketQuestions(t *testing.T) []question {
	text := "globalWhiteRemoteAddresses: ['2001:db8:*']\n" + userRules()
	remote, cmd := netip.MustParseAddr("2001:db8::1"), request(28)
	if err := parse(t, text).Check(remote, cmd); err != nil {
		t.Error(err)
	}
	want := func(want string) func(*testing.T, string) {
		return func(t *testing.T, answer string) {
			if answer != want {
				t.Errorf("Apache %q, want %q", answer, want)
			}
		}
	}
	plain := ask(t, remote, cmd, want("ok"))
	bracketed := question{strings.Replace(plain.line, remote.String(), "["+remote.String()+"]", 1), want("no No accessKey is configured")}
	return []question{loads(home(t, text)), plain, bracketed}
}

// fileQuestions are files that we refuse, and whether Apache does.
func fileQuestions(t *testing.T) []question {
	var questions []question
	for text, taken := range map[string]bool{
		"accounts:\n\t- a":                              false,
		"globalWhiteRemoteAddresses:\n- *":              false,
		"globalWhiteRemoteAddresses:\n- 10.1.{2,3}.4":   false,
		"globalWhiteRemoteAddresses:\n- 10.1.2.0/24":    false,
		"globalWhiteRemoteAddresses: 10.1.2.3":          false,
		"accounts: []\n---\naccounts: []":               false,
		"accounts:\n- accessKey: shopuser":              false,
		userRules("topicPerms: [a]"):                    false,
		userRules("topicPerms: [a=PUB=SUB]"):            false,
		userRules("whiteRemoteAddress: '2001:db8:*:*'"): false,
		"":                                 true,
		"account: []":                      true,
		userRules("colour: red"):           true,
		userRules("defaultTopicPerm: ANY"): true,
		userRules("topicPerms: [a=pub]"):   true,
		userRules("whiteRemoteAddress: 2001:db8::/32"): true, // and matches nothing
		userRules("whiteRemoteAddress: 10.1.*.7"):      true, // and matches 10.1.*.*
		userRules() + userRules()[len("accounts:\n"):]: true,
	} {
		if rules, err := Parse(ruleFile, []byte(text)); err == nil {
			t.Errorf("%q gives %v", text, rules)
		}
		questions = append(questions, question{"R " + home(t, text), func(t *testing.T, answer string) {
			if (answer == "loaded") != taken {
				t.Errorf("%q: Apache %q, expected that it takes it: %v", text, answer, taken)
			}
		}})
	}
	return questions
}
