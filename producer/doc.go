// Package producer sends messages: synchronously, asynchronously, one way and
// in batches, over any driver.
//
// A Publisher sends values of one type to one topic by way of a Producer.
//
// A Producer chooses the queue, tries again on another broker, avoids brokers
// that failed, breaks the circuit to a broker that keeps failing, and bounds
// what is in flight. A driver makes single attempts only.
//
// # What a send can end in
//
// A nil error means stored, as safely as SendResult.Status says. An error for
// which message.SafeToRetry is true means that nothing was stored. Every other
// error, message.ErrOutcomeUnknown above all, means that nobody knows: the
// request was written and no answer came.
//
// # Retries
//
// A failed send is tried again up to Retries times (2 by default, as in Apache's
// clients), within SendTimeout in all: on a broker that was not tried yet, where
// there is one, else on the same after a pause. It is tried again when the broker
// could not be reached, or refused for a passing reason (SYSTEM_BUSY,
// SERVICE_NOT_AVAILABLE and the others of Apache's retryResponseCodes). All
// attempts carry the same message id.
//
// It is not tried again when its outcome is unknown, since the message would be
// stored twice if the first attempt arrived after all. Apache's Java client does
// try again then, when the connection broke; RetryUnknownOutcome asks for the
// same. At least once needs somebody to try again: either this option or the
// application, on message.ErrOutcomeUnknown. Consumers have to bear duplicates
// in any case.
//
// # What happens to a message
//
// A send takes a message through fixed stages, from the outside to the inside:
//
//	callback      of SendAsync; the message is no longer in flight by then
//	check         what RocketMQ would refuse is refused before anything else
//	interceptors  Intercept, whose After runs when all that follows is over
//	span          "send <topic>": what it adds is in the message before Before runs,
//	              and it ends before After runs
//	durability    RequireDurable makes an error of a status
//	pace          RateLimit, then a place in flight; SendTimeout counts from here
//	linger        messages that share a request are gathered
//	retry         further attempts begin again here
//	queue         selector, then brokers that failed are avoided
//	breaker       of the broker
//	driver        one attempt, bounded by AttemptTimeout
//
// Only interceptors have places to choose; the first is the outermost. A panic of an
// interceptor or a callback is logged, and a Before's refuses the message.
//
// # Ends
//
// Drain finishes what has begun, Stop cuts it off; both leave no goroutine.
package producer
