package meta

import (
	"testing"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

func TestACommitDoesNotCountWhileAResetWaits(t *testing.T) {
	t.Parallel()
	m := open(t, options(vfs.NewMem()))
	o := m.Offsets
	o.Commit("g", "t", 0, 9)
	o.Pulled("g", "t", 0, 12)
	if at, ok := o.PulledTo("g", "t", 0); at != 12 || !ok {
		t.Error(at, ok)
	}
	if o.HasReset("g", "t", 0) {
		t.Error("a reset before any")
	}
	o.Reset("g", "t", 0, 3)
	if at, _ := o.PulledTo("g", "t", 0); at != 3 {
		t.Errorf("pulled to %d after the reset", at)
	}
	if o.Commit("g", "t", 0, 9) || !o.Commit("g", "t", 1, 9) || !o.Commit("h", "t", 0, 9) {
		t.Error("the wrong commits count")
	}
	if at, _ := o.Query("g", "t", 0); at != 3 {
		t.Errorf("offset %d", at)
	}
	if _, ok := o.TakeReset("g", "t", 1); ok || !o.HasReset("g", "t", 0) {
		t.Error("the reset is of one queue")
	}
	if at, ok := o.TakeReset("g", "t", 0); !ok || at != 3 || o.HasReset("g", "t", 0) {
		t.Error(at, ok)
	}
	if _, ok := o.TakeReset("g", "t", 0); ok || !o.Commit("g", "t", 0, 4) {
		t.Error("the reset was taken and is there still")
	}

	if !o.Clone("g", "copy", "t") || o.Clone("none", "copy", "t") {
		t.Error("clones")
	}
	o.Commit("g", "t", 0, 5)
	if a, _ := o.Query("copy", "t", 0); a != 4 {
		t.Errorf("the copy is at %d", a)
	}
	if b, _ := o.Query("copy", "t", 1); b != 9 {
		t.Errorf("the copy is at %d", b)
	}

	o.Reset("g", "t", 0, 1)
	o.Pulled("g", "t", 0, 2)
	o.RemoveGroup("g")
	if _, ok := o.PulledTo("g", "t", 0); ok || o.HasReset("g", "t", 0) || !o.Commit("g", "t", 0, 7) {
		t.Error("the group was removed, and not all of it")
	}
	o.Reset("g", "t", 0, 1)
	o.RemoveTopic("t")
	if o.HasReset("g", "t", 0) {
		t.Error("the topic was removed, and not all of it")
	}
}
