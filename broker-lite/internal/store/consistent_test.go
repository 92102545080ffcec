package store

import (
	"context"
	"errors"
	"fmt"
	"maps"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// listStored reads all queues, in their order.
func listStored(s *Store) (list []stored, err error) {
	for _, q := range s.Queues() {
		for at := s.MinOffset(q.Topic, q.ID); ; {
			r, err := s.Read(q.Topic, q.ID, at, 32, 1<<20, nil, nil)
			if err != nil {
				return nil, err
			}
			if r.Status != Found {
				break
			}
			for b := r.Body; len(b) > 0; {
				var rec protocol.Record
				n, err := protocol.DecodeRecord(b, &rec)
				if err != nil {
					return nil, err
				}
				list = append(list, stored{q.Topic, q.ID, rec.QueueOffset, string(rec.Body), string(rec.Properties)})
				b = b[n:]
			}
			at = r.NextOffset
		}
	}
	return list, nil
}

// checkConsistent reads the whole log and compares the consume queues with it,
// entry by entry.
func checkConsistent(s *Store) error {
	want := map[Queue][]Entry{}
	s.log.mu.RLock()
	firsts := s.log.firsts
	s.log.mu.RUnlock()
	for i, first := range firsts {
		sc := scanner{ctx: context.Background(), path: s.log.path(first), first: first}
		f, err := s.opt.FS.OpenFile(sc.path, 0, 0)
		if err != nil {
			return err
		}
		sc.file = f
		if sc.size, err = f.Size(); err != nil {
			return err
		}
		_, sealed, damage, err := sc.scan(first, func(sc *scanner, r *protocol.Record) error {
			if topic, ok := deletedTopic(r); ok {
				maps.DeleteFunc(want, func(k Queue, _ []Entry) bool { return k.Topic == topic })
				return nil
			}
			k := Queue{r.Topic, r.QueueID}
			if list := want[k]; len(list) > 0 && r.QueueOffset != list[len(list)-1].QueueOffset+1 || len(list) == 0 && r.QueueOffset > 0 && firsts[0] == 0 {
				return fmt.Errorf("queue %v: offset %d follows %v", k, r.QueueOffset, list)
			}
			want[k] = append(want[k], Entry{r.QueueOffset, r.PhysicalOffset, r.Size, s.opt.TagsCode(r), checksum(sc.raw)})
			return nil
		})
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
		if damage != nil {
			return damage
		}
		if sealed != (i < len(firsts)-1) {
			return fmt.Errorf("file %s: sealed is %v", sc.path, sealed)
		}
	}
	got := map[Queue][]Entry{}
	for _, q := range s.Queues() {
		err := s.EachEntry(q.Topic, q.ID, 0, func(e Entry) bool {
			got[q] = append(got[q], e)
			return true
		})
		if err != nil {
			return err
		}
	}
	for k, list := range got {
		if lo := s.MinOffset(k.Topic, k.ID); list[0].QueueOffset != lo {
			return fmt.Errorf("queue %v begins with offset %d, its minimum is %d", k, list[0].QueueOffset, lo)
		}
	}
	if len(got) != len(want) {
		return fmt.Errorf("%d queues have entries, %d have records", len(got), len(want))
	}
	for k := range want {
		if fmt.Sprint(got[k]) != fmt.Sprint(want[k]) {
			return fmt.Errorf("consume queue of %v is %v, the log says %v", k, got[k], want[k])
		}
	}
	return nil
}
