package broker

import (
	"context"
	"errors"
)

// Drain takes the broker out of its name servers, refuses messages from now on,
// and waits until those that were taken are answered, as long as ctx lasts.
func (b *Broker) Drain(ctx context.Context) error {
	var err error
	if b.registrar != nil {
		err = b.registrar.Stop(ctx)
	}
	b.closing.Store(true)
	for b.sending.Load() > 0 {
		select {
		case <-b.quiet:
		case <-ctx.Done():
			return errors.Join(err, context.Cause(ctx))
		}
	}
	return err
}

// Close ends everything and makes it durable. No connection may be served any
// more. It also ends a broker that Open has not finished.
func (b *Broker) Close(ctx context.Context) error {
	var errs []error
	b.closing.Store(true)
	if b.registrar != nil {
		errs = append(errs, b.registrar.Stop(ctx))
	}
	b.cancel()
	if b.retention != nil {
		b.retention.Stop()
	}
	if b.schedule != nil {
		errs = append(errs, b.schedule.Close())
	}
	if b.timer != nil {
		errs = append(errs, b.timer.Close())
	}
	if b.pops != nil {
		errs = append(errs, b.pops.Close())
	}
	if b.half != nil {
		b.half.Close()
	}
	if b.holder != nil {
		b.holder.close()
	}
	if b.popWaits != nil {
		b.popWaits.close()
	}
	b.tasksMu.Lock()
	b.ended = true
	b.tasksMu.Unlock()
	b.tasks.Wait()
	if b.index != nil {
		errs = append(errs, b.index.Close())
	}
	if b.sessions != nil {
		b.sessions.Close()
	}
	if b.acl != nil {
		b.acl.alarm.Stop()
	}
	b.stats.stop()
	if b.store != nil {
		errs = append(errs, b.store.Close())
	}
	if b.meta != nil {
		errs = append(errs, b.meta.Close())
	}
	return errors.Join(errs...)
}
