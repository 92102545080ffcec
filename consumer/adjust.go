package consumer

// Adjust changes how handlers work from now on. opts are what New would be given now;
// an option that is left out is as if New had not had it. Concurrency and RateLimit,
// for all handlers or by ForHandler, take effect at once: a handler that gets less
// concurrency finishes what it works on. Every other option keeps what New made of it.
// After a mistake in opts, which is a *RegistrationError, nothing is changed.
func (c *Consumer) Adjust(opts ...GroupOption) error {
	c.adjusting.Lock()
	defer c.adjusting.Unlock()
	p := newPlan(c.mux, opts)
	p.validate(c.drv.Capabilities(), c.drv.Name())
	if err := p.err(); err != nil {
		return err
	}
	for i, e := range p.entries {
		if pool := c.byEntry[i]; pool != nil {
			pool.adjust(p.concurrency(e), e.rate.value)
		}
	}
	return nil
}

// concurrency is how many messages an entry's handler works on at once.
func (p *plan) concurrency(e *entry) int {
	return e.concurrency.or(p.opts.concurrency.or(defaultConcurrency))
}

// adjust changes the number of workers, and the rate if it is another.
func (p *pool) adjust(concurrency int, perSecond float64) {
	p.handler.pace.Set(perSecond)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.most = concurrency
	p.wake()
	if p.live > p.most {
		p.work.Broadcast() // those that are too many end
	}
}
