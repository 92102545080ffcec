package clientgo

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/apache/rocketmq-client-go/v2/rlog"

	"github.com/rocketkit/rocketkit/message"
)

// UseLogger hands everything that rocketmq-client-go logs to l. It is for main,
// before the first client is opened: rocketmq-client-go has one logger for the
// whole process, in a variable that is read without a lock. So no driver sets it
// by itself: a second driver's logger would take the place of the first's, while
// the first's goroutines read it. Without UseLogger, rocketmq-client-go writes
// to standard error from its level info on, or from what the environment's
// ROCKETMQ_GO_LOG_LEVEL says.
//
// Its level info tells of every committed offset, and arrives as debug.
func UseLogger(l *slog.Logger) { rlog.SetLogger(&bridge{log: l}) }

// bridge is an rlog.Logger.
type bridge struct{ log *slog.Logger }

func (b *bridge) to(level slog.Level, msg string, fields map[string]any) {
	ctx := context.Background()
	if !b.log.Enabled(ctx, level) {
		return
	}
	attrs := make([]slog.Attr, 0, len(fields)+1)
	attrs = append(attrs, slog.String("from", Name))
	for k, v := range fields {
		attrs = append(attrs, slog.Any(k, v))
	}
	b.log.LogAttrs(ctx, level, msg, attrs...)
}

func (b *bridge) Debug(msg string, fields map[string]any)   { b.to(slog.LevelDebug, msg, fields) }
func (b *bridge) Info(msg string, fields map[string]any)    { b.to(slog.LevelDebug, msg, fields) }
func (b *bridge) Warning(msg string, fields map[string]any) { b.to(slog.LevelWarn, msg, fields) }
func (b *bridge) Error(msg string, fields map[string]any)   { b.to(slog.LevelError, msg, fields) }

// Fatal logs; rocketmq-client-go's own logger ends the process.
func (b *bridge) Fatal(msg string, fields map[string]any) { b.to(slog.LevelError, msg, fields) }

// Level does nothing: the level is the slog.Logger's.
func (b *bridge) Level(string) {}

// OutputPath refuses: the slog.Logger decides where it writes.
func (b *bridge) OutputPath(path string) error {
	return fmt.Errorf("log to %s: %w: the logger given to UseLogger decides where it writes", path, message.ErrUnsupported)
}
