package config

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestChangesAtRunTimeAreMadeOrRefusedAsAWhole(t *testing.T) {
	t.Parallel()
	before := Standalone("/home/u", "host")
	for _, test := range []struct{ name, text, want string }{
		{"a key that can change", "maxMessageSize=1024", ""},
		{"a key that is so already", "brokerName=host\nmaxMessageSize=1024\n", ""},
		{"a key that needs a restart", "maxMessageSize=1024\nlistenPort=1", `listenPort needs a restart: set it in broker.conf and start the broker anew (it is "10911" now)`},
		{"Apache's key", "sendMessageThreadPoolNums=4", "sendMessageThreadPoolNums: only Apache RocketMQ has this key"},
		{"nobody's key", "maxMesageSize=4", `unknown key "maxMesageSize", neither broker-lite nor Apache RocketMQ has it; did you mean "maxMessageSize"?`},
		{"a wrong value", "maxMessageSize=big", "maxMessageSize=big: want bytes as a whole number, 1 to 16711680"},
		{"two mistakes", "brokerPermission=9\nlongPollingEnable=maybe", "brokerPermission=9: want a whole number, 0 to 7\nlongPollingEnable=maybe: want true or false"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := before
			got, props, err := c.Change(test.text)
			if diff := cmp.Diff(before, c); diff != "" {
				t.Errorf("the configuration itself has changed\n%s", diff)
			}
			want := before
			if test.want == "" {
				want.MaxMessageSize = 1024
			}
			text := ""
			if err != nil {
				text = err.Error()
			}
			if diff := cmp.Diff(want, got); diff != "" || text != test.want || (err == nil) != (len(props) > 0) {
				t.Errorf("error %q, %d changes, configuration (-want +got)\n%s", text, len(props), diff)
			}
		})
	}
	if _, _, err := before.Change("maxMessageSize=1024\nbrokerConfigPath=/tmp/x"); !errors.Is(err, ErrFixed) {
		t.Errorf("brokerConfigPath: %v", err)
	}
	// What concerns more than one key is checked too.
	small := Embedded("x")
	small.CommitLogFileSize = 5 << 20
	if _, _, err := small.Change("maxMessageSize=8388608"); err == nil {
		t.Error("a message may be larger than a file")
	}
}

func TestAChangedKeyReplacesItsLines(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, before, after string }{
		{"none before", "# mine\nlistenPort=1", "# mine\nlistenPort=1\nmaxMessageSize=5\n"},
		{"an empty file", "", "maxMessageSize=5\n"},
		{"once", "a=b\nmaxMessageSize = 7\nc=d\n", "a=b\nc=d\nmaxMessageSize=5\n"},
		{"twice, over two lines, in a comment", "maxMessageSize=\\\n  7\r\n#maxMessageSize=1\nmaxMessageSize:8\n", "#maxMessageSize=1\nmaxMessageSize=5\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := Edit(test.before, []Property{{Key: "maxMessageSize", Value: "4"}, {Key: "maxMessageSize", Value: "5"}})
			if diff := cmp.Diff(test.after, got); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
	if got := Edit("mapedFileSizeCommitLog=1\n", []Property{{Key: "mappedFileSizeCommitLog", Value: "2"}}); got != "mappedFileSizeCommitLog=2\n" {
		t.Errorf("another spelling stays: %q", got)
	}
}

func FuzzEdit(f *testing.F) {
	f.Add("maxMessageSize=\\\n  7\n#x\nmaxMessageSize:8\n")
	f.Add("a\\\n\\\n\nmaxMessageSize")
	f.Add("\ufeffmaxMessageSize=1")
	f.Add("0\\")
	f.Add("0\\\n")
	f.Fuzz(func(t *testing.T, text string) {
		if _, errs := ParseProperties(text); len(errs) > 0 {
			return // no broker starts with it
		}
		after, errs := ParseProperties(Edit(text, []Property{{Key: "maxMessageSize", Value: "5"}}))
		var got []string
		for _, p := range after {
			if p.Key == "maxMessageSize" {
				got = append(got, p.Value)
			}
		}
		if len(errs) > 0 || len(got) != 1 || got[0] != "5" {
			t.Errorf("the file has the values %q, errors %v", got, errs)
		}
	})
}
