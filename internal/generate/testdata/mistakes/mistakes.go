// Package mistakes has all the mistakes that there are.
package mistakes

import (
	"context"

	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

//rocketmq:wire set=a

//rocketmq:listener topic=floating

//rocketmq:listener topic=a
type service struct{}

// serviceListeners is taken.
type serviceListeners int

//rocketmq:listner topic=a
func nearDirective(context.Context, string) error { return nil }

//rocketmq:tx topic=a
func otherDirective(context.Context, string) error { return nil }

//rocketmq:whatever topic=a
func unknownDirective(context.Context, string) error { return nil }

// rocketmq:listener topic=a
func spaced(context.Context, string) error { return nil }

//rocketmq:listener topics=a
func nearKey(context.Context, string) error { return nil }

//rocketmq:listener topic=a consumerGroup=g tag=x color=red
func foreignKeys(context.Context, string) error { return nil }

//rocketmq:listener topic=a tags=x || y
func unquoted(context.Context, string) error { return nil }

//rocketmq:listener topic=a tags="x || y
func unclosed(context.Context, string) error { return nil }

//rocketmq:listener topic=a tags="x"y sql=""
func noSpace(context.Context, string) error { return nil }

//rocketmq:listener topic=a topic=b name=
func twice(context.Context, string) error { return nil }

//rocketmq:listener topic="" name=empty
//rocketmq:listener topic=a! concurrency=0 retries=-1 timeout=15 batch_wait=-1s rate_limit=x kill_switch=0.5 tags="a b"
func values(context.Context, string) error { return nil }

//rocketmq:listener topic=${} tags=${x concurrency=${n:few} name=placeholders
//rocketmq:listener topic=b name=service sql="a > 1" tags=x
func placeholders(context.Context, string) error { return nil }

//rocketmq:listener topic=b name=one
//rocketmq:listener topic=c name=one
func sameName(context.Context, string) error { return nil }

//rocketmq:listener topic=a
func noContext(string) error { return nil }

//rocketmq:listener topic=a
func noError(context.Context, string) {}

//rocketmq:listener topic=a
func variadic(context.Context, ...string) error { return nil }

//rocketmq:listener topic=a
func generic[T any](context.Context, T) error { return nil }

//rocketmq:listener topic=a
func (s *list[T]) generic(context.Context, T) error { return nil }

//rocketmq:listener topic=a
func _(context.Context, string) error { return nil }

type list[T any] struct{}

//rocketmq:listener topic=a
func (s *service) fine(context.Context, string) error { return nil }

//rocketmq:dlq topic=a
func deadText(context.Context, string) error { return nil }

//rocketmq:dlq retries=3 tags=x
func deadKeys(context.Context, *message.Delivery) error { return nil }

//rocketmq:listener topic=a batch=3
func batches(context.Context, *consumer.Batch[string]) error { return nil }

//rocketmq:transaction topic=${} group=g! names=x color=red
func (s *service) checkA(context.Context, *message.Delivery) error { return nil }

//rocketmq:transaction group=other name=checkA
func (s *service) checkB(context.Context, *message.Delivery) error { return nil }

//rocketmq:transaction topic=a name=b
func (s *service) CheckA(context.Context, *message.Delivery) error { return nil }

//rocketmq:transaction topic=a
func checkBatch(context.Context, *consumer.Batch[string]) error { return nil }

//rocketmq:transaction topic=${t} group=${g} name=${n}
func (s *service) checkC(context.Context, string) error { return nil }

//rocketmq:listener topic=a batch=3
func severalAsSlice(context.Context, []*message.Delivery) error { return nil }
