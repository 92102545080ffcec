package conformance_test

import (
	"context"
	"strconv"
	"sync"
	"time"

	"github.com/rocketkit/rocketkit/message"
	"github.com/rocketkit/rocketkit/producer"
)

func asyncOrder(s *stand) { s.keepsOrder() }

func sendLinger(s *stand) {
	s.keepsOrder(producer.Linger(20*time.Millisecond), producer.BatchBytes(4<<10))
}

// keepsOrder sends messages of three keys without waiting for any, from before
// there is a connection on.
func (s *stand) keepsOrder(opts ...producer.Option) {
	s.Helper()
	const n = 200
	c, topic := s.open(), s.topic()
	p := s.producer(c, opts...)
	sent := make([]message.SendResult, n)
	var done sync.WaitGroup
	for i := range n {
		done.Add(1)
		m := message.New(topic, []byte(strconv.Itoa(i)), message.ShardingKey(strconv.Itoa(i%3)), message.Tag("t"+strconv.Itoa(i)))
		p.SendAsync(s.soon(), m, func(_ context.Context, r message.SendResult, err error) {
			defer done.Done()
			if err != nil {
				s.Errorf("message %d: %v", i, err)
			}
			sent[i] = r
		})
	}
	done.Wait()
	got := s.receive(c, topic).ids(n)
	last := map[message.Queue]int64{}
	for i, r := range sent {
		d := got[r.MessageID]
		if d == nil || string(d.Body) != strconv.Itoa(i) || d.Tag != "t"+strconv.Itoa(i) || d.Queue != r.Queue || d.QueueOffset != r.QueueOffset || d.OffsetID != r.OffsetMessageID {
			s.Fatalf("message %d, %v, arrived as %+v", i, r, d)
		}
		if before, ok := last[d.Queue]; ok && d.QueueOffset <= before && s.leg.has&orderedAsync != 0 {
			s.Errorf("message %d is stored at %d, before an earlier one at %d", i, d.QueueOffset, before)
		}
		last[d.Queue] = d.QueueOffset
	}
}
