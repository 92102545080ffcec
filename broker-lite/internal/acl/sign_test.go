package acl

import (
	"slices"
	"strings"
	"testing"
	"unicode/utf16"
)

func TestWhatClientsLeaveUnsigned(t *testing.T) {
	t.Parallel()
	rules := parse(t, userRules("defaultTopicPerm: SUB"))
	const token, unique = "SecurityToken", "_UNIQUE_KEY_QUERY"
	tests := []struct {
		name     string
		version  int32
		leaveOut []string
		refused  bool
	}{
		{"Java signs the token", 413, nil, false},
		{"rocketmq-client-go does not sign the token", 317, []string{token, unique}, false},
		{"Java before 4.9.4 does not sign the flag", 399, []string{unique}, false},
		{"a client that signs the flag says a later version", 399, nil, true},
		{"Java from 4.9.4 on signs the flag", 400, nil, false},
		{"what Apache 4.9.7 takes from any version", 413, []string{unique}, false},
		{"neither", 413, []string{token, unique}, false},
		{"the topic is always signed", 413, []string{"topic"}, true},
		{"the access key is always signed", 413, []string{"AccessKey"}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			cmd := request(12, "topic=t", "SecurityToken=tok", "_UNIQUE_KEY_QUERY=true")
			cmd.Version = tt.version
			sign(cmd, userKey, secretKey, tt.leaveOut...)
			err := rules.Check(elsewhere, cmd)
			if tt.refused {
				wantReason(t, err, BadSignature)
			} else if err != nil {
				t.Error(err)
			}
		})
	}
}

func TestASignatureIsComparedWhole(t *testing.T) {
	t.Parallel()
	rules := parse(t, userRules("defaultTopicPerm: PUB"))
	cmd := signedBy(userKey, request(310, "b=t"))
	right := cmd.Fields.Value(FieldSignature)
	for i := range right {
		for _, wrong := range []string{right[:i], right[:i] + "!" + right[i+1:], right[:i] + "A" + right[i:]} {
			cmd.Fields[len(cmd.Fields)-1].Value = wrong
			wantReason(t, rules.Check(elsewhere, cmd), BadSignature)
		}
	}
	cmd.Fields = cmd.Fields[:len(cmd.Fields)-1]
	wantReason(t, rules.Check(elsewhere, cmd), BadSignature)
}

func TestNamesAreInTheOrderOfJavasStrings(t *testing.T) {
	t.Parallel()
	names := []string{"", "A", "AB", "a", "é", "\u07ff", "\u0800", "\ud7ff", "\ue000", "\ufb01", "\uffff", "\U00010000", "\U0001F600", "\U0010FFFF", "a\U0001F600", "a\uffee", "a\uff00b"}
	for _, a := range names {
		for _, b := range names {
			want := slices.Compare(utf16.Encode([]rune(a)), utf16.Encode([]rune(b)))
			if got := compareJava(a, b); got != want {
				t.Errorf("%q and %q: %d, Java %d", a, b, got, want)
			}
		}
	}
}

func TestALargeHeaderIsNotKept(t *testing.T) {
	t.Parallel()
	v := newVerifier([]byte(secretKey))
	cmd := request(310, "b=t", "i="+strings.Repeat("x", 10*mostKept))
	sign(cmd, userKey, secretKey)
	if !v.verify(cmd, cmd.Fields.Value(FieldSignature)) {
		t.Fatal("a right signature is refused")
	}
	if cap(v.content) > mostKept || len(v.fields) != 0 || cap(v.fields) > 0 && v.fields[:1][0].Key != "" {
		t.Errorf("the verifier keeps %d bytes and %d fields", cap(v.content), len(v.fields))
	}
}
