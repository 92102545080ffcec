package producer

// Workers counts the callback workers.
func (p *Producer) Workers() int {
	p.flow.mu.Lock()
	defer p.flow.mu.Unlock()
	return p.flow.workers
}
