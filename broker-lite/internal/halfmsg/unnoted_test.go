package halfmsg

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// What a crash leaves of a half message's life is given as records: "h2:k" is half
// message k, checked twice; "c:k" what is delivered of k once it is committed; "o:0,1"
// an op record. Half messages with the same k are the same but for their checks.
func crashed(t *testing.T, records string) *vfs.Mem {
	t.Helper()
	disk := vfs.NewMem()
	w := open(t, disk)
	for text := range strings.FieldsSeq(records) {
		kind, what, _ := strings.Cut(text, ":")
		props := protocol.AppendProperty([]byte("REAL_TOPIC\x01orders\x02REAL_QID\x010\x02PGROUP\x01g\x02"), protocol.PropUniqueKey, what)
		r := &protocol.Record{Topic: meta.HalfTopic, Body: []byte(what), Properties: props, BornTimestamp: 7}
		switch kind[0] {
		case 'h':
			if times := kind[1:]; times != "" {
				r.Properties = protocol.AppendProperty(props, protocol.PropCheckTimes, times)
			}
		case 'c':
			r.Topic, r.SysFlag = "orders", protocol.SysCommit
		case 'o':
			r = &protocol.Record{Topic: meta.OpHalfTopic, Body: []byte(what + ",")}
		}
		w.append(r)
	}
	image := disk.Clone() // before Close notes anything
	w.close()
	return image
}

func TestWhatACrashLeftUnnotedIsFound(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name    string
		records string
		open    []int64 // offsets of the half messages that are
		noted   string  // what op records that are written say
	}{
		{"a half message", "h:a", []int64{0}, ""},
		{"a copy, and the first one is not noted", "h:a h1:a", []int64{1}, "0,"},
		{"a copy, and the first one is noted", "h:a h1:a o:0", []int64{1}, ""},
		{"a copy of a copy", "h:a h1:a h2:a", []int64{2}, "0,1,"},
		{"copies of two", "h:a h:b h1:b h1:a", []int64{2, 3}, "1,0,"},
		{"one more check, of what was never there", "h:a h2:a", []int64{0, 1}, ""},
		{"no copy, but another with the same text", "h:a h:a", []int64{0, 1}, ""},
		{"a copy of one of two that are the same", "h:a h:a h1:a", []int64{1, 2}, "0,"},
		{"a commit", "h:a h:b c:a", []int64{1}, "0,"},
		{"a commit that is noted", "h:a h:b c:a o:0", []int64{1}, ""},
		{"a commit after a check", "h:a h1:a c:a", []int64{}, "0,1,"},
		{"one commit of two that are the same", "h:a h:a c:a", []int64{1}, "0,"},
		{"two commits of two that are the same", "h:a h:a c:a c:a", []int64{}, "0,1,"},
		{"a commit of something else", "h:a c:b", []int64{0}, ""},
		{"a commit behind what others did", "h:a h:b h:c h:d o:1 c:a o:2,3", []int64{}, "0,"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				disk := crashed(t, test.records)
				w := open(t, disk)
				defer w.close()
				before := strings.Count(test.records, "o:")
				noted := strings.Join(w.bodies(meta.OpHalfTopic)[before:], "")
				if noted != test.noted {
					t.Errorf("op records say %q, want %q", noted, test.noted)
				}
				w.half.mu.Lock()
				open := slices.Sorted(maps.Keys(w.half.open))
				w.half.mu.Unlock()
				if diff := cmp.Diff(test.open, open, cmpopts.EquateEmpty()); diff != "" {
					t.Errorf("open (-want +got):\n%s", diff)
				}
				time.Sleep(40 * time.Second)
				synctest.Wait()
				w.mu.Lock()
				defer w.mu.Unlock()
				if len(w.asked) != len(test.open) {
					t.Errorf("asked about %d, want %d", len(w.asked), len(test.open))
				}
			})
		})
	}
}

// What is noted once is not found again.
func TestWhatWasUnnotedIsNotedOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		disk := crashed(t, "h:a h1:a h:b c:b")
		for range 2 {
			w := open(t, disk)
			if noted := strings.Join(w.bodies(meta.OpHalfTopic), ""); noted != "0,2," {
				t.Errorf("op records say %q", noted)
			}
			w.close()
		}
	})
}

// A producer that did not hear of the copy names the first one.
func TestACommitOfWhatWasCopiedBeforeACrashIsTaken(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := open(t, crashed(t, "h:a h1:a"))
		defer w.close()
		err := w.end(&protocol.EndTransactionRequest{ProducerGroup: "g", TranStateTableOffset: 0, CommitLogOffset: 0, CommitOrRollback: protocol.SysCommit})
		if err != nil {
			t.Error(err)
		}
		if diff := cmp.Diff([]string{"a"}, w.bodies("orders")); diff != "" || w.half.Count() != 0 {
			t.Errorf("%d are open; delivered (-want +got):\n%s", w.half.Count(), diff)
		}
	})
}
