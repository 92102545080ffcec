package producer

// opList is a first-in, first-out list of sends. A send is in one list at most.
type opList struct{ first, last *op }

func (l *opList) add(o *op) {
	o.list, o.prev, o.next = l, l.last, nil
	if l.last == nil {
		l.first = o
	} else {
		l.last.next = o
	}
	l.last = o
}

// remove does nothing when o is not in l.
func (l *opList) remove(o *op) {
	if o.list != l {
		return
	}
	if o.prev == nil {
		l.first = o.next
	} else {
		o.prev.next = o.next
	}
	if o.next == nil {
		l.last = o.prev
	} else {
		o.next.prev = o.prev
	}
	o.list, o.prev, o.next = nil, nil, nil
}

// waiterList is a first-in, first-out list of senders that wait for a place.
type waiterList struct {
	first, last *waiter
	n           int
}

func (l *waiterList) add(w *waiter) {
	w.prev = l.last
	if l.last == nil {
		l.first = w
	} else {
		l.last.next = w
	}
	l.last = w
	l.n++
}

func (l *waiterList) remove(w *waiter) {
	if w.prev == nil {
		l.first = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.last = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
	l.n--
}
