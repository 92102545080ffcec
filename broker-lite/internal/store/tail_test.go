package store

import (
	"bytes"
	"testing"
)

func TestBlockThatIsReadIsNotUsedAgain(t *testing.T) {
	t.Parallel()
	tail := newTail(minTailBytes)
	phys := int64(0)
	fill := func(v byte) *block {
		b := tail.start(phys, 10)
		copy(b.mem, bytes.Repeat([]byte{v}, len(b.mem)))
		phys += int64(len(b.mem))
		return b
	}
	fill(1)
	read := tail.acquire(0, 10)
	if read == nil {
		t.Fatal("the block is not found")
	}
	seen := map[*block]bool{}
	for v := byte(2); v < 20; v++ {
		seen[fill(v)] = true
	}
	if !bytes.Equal(read.slice(0, 10), bytes.Repeat([]byte{1}, 10)) {
		t.Fatal("a block was filled again while it was read")
	}
	if tail.acquire(0, 10) != nil {
		t.Fatal("a block that was dropped is found")
	}
	if len(seen) > 5 {
		t.Fatalf("%d blocks were made for 4: idle ones are not used again", len(seen))
	}
	if tail.bytes > minTailBytes {
		t.Fatalf("the tail holds %d bytes, want at most %d", tail.bytes, minTailBytes)
	}
	read.release()
}

func TestTailKnowsWhatItHolds(t *testing.T) {
	t.Parallel()
	tail := newTail(minTailBytes)
	size := tail.blockSize
	tail.start(1000, 10)
	tail.start(1000+int64(size), 10)
	for _, c := range []struct {
		phys int64
		size int
		want bool
	}{
		{999, 1, false}, {1000, 1, true}, {1000, size, true}, {1000, size + 1, false}, {1000 + int64(size) - 1, 2, false},
		{1000 + int64(size), size, true}, {1000 + 2*int64(size), 1, false},
	} {
		if b := tail.acquire(c.phys, c.size); (b != nil) != c.want {
			t.Errorf("%d bytes at %d: found is %v", c.size, c.phys, b != nil)
		}
	}
	large := tail.start(5000+2*int64(size), minTailBytes*2)
	if len(large.mem) != minTailBytes*2 || len(tail.blocks) != 1 {
		t.Fatalf("a block of %d bytes beside %d others; want %d, alone", len(large.mem), len(tail.blocks)-1, minTailBytes*2)
	}
}
