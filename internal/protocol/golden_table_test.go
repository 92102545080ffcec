package protocol

import (
	"encoding/hex"
	"encoding/json"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

func TestPropertiesAreReadAsApacheReadsThem(t *testing.T) {
	t.Parallel()
	type row struct {
		String     string            `json:"string"`
		Properties map[string]string `json:"properties"`
	}
	for _, r := range goldenTable[row](t, "table-props-read") {
		if diff := cmp.Diff(r.Properties, PropertiesMap(r.String)); diff != "" {
			t.Errorf("%q (-Java +ours):\n%s", r.String, diff)
		}
		for name, value := range r.Properties {
			if got, ok := Property([]byte(r.String), name); !ok || got != value {
				t.Errorf("%q: property %q is %q, %t; Java says %q", r.String, name, got, ok, value)
			}
		}
	}
}

func TestPropertiesAreRemovedAsApacheRemovesThem(t *testing.T) {
	t.Parallel()
	type row struct{ String, Name, Result string }
	for _, r := range goldenTable[row](t, "table-props-delete") {
		if got := string(RemoveProperty(nil, []byte(r.String), r.Name)); got != r.Result {
			t.Errorf("%q without %q: got %q, Java says %q", r.String, r.Name, got, r.Result)
		}
	}
}

func TestPropertiesAreWrittenAsApacheWritesThem(t *testing.T) {
	t.Parallel()
	eachGolden(t, "props-write", "", func(t *testing.T, g *goldenCase) {
		var v struct {
			Pairs  [][2]string `json:"pairs"`
			String string      `json:"string"`
		}
		g.values(t, &v)
		var got []byte
		empty := false
		want := make(map[string]string)
		for _, p := range v.Pairs {
			got = AppendProperty(got, p[0], p[1])
			if empty = empty || p[1] == ""; p[1] != "" {
				want[p[0]] = p[1]
			}
		}
		// 4.9 leaves out the last separator; an empty value, which Java writes and
		// does not read, is left out here.
		if s := v.String; !empty && string(got) != s && string(got) != s+"\x02" {
			t.Errorf("written %q, Java writes %q", got, s)
		}
		if diff := cmp.Diff(want, PropertiesMap(v.String)); diff != "" {
			t.Errorf("read (-want +got):\n%s", diff)
		}
		if diff := cmp.Diff(want, PropertiesMap(got)); diff != "" {
			t.Errorf("read back (-want +got):\n%s", diff)
		}
	})
}

func TestTagsHashAsInJava(t *testing.T) {
	t.Parallel()
	type row struct {
		Tag  string
		Hash int32
	}
	for _, r := range goldenTable[row](t, "table-tags") {
		if got := HashCode(r.Tag); got != r.Hash {
			t.Errorf("hash of %q is %d, Java says %d", r.Tag, got, r.Hash)
		}
	}
}

func TestTagExpressionsAreReadAsApacheReadsThem(t *testing.T) {
	t.Parallel()
	type row struct {
		Expression string
		SubString  string
		Tags       []string
		Codes      []int32
		JSON       string
		Error      string
	}
	sorted := cmp.Options{cmpopts.EquateEmpty(), cmpopts.SortSlices(strings.Compare), cmpopts.SortSlices(func(a, b int32) bool { return a < b })}
	for _, r := range goldenTable[row](t, "table-subscriptions") {
		got, err := BuildTagSubscription("TopicTest", r.Expression)
		if r.Error != "" || len(r.Tags) == 0 && r.SubString != SubscribeAll {
			// Java takes " " and "a space around ||" for a subscription that matches
			// nothing; that is refused here.
			if err == nil {
				t.Errorf("%q is taken", r.Expression)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		want := SubscriptionData{Topic: "TopicTest", SubString: r.SubString, TagsSet: r.Tags, CodeSet: r.Codes, ExpressionType: ExpressionTag}
		if diff := cmp.Diff(want, got, sorted); diff != "" {
			t.Errorf("%q (-Java +ours):\n%s", r.Expression, diff)
		}
		var read SubscriptionData
		if err := DecodeBody([]byte(r.JSON), &read); err != nil {
			t.Error(err)
		}
		want.SubVersion = 1700000000123
		if diff := cmp.Diff(want, read, sorted); diff != "" {
			t.Errorf("%s (-want +got):\n%s", r.JSON, diff)
		}
	}
}

func TestDelayLevelsAreReadAsApacheReadsThem(t *testing.T) {
	t.Parallel()
	type row struct {
		Text   string
		OK     bool
		Millis []int64
	}
	for _, r := range goldenTable[row](t, "table-delay-levels") {
		got, err := ParseDelayLevels(r.Text)
		switch r.Text {
		case "1s  5s": // a second space is no reason to refuse to start
			r.OK, r.Millis = true, []int64{1000, 5000}
		case "-1s 5s": // Java takes a delay into the past
			r.OK = false
		}
		if (err == nil) != r.OK {
			t.Errorf("%q: got %v, Java says ok=%t", r.Text, err, r.OK)
			continue
		}
		var millis []int64
		for _, d := range got {
			millis = append(millis, d.Milliseconds())
		}
		if r.OK && !cmp.Equal(millis, r.Millis) {
			t.Errorf("%q: got %d, Java says %d", r.Text, millis, r.Millis)
		}
	}
}

func TestOffsetMessageIDsAreApaches(t *testing.T) {
	t.Parallel()
	type row struct {
		IP     netip.Addr
		Port   uint16
		Offset int64
		ID     string
	}
	for _, r := range goldenTable[row](t, "table-offset-ids") {
		host := netip.AddrPortFrom(r.IP, r.Port)
		if got := OffsetMessageID(host, r.Offset); got != r.ID {
			t.Errorf("id of %s and %d is %s, Java says %s", host, r.Offset, got, r.ID)
		}
		for _, id := range []string{r.ID, strings.ToLower(r.ID)} {
			gotHost, offset, err := ParseOffsetMessageID(id)
			if err != nil || gotHost != host || offset != r.Offset {
				t.Errorf("%s: got %s, %d, %v", id, gotHost, offset, err)
			}
		}
	}
	for _, id := range []string{"", "7F00000100002A9F000000000000000", "7F00000100002A9F00000000000000ZZ", "7F00000100012A9F0000000000000000"} {
		if _, _, err := ParseOffsetMessageID(id); err == nil {
			t.Errorf("%q is taken", id)
		}
	}
}

func TestUniqueIDsOfApacheAreRead(t *testing.T) {
	t.Parallel()
	type row struct {
		ID       string
		IP       netip.Addr
		PID      uint16
		BytesHex string
	}
	now := time.Date(2024, 5, 31, 12, 0, 0, 0, time.UTC)
	for _, r := range goldenTable[row](t, "table-unique-ids") {
		got, err := ParseUniqueID(r.ID, now)
		if err != nil || got.IP != r.IP || got.PID != r.PID {
			t.Errorf("%s: got %+v, %v", r.ID, got, err)
		}
		b, err := hex.DecodeString(r.BytesHex)
		if err != nil {
			t.Fatal(err)
		}
		ms := int64(b[len(b)-6])<<24 | int64(b[len(b)-5])<<16 | int64(b[len(b)-4])<<8 | int64(b[len(b)-3])
		want := time.Date(2024, 5, 1, 0, 0, 0, 0, time.UTC).Add(time.Duration(ms) * time.Millisecond)
		if !got.Time.Equal(want) {
			t.Errorf("%s: made at %s, want %s", r.ID, got.Time, want)
		}
	}
}

func TestNamesAndNumbersAreApaches(t *testing.T) {
	t.Parallel()
	type code struct {
		Name string
		Code Code
	}
	names := make(map[Code]string)
	for _, r := range goldenTable[code](t, "table-request-codes") {
		names[r.Code] = r.Name
	}
	for c, name := range map[Code]string{ // 4.9.7's, which 5.4.0 no longer has
		50: "UPDATE_AND_CREATE_ACL_CONFIG", 51: "DELETE_ACL_CONFIG", 52: "GET_BROKER_CLUSTER_ACL_INFO", 53: "UPDATE_GLOBAL_WHITE_ADDRS_CONFIG",
	} {
		names[c] = name
	}
	known := 0
	for c := Code(0); c < 200_200; c++ {
		if c == 4096 {
			c = 200_000 // nothing lies between
		}
		if name, ok := requestNames(c); ok {
			if known++; names[c] != name {
				t.Errorf("request code %d is %s, Java says %q", c, name, names[c])
			}
		}
	}
	responses := make(map[Code]string)
	for _, r := range goldenTable[code](t, "table-response-codes") {
		responses[r.Code] = r.Name
	}
	for c := Code(0); c < 4096; c++ {
		if name, ok := responseNames(c); ok && responses[c] != name {
			t.Errorf("response code %d is %s, Java says %q", c, name, responses[c])
		}
	}
	if known < 40 || RequestName(9999) != "request code 9999" || ResponseName(9999) != "response code 9999" {
		t.Errorf("%d request codes have names, unknown ones are %q and %q", known, RequestName(9999), ResponseName(9999))
	}
	for _, r := range goldenTable[struct {
		Language string
		Code     Language
	}](t, "table-languages") {
		if r.Code.String() != r.Language || parseLanguage(r.Language) != r.Code {
			t.Errorf("language %d is %s, Java says %s", r.Code, r.Code, r.Language)
		}
	}
	versions := map[string]int32{
		"V4_1_0": VersionV4_1_0, "V4_9_3": VersionV4_9_3, "V4_9_4": VersionV4_9_4, "V4_9_7": VersionV4_9_7,
		"V5_0_0": VersionV5_0_0, "V5_1_1": VersionV5_1_1, "V5_3_1": VersionV5_3_1, "V5_4_0": VersionV5_4_0,
	}
	checked := 0
	for _, r := range goldenTable[struct {
		Version string
		Ordinal int32
	}](t, "table-versions") {
		if v, ok := versions[r.Version]; ok {
			if checked++; v != r.Ordinal {
				t.Errorf("%s is %d, Java says %d", r.Version, v, r.Ordinal)
			}
		}
	}
	if checked < 3 {
		t.Errorf("only %d versions are in Java's table", checked)
	}
}

// sameJSON compares two texts by what they say, empty collections apart: we
// leave those out where Java writes [] or {}.
func sameJSON(t *testing.T, java, ours []byte) {
	t.Helper()
	var v [2]any
	for i, b := range [][]byte{java, ours} {
		std, err := NormalizeJSON(b)
		if err != nil {
			t.Fatal(err)
		}
		if err := json.Unmarshal(std, &v[i]); err != nil {
			t.Fatal(err)
		}
		v[i] = withoutEmpty(v[i])
	}
	if diff := cmp.Diff(v[0], v[1]); diff != "" {
		t.Errorf("written (-Java +ours):\n%s", diff)
	}
}

func withoutEmpty(v any) any {
	if m, ok := v.(map[string]any); ok {
		for k, e := range m {
			switch e := withoutEmpty(e).(type) {
			case []any:
				if len(e) == 0 {
					delete(m, k)
				}
			case map[string]any:
				if len(e) == 0 {
					delete(m, k)
				}
			}
		}
	}
	if a, ok := v.([]any); ok {
		for i := range a {
			a[i] = withoutEmpty(a[i])
		}
	}
	return v
}
