package clientgo_test

import (
	"log/slog"
	"testing"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/driver/clientgo"
)

func TestMain(m *testing.M) {
	clientgo.UseLogger(slog.New(slog.DiscardHandler))
	var opts []goleak.Option
	for _, f := range clientgo.LeakedFunctions() {
		opts = append(opts, goleak.IgnoreAnyFunction(f))
	}
	// Of its own orderly consumers, which the driver does not use: up to 5 s.
	opts = append(opts, goleak.IgnoreAnyFunction("github.com/apache/rocketmq-client-go/v2/consumer.(*processQueue).takeMessages"))
	goleak.VerifyTestMain(m, opts...)
}
