package broker

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/metrics"
)

// writeTimer writes what the timer does. Of Apache's rocketmq_timing_messages,
// rocketmq_timer_dequeue_lag and rocketmq_timer_message_snapshot nothing is known:
// what waits is in files by the time.
func (b *Broker) writeTimer(w *metrics.Writer) {
	if b.timer == nil {
		return
	}
	p := b.timer.Progress()
	behind, waits, late := b.store.MaxOffset(meta.TimerTopic, 0)-p.Next, time.Duration(0), time.Duration(0)
	if behind > 0 {
		waits = b.age(meta.TimerTopic, 0, p.Next)
	}
	if p.Due > 0 {
		late = max(b.clock.Now().Sub(time.UnixMilli(p.Due)), 0)
	}
	labels := storageLabels()
	counter(w, "rocketmq_timer_enqueue_total", "Timer messages that the timer took over.", p.Filed, labels...)
	counter(w, "rocketmq_timer_dequeue_total", "Timer messages that were delivered.", p.Delivered, labels...)
	gauge(w, "rocketmq_timer_enqueue_lag", "Timer messages that the timer has not taken over yet.", float64(max(behind, 0)), labels...)
	gauge(w, "rocketmq_timer_enqueue_latency_milliseconds", "Age of the first of them.", float64(waits.Milliseconds()), labels...)
	gauge(w, "rocketmq_timer_dequeue_latency_milliseconds", "For how long the first message that waits is due.", float64(late.Milliseconds()), labels...)
}

// writePop writes what became visible again. Apache counts the rest of reviving by
// queues, buffers and checkpoints that are not here.
func (b *Broker) writePop(w *metrics.Writer) {
	w.Family("rocketmq_pop_revive_retry_messages_total", metrics.Counter, "Popped messages that came into a retry topic because their time was up.")
	revived := b.pops.Revived()
	for _, g := range slices.SortedFunc(maps.Keys(revived), func(a, b meta.Consumption) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), strings.Compare(a.Group, b.Group))
	}) {
		w.Sample(float64(revived[g]), metrics.Label{Name: "topic", Value: g.Topic}, metrics.Label{Name: "consumer_group", Value: g.Group},
			metrics.Label{Name: "put_status", Value: "PUT_OK"})
	}
}
