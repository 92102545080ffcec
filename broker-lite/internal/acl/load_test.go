package acl

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// distributed is the shape of the file that Apache ships, and what mqadmin notes in it.
const distributed = `
globalWhiteRemoteAddresses:
  - 10.10.103.*
  - 192.168.0.*

accounts:
  - accessKey: RocketMQ
    secretKey: 12345678
    whiteRemoteAddress:
    admin: false
    defaultTopicPerm: DENY
    defaultGroupPerm: SUB
    topicPerms:
      - topicA=DENY
      - topicB=PUB|SUB
      - topicC = SUB
    groupPerms:
      # the group should convert to retry topic
      - groupA=DENY
      - groupB=PUB|SUB

  - accessKey: rocketmq2
    secretKey: 12345678
    whiteRemoteAddress: 192.168.1.*
    # if it is admin, it could access all resources
    admin: true
dataVersion:
- counter: 3
  timestamp: 1700000000000
`

func TestTheFileThatApacheShipsIsRead(t *testing.T) {
	t.Parallel()
	r := parse(t, distributed)
	if got := r.String(); got != "2 accounts, 2 white-listed address patterns" {
		t.Error(got)
	}
	a, b := r.accounts["RocketMQ"], r.accounts["rocketmq2"]
	if a.admin || a.topicPerm != Deny || a.groupPerm != Sub || !a.restricted || a.white.all || len(a.white.addrs) > 0 || a.white.hi != 0 {
		t.Errorf("RocketMQ: %+v", a)
	}
	if want := map[string]Perm{"topicA": Deny, "topicB": PubSub, "topicC": Sub}; !maps.Equal(a.topics, want) {
		t.Errorf("topics %v", a.topics)
	}
	if want := map[string]Perm{"groupA": Deny, "groupB": PubSub}; !maps.Equal(a.groups, want) {
		t.Errorf("groups %v", a.groups)
	}
	if !b.admin || b.topicPerm != Deny || b.groupPerm != Deny || b.restricted || b.white.hi != 255 {
		t.Errorf("rocketmq2: %+v", b)
	}
	if s := fmt.Sprintf("%v %+v %s", r, r, slog.AnyValue(r)); strings.Contains(s, "12345678") {
		t.Errorf("printing the rules tells a secret key: %s", s)
	}
}

func TestValuesAsYAMLMayWriteThem(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		`{accounts: [{accessKey: "1234567", secretKey: 1234567, admin: yes}]}`,
		`{accounts: [{accessKey: 1234567, secretKey: "0123456", admin: "TRUE"}]}`,
		"x: &x 1234567\n",
		"accounts:\n- {accessKey: &k '1234567', secretKey: *k, admin: on, defaultTopicPerm: ~, topicPerms: null, groupPerms: []}",
		"\ufeffaccounts: [{accessKey: 1234567, secretKey: \U0001F600\U0001F600\U0001F600\U0001F600, admin: True}] # a smiley counts twice",
	} {
		r, err := Parse("f", []byte(text))
		if strings.HasPrefix(text, "x:") {
			if err == nil {
				t.Errorf("%q is taken", text)
			}
			continue
		}
		if err != nil || r.accounts["1234567"] == nil || !r.accounts["1234567"].admin {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestWhatIsWrongInTheFileIsNamed(t *testing.T) {
	t.Parallel()
	account := func(lines ...string) string {
		return "accounts:\n- accessKey: shopuser\n  secretKey: 12345678\n  " + strings.Join(lines, "\n  ")
	}
	tests := []struct {
		name, text string
		want       []string // one for each error: its beginning, and after … what else it says
	}{
		{"empty", "", []string{"f: has no rules…add accounts"}},
		{"comments only", "# nothing\n", []string{"f: has no rules"}},
		{"nothing but null", "--- ~", []string{"f: has no rules"}},
		{"no mapping", "- a", []string{"f:1: the file is no mapping"}},
		{"no YAML", "accounts:\n\t- a", []string{"f: line 2: found character that cannot start any token; write YAML with spaces"}},
		{"an unquoted asterisk", "globalWhiteRemoteAddresses:\n- *", []string{"f: …put patterns that begin with * or { …into quotes"}},
		{"two documents", "accounts: []\n---\naccounts: []", []string{"f:2: is a second YAML document"}},
		{"an unknown key", "account: []", []string{"f:1: unknown key \"account\"; did you mean accounts?"}},
		{"another unknown key", "colour: red", []string{"f:1: unknown key \"colour\"; known are globalWhiteRemoteAddresses, accounts"}},
		{"an unknown key of an account", account("default_topic_perm: PUB"), []string{"f:4: account \"shopuser\": unknown key \"default_topic_perm\"; did you mean defaultTopicPerm?"}},
		{"a key twice", account("secretKey: 23456789"), []string{"f:4: account \"shopuser\": secretKey occurs twice"}},
		{"accounts as a mapping", "accounts: {accessKey: a}", []string{"f:1: accounts is no list"}},
		{"an account as a word", "accounts: [a]", []string{"f:1: account accounts[0]: an account is no mapping"}},
		{"no secret key", "accounts:\n- accessKey: shopuser", []string{"f:2: account \"shopuser\": the secretKey has 0 characters; RocketMQ wants more than 6"}},
		{"short keys", "accounts:\n- accessKey: abcdef\n  secretKey: '123456'", []string{"f:2: account \"abcdef\": the accessKey has 6", "f:2: account \"abcdef\": the secretKey has 6"}},
		{"an account twice", account("") + "\n- {accessKey: shopuser, secretKey: 12345678}", []string{"f:5: account \"shopuser\": occurs twice; merge"}},
		{"an octal secret key", "accounts: [{accessKey: shopuser, secretKey: 01234567}]", []string{"f:1: account \"shopuser\": secretKey has something that is no text; put it into quotes", "f:1: account \"shopuser\": the secretKey has 0"}},
		{"a floating secret key", "accounts: [{accessKey: shopuser, secretKey: 1234.5678}]", []string{"…no text; put it into quotes", "…0 characters"}},
		{"a bad boolean", account("admin: 1"), []string{"f:4: account \"shopuser\": admin is no boolean"}},
		{"an unknown permission", account("defaultTopicPerm: ANY", "defaultGroupPerm: sub"), []string{"f:4: account \"shopuser\": defaultTopicPerm is \"ANY\"; write DENY, PUB, SUB or PUB|SUB", "f:5: account \"shopuser\": defaultGroupPerm is \"sub\""}},
		{"bad entries", account("topicPerms:", "- a", "- b=PUB=SUB", "- =PUB", "- c=ALL", "- d: PUB"),
			[]string{"f:5: account \"shopuser\": topicPerms has \"a\"; write name=PERM", "f:6: …\"b=PUB=SUB\"", "f:7: …\"=PUB\"", "f:8: …topicPerms gives c the permission \"ALL\"", "f:9: …topicPerms has something that is no text", "f:9: …topicPerms has \"\""}},
		{"a name twice", account("topicPerms: [a=PUB, a=SUB]", "groupPerms: [a=SUB, a=SUB]"), []string{"f:4: …names a twice", "f:5: …names a twice"}},
		{"a topic that is a group", account("groupPerms: [g=SUB]", "topicPerms: ['%RETRY%g=DENY']"), []string{"f:5: …names g twice"}},
		{"a bad pattern", "globalWhiteRemoteAddresses:\n- 10.1.2.*\n- 10.1.{2,3}.4\n" + account("whiteRemoteAddress: 10.0.0.0/8"),
			[]string{"f:3: globalWhiteRemoteAddresses: address pattern \"10.1.{2,3}.4\" has …; write one address", "f:7: account \"shopuser\": whiteRemoteAddress: address pattern \"10.0.0.0/8\" has a prefix length"}},
		{"too many mistakes", account("topicPerms: [" + strings.Repeat("x,", 30) + "]"), append(slices.Repeat([]string{"…topicPerms has \"x\""}, 20), "f: 10 more mistakes")},
		{"aliases without end", "x: &a [" + strings.Repeat("*b,", 3) + "]", []string{"f: …unknown anchor"}},
		{"more aliases than SnakeYAML follows", "globalWhiteRemoteAddresses: [&a 10.1.2.3" + strings.Repeat(", *a", 51) + "]", []string{"f:1: more than 50 aliases"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			r, err := Parse("f", []byte(tt.text))
			if err == nil || r != nil {
				t.Fatalf("got %v, %v", r, err)
			}
			joined, ok := err.(interface{ Unwrap() []error })
			if !ok {
				t.Fatalf("%T: %v", err, err)
			}
			errs := joined.Unwrap()
			if len(errs) != len(tt.want) {
				t.Fatalf("%d errors, want %d:\n%v", len(errs), len(tt.want), err)
			}
			for i, e := range errs {
				var at *FileError
				if !errors.As(e, &at) {
					t.Errorf("%T", e)
				}
				for j, part := range strings.Split(tt.want[i], "…") {
					if j == 0 && !strings.HasPrefix(e.Error(), part) || !strings.Contains(e.Error(), part) {
						t.Errorf("%q does not say %q", e, part)
					}
				}
			}
			if strings.Contains(err.Error(), "12345678") {
				t.Errorf("the error tells the secret key: %v", err)
			}
		})
	}
}

func TestAMissingOrHugeFileIsAnError(t *testing.T) {
	t.Parallel()
	fsys := vfs.NewMem()
	if _, err := readFile(fsys, "conf/plain_acl.yml"); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "conf/plain_acl.yml") {
		t.Errorf("missing: %v", err)
	}
	write(t, fsys, "plain_acl.yml", strings.Repeat("#", maxFileSize+1))
	var bad *FileError
	if _, err := readFile(fsys, "plain_acl.yml"); !errors.As(err, &bad) {
		t.Errorf("huge: %v", err)
	}
	write(t, fsys, "plain_acl.yml", distributed)
	if data, err := readFile(fsys, "plain_acl.yml"); err != nil || string(data) != distributed {
		t.Errorf("good: %q, %v", data, err)
	}
}
