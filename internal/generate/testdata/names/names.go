// Package names has names that the generated code would use, too.
package names

import (
	"context"
	"time"

	theirs "github.com/rocketkit/rocketkit/internal/generate/testdata/names/consumer"
)

// codec is not the package.
type codec struct{}

type time2 = time.Duration

//rocketmq:listener topic=a codec=json
func (c *codec) onOrder(context.Context, theirs.Order) error { return nil }

//rocketmq:listener topic=b tags="a" timeout=1500us batch_wait=0s batch=2
func (c codec) onOrders(context.Context, *batch) error { return nil }

//rocketmq:listener topic=c
func (c codec) onTimes(_ context.Context, v map[string][]time2) error { return nil }
