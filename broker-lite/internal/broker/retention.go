package broker

import (
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/config"
	"github.com/rocketkit/rocketkit/broker-lite/internal/meta"
	"github.com/rocketkit/rocketkit/broker-lite/internal/retention"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/timer"
)

// retentionSettings are what a configuration says about old log.
func retentionSettings(c *config.Config) retention.Settings {
	return retention.Settings{
		DeleteWhen: c.DeleteWhen, Reserved: time.Duration(c.FileReservedHours) * time.Hour, MaxUsed: c.DiskMaxUsedRatio,
		CleanAbove: c.DiskCleanRatio, Forcibly: c.CleanForcibly, LookInterval: c.CleanInterval,
	}
}

// neededLog is the physical offset of the first delayed message that is not
// delivered yet; 0 when there is none.
func (b *Broker) neededLog() (first int64) {
	least := func(e store.Entry) {
		if first == 0 || e.PhysicalOffset < first {
			first = e.PhysicalOffset
		}
	}
	for queueID, reach := range b.schedule.Offsets() {
		if e, ok, err := b.store.Entry(meta.ScheduleTopic, int32(queueID), reach[0]); ok && err == nil {
			least(e)
		}
	}
	if b.timer == nil {
		return first
	}
	// Those that were due a while ago are delivered, or never will be.
	late := b.clock.Now().Add(-lateTimer).UnixMilli()
	err := b.store.EachEntry(meta.TimerTopic, 0, 0, func(e store.Entry) bool {
		if timer.Due(e.TagsCode) < late {
			return true
		}
		least(e)
		return false
	})
	if err != nil {
		b.logger.Error("the first timer message was not found", "err", err)
	}
	return first
}

// lateTimer is how long after its moment a timer message may still be needed.
const lateTimer = time.Hour
