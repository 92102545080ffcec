package protocol

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// Every target holds three properties: no panic, no allocation beyond a small
// multiple of the input, and what was read is read again after it was written.

func FuzzDecodeFrame(f *testing.F) {
	addGolden(f, "frame", "")
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte("\x00\x00\x00\x0c\x00\x00\x00\x08{\"x\":[]}"))
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Command
		var err error
		boundAllocs(t, len(b), func() {
			c = Command{}
			err = DecodeFrame(b, &c)
		})
		if err != nil {
			if !errors.Is(err, ErrMalformedFrame) && !errors.Is(err, ErrFrameTooLarge) {
				t.Errorf("%q: %v wraps no sentinel", b, err)
			}
			return
		}
		for _, codec := range []Codec{JSON, Binary} {
			same := codec == c.Codec
			again, err := reframe(c, codec)
			if err != nil {
				if same { // the other codec may have no room for a field's name
					t.Fatal(err)
				}
				continue
			}
			if codec == Binary && again.Code != Code(int16(c.Code)) && again.Code != widenCode(int16(c.Code)) {
				t.Errorf("code %d became %d", c.Code, again.Code)
			}
			if same {
				if diff := cmp.Diff(normalCommand(c), normalCommand(again), cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("%q (-first +second):\n%s", b, diff)
				}
			}
		}
	})
}

// reframe writes c in a codec and reads it again.
func reframe(c Command, codec Codec) (again Command, err error) {
	c.Codec = codec
	frame, err := AppendCommand(nil, &c, nil)
	if err != nil {
		return again, err
	}
	if n, err := FrameSize(frame); err != nil || n != len(frame) {
		return again, fmt.Errorf("size %d of a frame of %d bytes: %w", n, len(frame), err)
	}
	err = DecodeFrame(frame, &again)
	return again, err
}

// normalCommand is c as a second reading must find it: text that is not UTF-8
// becomes so in JSON, and what Apache does not know of languages and versions is
// lost.
func normalCommand(c Command) Command {
	if c.Codec == JSON {
		c.Remark = validText(c.Remark)
		fields := make(Fields, len(c.Fields))
		for i, f := range c.Fields {
			fields[i] = Field{validText(f.Key), validText(f.Value)}
		}
		c.Fields = fields
		c.Language = parseLanguage(c.Language.String())
	} else {
		c.Version = int32(int16(c.Version))
	}
	return c
}

// validText replaces each byte that is not UTF-8, as appendJSONString does.
func validText(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

// FuzzDecodeHeaders reads names and values, separated by NUL, as each header.
func FuzzDecodeHeaders(f *testing.F) {
	for _, g := range golden(f, "frame", "header-") {
		var c Command
		if err := DecodeFrame(g.data, &c); err != nil {
			f.Fatal(err)
		}
		var parts []string
		for _, field := range c.Fields {
			parts = append(parts, field.Key, field.Value)
		}
		f.Add(strings.Join(parts, "\x00"))
	}
	f.Fuzz(func(t *testing.T, text string) {
		var c Command
		for parts := strings.Split(text, "\x00"); len(parts) > 1 && len(c.Fields) < maxFields; parts = parts[2:] {
			c.Fields = append(c.Fields, Field{parts[0], parts[1]})
		}
		for _, pair := range headerPairs() {
			h, again := pair[0], pair[1]
			var err error
			boundAllocs(t, len(text), func() { err = h.DecodeFields(c.Fields) })
			if err != nil {
				var fe *FieldError
				if !errors.As(err, &fe) || fe.Field == "" || fe.Want == "" {
					t.Errorf("%T: %v does not say which field", h, err)
				}
				continue
			}
			if err := again.DecodeFields(fieldsOf(t, Binary, h)); err != nil {
				t.Errorf("%T, read back: %v", h, err)
			} else if diff := cmp.Diff(h, again, cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("%T (-first +second):\n%s", h, diff)
			}
		}
	})
}

// headerPairs returns two of each typed header.
func headerPairs() [][2]headerCodec {
	return [][2]headerCodec{
		{&SendRequest{Code: SendMessage}, &SendRequest{Code: SendMessage}},
		{&SendResponse{}, &SendResponse{}},
		{&PullRequest{}, &PullRequest{}},
		{&PullResponse{}, &PullResponse{}},
		{&ConsumerOffsetRequest{Code: UpdateConsumerOffset}, &ConsumerOffsetRequest{Code: UpdateConsumerOffset}},
		{&OffsetResponse{}, &OffsetResponse{}},
		{&OffsetRequest{Code: SearchOffsetByTime}, &OffsetRequest{Code: SearchOffsetByTime}},
		{&StoreTimeResponse{}, &StoreTimeResponse{}},
		{&ViewMessageRequest{}, &ViewMessageRequest{}},
		{&QueryMessageRequest{}, &QueryMessageRequest{}},
		{&QueryMessageResponse{}, &QueryMessageResponse{}},
		{&HeartbeatResponse{}, &HeartbeatResponse{}},
		{&UnregisterRequest{}, &UnregisterRequest{}},
		{&ConsumeStatsRequest{}, &ConsumeStatsRequest{}},
		{&BrokerConsumeStatsRequest{}, &BrokerConsumeStatsRequest{}},
		{&ProducerGroupRequest{}, &ProducerGroupRequest{}},
		{&GroupTopicRequest{}, &GroupTopicRequest{}},
		{&ResetOffsetRequest{}, &ResetOffsetRequest{}},
		{&RunningInfoRequest{}, &RunningInfoRequest{}},
		{&ConsumeDirectlyRequest{}, &ConsumeDirectlyRequest{}},
		{&CorrectionOffsetRequest{}, &CorrectionOffsetRequest{}},
		{&CloneOffsetRequest{}, &CloneOffsetRequest{}},
		{&ConsumeQueueRequest{}, &ConsumeQueueRequest{}},
		{&ResumeCheckRequest{}, &ResumeCheckRequest{}},
		{&SendBackRequest{}, &SendBackRequest{}},
		{&EndTransactionRequest{}, &EndTransactionRequest{}},
		{&CheckTransactionRequest{}, &CheckTransactionRequest{}},
		{&ConsumerListRequest{}, &ConsumerListRequest{}},
		{&NotifyConsumersChangedRequest{}, &NotifyConsumersChangedRequest{}},
		{&CreateTopicRequest{}, &CreateTopicRequest{}},
		{&TopicRequest{}, &TopicRequest{}},
		{&RegisterBrokerRequest{}, &RegisterBrokerRequest{}},
		{&RegisterBrokerResponse{}, &RegisterBrokerResponse{}},
		{&UnregisterBrokerRequest{}, &UnregisterBrokerRequest{}},
		{&RouteRequest{}, &RouteRequest{}},
		{&PopRequest{}, &PopRequest{}},
		{&PopResponse{}, &PopResponse{}},
		{&AckRequest{}, &AckRequest{}},
		{&ChangeInvisibleRequest{}, &ChangeInvisibleRequest{}},
		{&ChangeInvisibleResponse{}, &ChangeInvisibleResponse{}},
		{&PeekRequest{Code: PeekMessage}, &PeekRequest{Code: PeekMessage}},
		{&PollingInfoResponse{}, &PollingInfoResponse{}},
		{&NotificationRequest{}, &NotificationRequest{}},
		{&NotificationResponse{}, &NotificationResponse{}},
		{&RecallRequest{}, &RecallRequest{}},
		{&RecallResponse{}, &RecallResponse{}},
	}
}

func FuzzDecodeRecord(f *testing.F) {
	addGolden(f, "record", "")
	addGolden(f, "records", "")
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Record
		var n int
		var err error
		boundAllocs(t, len(b), func() { n, err = DecodeRecord(b, &r) })
		if err != nil {
			if !errors.Is(err, ErrMalformedRecord) {
				t.Errorf("%x: %v wraps no sentinel", b, err)
			}
			return
		}
		if n != int(r.Size) || n > len(b) {
			t.Fatalf("read %d of %d bytes, size %d", n, len(b), r.Size)
		}
		first := r
		written, err := AppendRecord(nil, &first)
		if err != nil {
			t.Fatal(err)
		}
		var again Record
		if _, err := DecodeRecord(written, &again); err != nil {
			t.Fatal(err)
		}
		// The checksum is computed anew, and a v6 host that maps a v4 one is
		// written as v4, which clears a bit of the system flag.
		again.BodyCRC, again.Size = first.BodyCRC, first.Size
		if diff := cmp.Diff(unmapped(first), unmapped(again), recordDiff); diff != "" {
			t.Errorf("%x (-first +second):\n%s", b, diff)
		}
	})
}

func FuzzDecodeBatch(f *testing.F) {
	addGolden(f, "batch", "")
	f.Fuzz(func(t *testing.T, b []byte) {
		for rest := b; len(rest) > 0; {
			var e BatchEntry
			var n int
			var err error
			boundAllocs(t, len(rest), func() { n, err = DecodeBatchEntry(rest, &e) })
			if err != nil {
				if !errors.Is(err, ErrMalformedBody) {
					t.Errorf("%x: %v wraps no sentinel", rest, err)
				}
				return
			}
			written, err := AppendBatchEntry(nil, &e)
			if err != nil {
				t.Fatal(err)
			}
			// Nobody reads the magic and the checksum at 4 to 12.
			if !bytes.Equal(written[:4], rest[:4]) || !bytes.Equal(written[12:], rest[12:n]) {
				t.Errorf("%x was written as %x", rest[:n], written)
			}
			rest = rest[n:]
		}
	})
}

func FuzzProperties(f *testing.F) {
	for _, s := range []string{"", "a\x01b\x02", "a\x01b\x02c\x01d", "\x01\x02\x01", "a\x01\x01\x02", "TAGS\x01a\x02TAGS\x01b\x02"} {
		f.Add([]byte(s), "TAGS", "x")
	}
	f.Fuzz(func(t *testing.T, props []byte, name, value string) {
		var m map[string]string
		boundAllocs(t, len(props), func() { m = PropertiesMap(props) })
		var written []byte
		for k, v := range m {
			written = AppendProperty(written, k, v)
		}
		if diff := cmp.Diff(m, PropertiesMap(written)); diff != "" {
			t.Errorf("%q (-first +second):\n%s", props, diff)
		}
		if diff := cmp.Diff(m, PropertiesMap(string(props))); diff != "" {
			t.Errorf("%q as bytes and as text (-bytes +text):\n%s", props, diff)
		}
		for k, v := range m {
			if got, ok := Property(props, k); !ok || got != v {
				t.Errorf("%q: %q is %q, want %q", props, k, got, v)
			}
		}
		if name == "" || strings.ContainsAny(name+value, "\x01\x02") { // package message refuses them
			return
		}
		set := PropertiesMap(SetProperty(props, name, value))
		delete(m, name)
		if value != "" {
			m[name] = value
		}
		if diff := cmp.Diff(m, set); diff != "" {
			t.Errorf("%q with %q=%q (-want +got):\n%s", props, name, value, diff)
		}
	})
}

func FuzzNormalizeJSON(f *testing.F) {
	addGolden(f, "body", "")
	f.Add([]byte(`{{"a":1}:{-5:[{}]},"b":[{0:1}]}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		var std []byte
		var err error
		boundAllocs(t, len(b), func() { std, err = NormalizeJSON(b) })
		if err != nil {
			if !errors.Is(err, ErrMalformedBody) {
				t.Errorf("%q: %v wraps no sentinel", b, err)
			}
			if json.Valid(b) && bytes.Count(b, []byte("{"))+bytes.Count(b, []byte("[")) < maxBodyDepth {
				t.Errorf("standard JSON %q is refused: %v", b, err)
			}
			return
		}
		if json.Valid(b) && !bytes.Equal(b, std) {
			t.Errorf("standard JSON %q became %q", b, std)
		}
		again, err := NormalizeJSON(std)
		if err != nil || !bytes.Equal(again, std) {
			t.Errorf("%q became %q, then %q, %v", b, std, again, err)
		}
	})
}

// fuzzBody reads b with a codec, and what it wrote again.
func fuzzBody(t *testing.T, b []byte, c bodyCodec) {
	t.Helper()
	var v any
	var err error
	boundAllocs(t, len(b), func() { v, err = c.read(b) })
	if err != nil {
		if !errors.Is(err, ErrMalformedBody) {
			t.Errorf("%q: %v wraps no sentinel", b, err)
		}
		return
	}
	written, err := c.write(v)
	if err != nil {
		t.Fatalf("%q: %v", b, err)
	}
	again, err := c.read(written)
	if err != nil {
		t.Fatalf("%q, written as %q: %v", b, written, err)
	}
	if diff := cmp.Diff(v, again, cmpopts.EquateEmpty(), cmp.Transformer("compact", compactJSON)); diff != "" {
		t.Errorf("%q, written as %q (-first +second):\n%s", b, written, diff)
	}
}

func compactJSON(raw json.RawMessage) string {
	var b bytes.Buffer
	if json.Compact(&b, raw) != nil {
		return string(raw)
	}
	return b.String()
}

// FuzzDecodeBodies reads one text as each of the JSON bodies.
func FuzzDecodeBodies(f *testing.F) {
	addGolden(f, "body", "")
	f.Add([]byte(`{"subVersion":"7","codeSet":["1",2],"clientID":null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, name := range []string{"body-34", "body-38", "body-206", "body-28", "body-351", "body-105-standard", "body-105-fastjson", "body-103", "body-106", "body-202", "body-220"} {
			c, ok := goldenBody(name)
			if !ok {
				t.Fatal(name)
			}
			fuzzBody(t, b, c)
		}
		fuzzBody(t, b, plainBody[SubscriptionData]())
	})
}

// FuzzInflateRegistration reads what claims to be zlib.
func FuzzInflateRegistration(f *testing.F) {
	addGolden(f, "deflated", "")
	f.Fuzz(func(t *testing.T, b []byte) {
		size := len(b) // what it asks for is bounded by what it inflates to
		if plain, err := inflate(b, MaxFrameSize); err == nil {
			size += len(plain)
		}
		boundAllocs(t, size, func() {
			if _, err := DecodeRegisterBrokerBody(b, true, VersionV5_4_0); err != nil && !errors.Is(err, ErrMalformedBody) {
				t.Errorf("%q: %v wraps no sentinel", b, err)
			}
		})
	})
}

// FuzzRegistrationParts reads what is inside the zlib.
func FuzzRegistrationParts(f *testing.F) {
	for _, c := range golden(f, "deflated", "") {
		plain, err := inflate(c.data, MaxFrameSize)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(plain, c.is5())
	}
	f.Add([]byte("\x00\x00\x00\x02{}\x00\x00\x00\x00\x00\x00\x00\x02[]\x00\x00\x00\x01\x00\x00\x00\x1f{\"topic\":\"t\",\"currIdMap\":{0:1}}"), true)
	f.Fuzz(func(t *testing.T, b []byte, is5 bool) {
		version := VersionV4_9_7
		if is5 {
			version = VersionV5_4_0
		}
		var v RegisterBrokerBody
		var err error
		boundAllocs(t, len(b), func() {
			v = RegisterBrokerBody{}
			err = v.decodeParts(b, version)
		})
		if err != nil {
			if !errors.Is(err, ErrMalformedBody) {
				t.Errorf("%q: %v wraps no sentinel", b, err)
			}
			return
		}
		for name, c := range v.Topics.Configs {
			if !is5 {
				c.Attributes = nil // 4.9 has none and they are not written for it
				v.Topics.Configs[name] = c
			}
		}
		written, err := registerParts(&v, version)
		if err != nil {
			t.Fatal(err)
		}
		var again RegisterBrokerBody
		if err := again.decodeParts(written, version); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(v, again, cmpopts.EquateEmpty(), cmp.Transformer("compact", compactJSON)); diff != "" {
			t.Errorf("%q (-first +second):\n%s", b, diff)
		}
	})
}

func FuzzParseIDs(f *testing.F) {
	for _, id := range []string{"7F00000100002A9F0000000000000000", "20010DB80000000000000000000A000100002A9F0000000000000171", "", "zz"} {
		f.Add(id)
	}
	now := time.Date(2024, 5, 31, 12, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, id string) {
		boundAllocs(t, len(id), func() {
			if host, offset, err := ParseOffsetMessageID(id); err == nil {
				again, sameOffset, err := ParseOffsetMessageID(OffsetMessageID(host, offset))
				if err != nil || again.Addr().Unmap() != host.Addr().Unmap() || again.Port() != host.Port() || sameOffset != offset {
					t.Errorf("%s is %s and %d, then %s and %d, %v", id, host, offset, again, sameOffset, err)
				}
			}
			if u, err := ParseUniqueID(id, now); err == nil && (u.Time.Before(now.AddDate(0, -2, 0)) || !u.IP.IsValid()) {
				t.Errorf("%s: %+v", id, u)
			}
		})
	})
}

func FuzzParseDelayLevels(f *testing.F) {
	f.Add(DefaultDelayLevels)
	f.Add("1s  5s\t0d 999999999d")
	f.Fuzz(func(t *testing.T, text string) {
		var levels DelayLevels
		var err error
		boundAllocs(t, len(text), func() { levels, err = ParseDelayLevels(text) })
		if err != nil {
			return
		}
		again, err := ParseDelayLevels(levels.String())
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(levels, again); diff != "" {
			t.Errorf("%q (-first +second):\n%s", text, diff)
		}
	})
}

func FuzzBuildTagSubscription(f *testing.F) {
	for _, expr := range []string{"*", "", "a || b", "||", " a||a ", "标签 || 😀"} {
		f.Add(expr)
	}
	f.Fuzz(func(t *testing.T, expr string) {
		var s SubscriptionData
		var err error
		boundAllocs(t, len(expr), func() { s, err = BuildTagSubscription("t", expr) })
		if err != nil {
			return
		}
		if len(s.TagsSet) != len(s.CodeSet) || s.MatchesAll() != (len(s.TagsSet) == 0) {
			t.Errorf("%q: %+v", expr, s)
		}
		for i, tag := range s.TagsSet {
			if HashCode(tag) != s.CodeSet[i] || tag == "" {
				t.Errorf("%q: tag %q has code %d", expr, tag, s.CodeSet[i])
			}
		}
	})
}
