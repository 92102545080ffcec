package protocol

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// frameOf wraps a header, and a body, in a frame.
func frameOf(codec Codec, header, body string) []byte {
	b := binary.BigEndian.AppendUint32(nil, uint32(4+len(header)+len(body)))
	b = binary.BigEndian.AppendUint32(b, uint32(codec)<<24|uint32(len(header)))
	return append(append(b, header...), body...)
}

func TestJSONHeadersOfManyPeersAreRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		header string
		want   Command
	}{
		"nothing at all":          {`{}`, Command{}},
		"no extFields":            {`{"code":34,"flag":0,"opaque":7}`, Command{Code: 34, Opaque: 7}},
		"null extFields":          {`{"code":34,"extFields":null,"remark":null}`, Command{Code: 34}},
		"empty extFields":         {`{"code":34,"extFields":{}}`, Command{Code: 34}},
		"serializeTypeCurrentRPC": {`{"code":34,"serializeTypeCurrentRPC":"JSON","version":407}`, Command{Code: 34, Version: 407}},
		"a type nobody knows":     {`{"serializeTypeCurrentRPC":"CBOR","code":1}`, Command{Code: 1}},
		"language Go":             {`{"language":"GO"}`, Command{Language: LanguageGo}},
		"unknown language":        {`{"language":"COBOL"}`, Command{Language: LanguageOther}},
		"null language":           {`{"language":null}`, Command{Language: LanguageOther}},
		"language as a number":    {`{"language":12}`, Command{Language: 12}},
		"language beyond a byte":  {`{"language":1234}`, Command{Language: LanguageOther}},
		"numbers as text":         {`{"code":"10","opaque":"-3"}`, Command{Code: 10, Opaque: -3}},
		"null number":             {`{"code":null,"opaque":5}`, Command{Opaque: 5}},
		"values of all types":     {`{"extFields":{"a":"1","b":2,"c":true,"d":1.5e3,"e":""}}`, Command{Fields: Fields{{"a", "1"}, {"b", "2"}, {"c", "true"}, {"d", "1.5e3"}, {"e", ""}}}},
		"a null value is absent":  {`{"extFields":{"a":null,"b":"x"}}`, Command{Fields: Fields{{"b", "x"}}}},
		"a value that is JSON":    {`{"extFields":{"a":{"b":[1,{"c":"]"}]}}}`, Command{Fields: Fields{{"a", `{"b":[1,{"c":"]"}]}`}}}},
		"white space":             {" {\n\t\"code\" : 1 ,\r\"extFields\" : { \"a\" : \"b\" } } ", Command{Code: 1, Fields: Fields{{"a", "b"}}}},
		"unknown members":         {`{"suspended":false,"body":null,"x":[{},[],{"a":[1]},"]"],"code":3}`, Command{Code: 3}},
		"escapes":                 {`{"remark":"a\"\\\/\b\f\n\r\t\u0001\u4e2d\ud83d\ude00\ud800x"}`, Command{Remark: "a\"\\/\b\f\n\r\t\x01中😀\ufffdx"}},
		"an escaped key":          {`{"extFields":{"\u0061":"b"}}`, Command{Fields: Fields{{"a", "b"}}}},
		"the same key twice":      {`{"code":1,"code":2}`, Command{Code: 2}},
		"separators in a value":   {`{"extFields":{"properties":"KEYS\u0001k\u0002TAGS\u0001a\u0002"}}`, Command{Fields: Fields{{"properties", "KEYS\x01k\x02TAGS\x01a\x02"}}}},
	} {
		var got Command
		if err := DecodeFrame(frameOf(JSON, c.header, ""), &got); err != nil {
			t.Errorf("%s: %v", name, err)
		} else if diff := cmp.Diff(c.want, got, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestMalformedFramesAreRefused(t *testing.T) {
	t.Parallel()
	binaryHeader := func(remarkLen, ext string) string {
		return "\x00\x22\x00\x01\x9d\x00\x00\x00\x07\x00\x00\x00\x00" + remarkLen + ext
	}
	for name, frame := range map[string][]byte{
		"no length":                  {},
		"length below its own word":  {0, 0, 0, 3, 0, 0, 0},
		"no header length":           {0, 0, 0, 4, 0, 0, 0},
		"shorter than it says":       {0, 0, 0, 8, 0, 0, 0, 0},
		"longer than it says":        append(frameOf(JSON, `{}`, ""), 0),
		"header longer than frame":   {0, 0, 0, 4, 0, 0, 0, 1},
		"unknown codec":              frameOf(2, `{}`, ""),
		"empty JSON":                 frameOf(JSON, ``, ""),
		"JSON array":                 frameOf(JSON, `[]`, ""),
		"cut JSON":                   frameOf(JSON, `{"code":1`, ""),
		"cut string":                 frameOf(JSON, `{"remark":"abc`, ""),
		"cut escape":                 frameOf(JSON, `{"remark":"abc\`, ""),
		"bad escape":                 frameOf(JSON, `{"remark":"\x41"}`, ""),
		"bad unicode":                frameOf(JSON, `{"remark":"\u00"}`, ""),
		"no colon":                   frameOf(JSON, `{"code" 1}`, ""),
		"no comma":                   frameOf(JSON, `{"code":1 "flag":0}`, ""),
		"text for a number":          frameOf(JSON, `{"code":"ten"}`, ""),
		"number beyond 32 bits":      frameOf(JSON, `{"opaque":4294967296}`, ""),
		"a fraction for a number":    frameOf(JSON, `{"code":1.5}`, ""),
		"bare word":                  frameOf(JSON, `{"extFields":{"a":yes}}`, ""),
		"no number":                  frameOf(JSON, `{"extFields":{"a":-}}`, ""),
		"extFields no object":        frameOf(JSON, `{"extFields":"a"}`, ""),
		"bytes after the header":     frameOf(JSON, `{} {}`, ""),
		"unbalanced unknown member":  frameOf(JSON, `{"x":[}]}`, ""),
		"unknown object without key": frameOf(JSON, `{"x":{1:2}}`, ""),
		"unknown object, no colon":   frameOf(JSON, `{"x":{"a" 2}}`, ""),
		"unknown array, no comma":    frameOf(JSON, `{"x":[1 2]}`, ""),
		"unknown string cut":         frameOf(JSON, `{"x":["a`, ""),
		"unknown member cut":         frameOf(JSON, `{"x":[`, ""),
		"unknown key cut":            frameOf(JSON, `{"x":{`, ""),
		"short binary header":        frameOf(Binary, "\x00\x22\x00", ""),
		"remark beyond the end":      frameOf(Binary, binaryHeader("\x00\x00\x00\x09", "\x00\x00\x00\x00"), ""),
		"negative remark":            frameOf(Binary, binaryHeader("\xff\xff\xff\xff", "\x00\x00\x00\x00"), ""),
		"ext beyond the end":         frameOf(Binary, binaryHeader("\x00\x00\x00\x00", "\x00\x00\x00\x09a"), ""),
		"negative ext":               frameOf(Binary, binaryHeader("\x00\x00\x00\x00", "\xff\xff\xff\xff"), ""),
		"bytes after ext":            frameOf(Binary, binaryHeader("\x00\x00\x00\x00", "\x00\x00\x00\x00a"), ""),
		"negative key":               frameOf(Binary, binaryHeader("\x00\x00\x00\x00", "\x00\x00\x00\x03\xff\xffa"), ""),
		"key without value":          frameOf(Binary, binaryHeader("\x00\x00\x00\x00", "\x00\x00\x00\x03\x00\x01a"), ""),
		"negative value":             frameOf(Binary, binaryHeader("\x00\x00\x00\x00", "\x00\x00\x00\x07\x00\x01a\xff\xff\xff\xff"), ""),
		"too many fields":            frameOf(JSON, `{"extFields":{`+strings.Repeat(`"a":"",`, maxFields)+`"b":""}}`, ""),
	} {
		if err := DecodeFrame(frame, new(Command)); !errors.Is(err, ErrMalformedFrame) {
			t.Errorf("%s: got %v, want ErrMalformedFrame", name, err)
		}
	}
}

func TestUnknownMembersAreSkippedToADepth(t *testing.T) {
	t.Parallel()
	for depth, ok := range map[int]bool{maxJSONDepth: true, maxJSONDepth + 1: false} {
		arrays := strings.Repeat("[", depth) + strings.Repeat("]", depth)
		objects := strings.Repeat(`{"a":`, depth) + "1" + strings.Repeat("}", depth)
		mixed := strings.Repeat(`{"a":[`, depth/2) + strings.Repeat("{", depth%2) + strings.Repeat("}", depth%2) + strings.Repeat("]}", depth/2)
		for _, value := range []string{arrays, objects, mixed} {
			var c Command
			err := DecodeFrame(frameOf(JSON, `{"x":`+value+`,"code":7}`, ""), &c)
			if ok != (err == nil && c.Code == 7) || !ok && !errors.Is(err, ErrMalformedFrame) {
				t.Errorf("depth %d: %+v, %v", depth, c, err)
			}
		}
	}
}

func TestTheCapCoversTheWholeFrame(t *testing.T) {
	t.Parallel()
	// Apache's decoder compares 16 MiB with the frame and its length field.
	last := []byte{0x00, 0xff, 0xff, 0xfc}
	if n, err := FrameSize(last); err != nil || n != MaxFrameSize {
		t.Errorf("got %d, %v", n, err)
	}
	for _, b := range [][]byte{{0x00, 0xff, 0xff, 0xfd}, {0x80, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff}} {
		if _, err := FrameSize(b); !errors.Is(err, ErrFrameTooLarge) {
			t.Errorf("%x: got %v, want ErrFrameTooLarge", b, err)
		}
	}
	if n, err := FrameSize(last[:3]); n != 0 || err != nil {
		t.Errorf("three bytes of a length: got %d, %v", n, err)
	}
	c := &Command{Codec: Binary, Body: make([]byte, MaxFrameSize-8-21)}
	frame, err := AppendCommand(nil, c, nil)
	if err != nil || len(frame) != MaxFrameSize {
		t.Errorf("the largest frame: got %d bytes, %v", len(frame), err)
	}
	c.Body = append(c.Body, 0)
	if b, err := AppendCommand([]byte("kept"), c, nil); !errors.Is(err, ErrFrameTooLarge) || string(b) != "kept" {
		t.Errorf("one byte more: got %d bytes, %v", len(b), err)
	}
}

func TestBinaryCodesBeyond16BitsAreMappedBack(t *testing.T) {
	t.Parallel()
	for _, code := range []Code{PopMessage, AckMessage, PeekMessage, ChangeInvisibleTime, Notification, PollingInfo, PopRollback, BatchAckMessage, SendMessageV2, GetTopicConfig} {
		frame, err := AppendCommand(nil, &Command{Codec: Binary, Code: code}, nil)
		if err != nil {
			t.Fatal(err)
		}
		var got Command
		if err := DecodeFrame(frame, &got); err != nil || got.Code != code {
			t.Errorf("%s became %d, %v", RequestName(code), got.Code, err)
		}
	}
	// A response code keeps its 16 bits.
	resp := Command{Codec: Binary, Code: 3442, Flag: flagResponse}
	frame, err := AppendCommand(nil, &resp, nil)
	if err != nil {
		t.Fatal(err)
	}
	var got Command
	if err := DecodeFrame(frame, &got); err != nil || got.Code != 3442 {
		t.Errorf("response code became %d, %v", got.Code, err)
	}
}

func TestClientsRequestsAreBinaryWhereTheirCodeFits(t *testing.T) {
	t.Parallel()
	for code, want := range map[Code]Codec{SendMessageV2: Binary, 32767: Binary, 32768: JSON, PopMessage: JSON} {
		if c := ClientRequest(code); c.Codec != want || c.Code != code || c.Version != ClientVersion {
			t.Errorf("%d: %+v, want %s", code, c, want)
		}
	}
}

func TestEmptyBinaryStringsAreAbsent(t *testing.T) {
	t.Parallel()
	fields := fieldsOf(t, Binary, &SendRequest{Code: SendMessageV2, Topic: "t"})
	for _, key := range []string{"a", "c", "i"} {
		if v, ok := fields.Get(key); ok {
			t.Errorf("field %q is there as %q", key, v)
		}
	}
	if v, ok := fieldsOf(t, JSON, &SendRequest{Code: SendMessageV2, Topic: "t"}).Get("a"); !ok || v != "" {
		t.Errorf("in JSON field a is %q, %t", v, ok)
	}
}

func TestAFrameAliasesItsBodyAndCopiesItsHeader(t *testing.T) {
	t.Parallel()
	for _, codec := range []Codec{JSON, Binary} {
		frame, err := AppendFrame(nil, &Command{Codec: codec, Remark: "why", Fields: Fields{{"key", "value"}}}, nil, []byte("bo"), nil, []byte("dy"))
		if err != nil {
			t.Fatal(err)
		}
		var c Command
		if err := DecodeFrame(frame, &c); err != nil {
			t.Fatal(err)
		}
		if string(c.Body) != "body" {
			t.Errorf("body %q", c.Body)
		}
		clear(frame)
		if c.Remark != "why" || c.Fields.Value("key") != "value" || string(c.Body) == "body" {
			t.Errorf("%s after the buffer was used again: %+v", codec, c)
		}
	}
}

func TestAResponseAnswersInKind(t *testing.T) {
	t.Parallel()
	req := Command{Codec: Binary, Code: SendMessageV2, Opaque: 7, Flag: flagOneway}
	resp := req.Response(SystemBusy, "later")
	want := Command{Codec: Binary, Code: SystemBusy, Language: LanguageGo, Version: ServerVersion, Opaque: 7, Flag: flagResponse, Remark: "later"}
	if diff := cmp.Diff(want, resp); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	var oneway Command
	if oneway.MarkOneway(); !oneway.IsOneway() || oneway.IsResponse() {
		t.Errorf("flag %d of a oneway request", oneway.Flag)
	}
	if !req.IsOneway() || req.IsResponse() || !resp.IsResponse() || resp.IsOneway() {
		t.Error("flags are mixed up")
	}
}

func TestFramesThatCannotBeWrittenLeaveTheBufferAlone(t *testing.T) {
	t.Parallel()
	for _, c := range []*Command{
		{Codec: 7},
		{Codec: Binary, Fields: Fields{{strings.Repeat("k", 32768), "v"}}},
		{Codec: Binary, Remark: strings.Repeat("r", MaxFrameSize)},
	} {
		if b, err := AppendCommand([]byte("kept"), c, nil); err == nil || string(b) != "kept" {
			t.Errorf("%s: got %d bytes, %v", c.Codec, len(b), err)
		}
	}
}

func TestTextThatIsNotUTF8IsMadeSo(t *testing.T) {
	t.Parallel()
	// Java refuses a header that is not UTF-8.
	frame, err := AppendCommand(nil, &Command{Codec: JSON, Remark: "a\xff\xc3b"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	var c Command
	if err := DecodeFrame(frame, &c); err != nil || c.Remark != "a\ufffd\ufffdb" {
		t.Errorf("got %q, %v", c.Remark, err)
	}
}

func TestEncodingAndDecodingDoNotAllocateBeyondTheirStrings(t *testing.T) {
	for _, codec := range []Codec{JSON, Binary} {
		c, h := sendCommand()
		c.Codec = codec
		var e Encoder
		buf := make([]byte, 0, 1024)
		var encoded []byte
		if n := testing.AllocsPerRun(100, func() { encoded, _ = e.AppendFrame(buf[:0], &c, &h, c.Body) }); n != 0 {
			t.Errorf("%s: encoding allocates %v times", codec, n)
		}
		var got Command
		req := SendRequest{Code: SendMessageV2}
		decode := func() {
			if err := DecodeFrame(encoded, &got); err != nil {
				t.Fatal(err)
			}
			if err := req.DecodeFields(got.Fields); err != nil {
				t.Fatal(err)
			}
		}
		// The header's text, the unescaped properties in JSON, and their copy.
		limit := map[Codec]float64{JSON: 3, Binary: 2}[codec]
		if n := testing.AllocsPerRun(100, decode); n > limit {
			t.Errorf("%s: decoding allocates %v times, at most %v", codec, n, limit)
		}
	}
}
