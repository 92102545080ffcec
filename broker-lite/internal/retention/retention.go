package retention

import (
	"context"
	"errors"
	"log/slog"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/alarm"
	"github.com/rocketkit/rocketkit/broker-lite/internal/clock"
	"github.com/rocketkit/rocketkit/broker-lite/internal/store"
	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
)

// Settings say what is kept. They may change at run time.
type Settings struct {
	DeleteWhen   string        // hours of the day, "04" or "04;16" (deleteWhen)
	Reserved     time.Duration // how long a file is kept after its last write (fileReservedTime)
	MaxUsed      int           // percent of a volume above which no messages are taken (diskMaxUsedSpaceRatio)
	CleanAbove   int           // percent above which the oldest files go (diskSpaceCleanForciblyRatio)
	Forcibly     bool          // they go though they have not expired (cleanFileForciblyEnable)
	LookInterval time.Duration // between two looks at the disk (cleanResourceInterval)
}

// Options configure a Cleaner. All but Logger are required.
type Options struct {
	Settings
	Store *store.Store
	Clock clock.Clock
	FS    vfs.FS
	Dirs  []string // one in each volume of the store
	// Needed is the first physical offset that must not expire yet; 0 for none.
	Needed func() int64
	Logger *slog.Logger
}

// Cleaner deletes old log. Start makes one.
type Cleaner struct {
	o        Options
	settings atomic.Pointer[Settings]
	hours    clock.Alarm
	disk     *alarm.Alarm
	ctx      context.Context // ends with Stop
	cancel   context.CancelFunc

	// The following belong to the disk's alarm.
	full  bool // messages are refused
	blind bool // the last look failed, and was logged
}

const (
	// hourStep is the pause between two passes within an hour of deleteWhen.
	hourStep = time.Minute
	// lookFiles bounds what one look at the disk deletes (deleteFileBatchMax).
	lookFiles = 10
	// manualPasses bounds what DeleteExpired deletes (MAX_MANUAL_DELETE_FILE_TIMES).
	manualPasses = 20
)

// Start begins to watch. When it returns, the disk was looked at once.
func Start(o Options) *Cleaner {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	c := &Cleaner{o: o}
	c.settings.Store(&o.Settings)
	c.ctx, c.cancel = context.WithCancel(context.Background())
	next := c.look(time.Now())
	c.disk = alarm.Start(0, c.look)
	c.disk.Set(next)
	c.hours = o.Clock.Alarm(c.ring)
	c.hours.Set(o.Clock.Now())
	return c
}

// Stop ends it, and waits for a deletion that is under way.
func (c *Cleaner) Stop() {
	c.cancel()
	c.disk.Stop()
	c.hours.Stop()
}

// Change takes other settings, from the next look on, which is soon.
func (c *Cleaner) Change(s Settings) {
	c.settings.Store(&s)
	c.disk.Set(time.Now())
	c.hours.Set(c.o.Clock.Now())
}

// DeleteExpired deletes at once what has expired, at whatever hour
// (DELETE_EXPIRED_COMMITLOG), and says how many commit log files that were.
func (c *Cleaner) DeleteExpired(ctx context.Context) (files int, err error) {
	for range manualPasses {
		n, err := c.pass(ctx, false)
		files += n
		if err != nil || n == 0 {
			return files, err
		}
	}
	return files, nil
}

// CleanQueues moves the consume queues' minimum offsets behind log that is gone,
// and deletes their files before them (CLEAN_EXPIRED_CONSUMEQUEUE). Queues stay
// where all their messages are gone: consumers' offsets must not point past them.
func (c *Cleaner) CleanQueues(ctx context.Context) error {
	_, err := c.o.Store.DeleteExpired(ctx, store.Expiry{})
	return err
}

// pass deletes some of what has expired, or of the oldest.
func (c *Cleaner) pass(ctx context.Context, force bool) (files int, err error) {
	if c.o.Store.Young() {
		return 0, nil
	}
	s := c.settings.Load()
	e := store.Expiry{Before: c.o.Clock.Now().Add(-s.Reserved), Force: force}
	if !force {
		e.Keep = c.o.Needed()
	} else {
		e.MaxFiles = 1 // the disk is looked at again in between
	}
	done, err := c.o.Store.DeleteExpired(ctx, e)
	return done.Files, err
}

// ring is the hours' alarm.
func (c *Cleaner) ring(now time.Time) (next time.Time) {
	when := c.settings.Load().DeleteWhen
	if !inHours(when, now) {
		return nextHour(when, now)
	}
	for {
		n, err := c.pass(c.ctx, false)
		if err != nil {
			c.failed(err)
		}
		if err != nil || n == 0 {
			return now.Add(hourStep)
		}
	}
}

func (c *Cleaner) failed(err error) {
	if c.ctx.Err() == nil && !errors.Is(err, store.ErrClosed) {
		c.o.Logger.Error("deleting old log failed; it is tried again", "error", err)
	}
}

// inHours reports whether a moment is in one of deleteWhen's hours, local time.
func inHours(when string, now time.Time) bool {
	for hour := range strings.SplitSeq(when, ";") {
		if n, err := strconv.Atoi(hour); err == nil && n == now.Local().Hour() {
			return true
		}
	}
	return false
}

// nextHour is when the next of deleteWhen's hours begins; a day from now where it
// has none.
func nextHour(when string, now time.Time) time.Time {
	now = now.Local()
	at := time.Date(now.Year(), now.Month(), now.Day(), now.Hour(), 0, 0, 0, now.Location())
	for range 25 {
		if at = at.Add(time.Hour); inHours(when, at) {
			break
		}
	}
	return at
}

// look is the disk's alarm.
func (c *Cleaner) look(now time.Time) (next time.Time) {
	s := c.settings.Load()
	next = now.Add(s.LookInterval)
	dir, used, ok := c.fullest()
	if !ok {
		return next
	}
	for i := 0; i < lookFiles && used > min(s.MaxUsed, s.CleanAbove); i++ {
		n, err := c.pass(c.ctx, false)
		if err == nil && n == 0 && s.Forcibly && used > s.CleanAbove {
			c.o.Logger.Warn("the disk is nearly full: the oldest log is deleted before its time", "dir", dir, "used", used, "diskSpaceCleanForciblyRatio", s.CleanAbove)
			n, err = c.pass(c.ctx, true)
		}
		if err != nil {
			c.failed(err)
		}
		if err != nil || n == 0 {
			if i == 0 && err == nil && !c.full && used > s.MaxUsed {
				c.o.Logger.Warn("the disk is nearly full and there is no old log to delete; free disk space", "dir", dir, "used", used, "diskMaxUsedSpaceRatio", s.MaxUsed)
			}
			break
		}
		if dir, used, ok = c.fullest(); !ok {
			return next
		}
	}
	c.judge(dir, used, s.MaxUsed)
	return next
}

// judge lets the store refuse messages, or take them again.
func (c *Cleaner) judge(dir string, used, allowed int) {
	full := used > allowed
	switch {
	case full:
		c.o.Store.Refuse(&store.FullError{Dir: dir, Used: used, Allowed: allowed})
		if !c.full {
			c.o.Logger.Error("the disk is too full: messages are refused, reading goes on; free disk space, or raise diskMaxUsedSpaceRatio", "dir", dir, "used", used, "diskMaxUsedSpaceRatio", allowed)
		}
	case c.full:
		c.o.Store.Refuse(nil)
		c.o.Logger.Info("the disk has space again: messages are taken", "dir", dir, "used", used)
	}
	c.full = full
}

// fullest is the volume of the store that is fullest, in percent of what can be
// used, rounded up as df and Apache do. ok is false where it cannot be told.
func (c *Cleaner) fullest() (dir string, used int, ok bool) {
	for _, d := range c.o.Dirs {
		sp, err := c.o.FS.Space(d)
		if err != nil {
			if !c.blind && !errors.Is(err, errors.ErrUnsupported) {
				c.o.Logger.Warn("the free space of the disk is not known; it is not watched", "dir", d, "error", err)
			}
			c.blind = true
			continue
		}
		c.blind = false
		if p := percent(sp); !ok || p > used {
			dir, used, ok = d, p, true
		}
	}
	return dir, used, ok
}

// percent is how full a volume is (UtilAll.getDiskPartitionSpaceUsedPercent).
func percent(sp vfs.Space) int {
	used := sp.Total - sp.Free
	whole := used + sp.Available
	if whole <= 0 {
		return 0
	}
	return int((float64(used)*100 + float64(whole) - 1) / float64(whole))
}
