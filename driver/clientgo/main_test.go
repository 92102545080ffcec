package clientgo_test

import (
	"log/slog"
	"os"
	"testing"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/driver/clientgo"
)

func TestMain(m *testing.M) {
	clientgo.UseLogger(slog.New(slog.DiscardHandler))
	if os.Getenv(aloneEnv) != "" { // what it leaves running ends with the process
		os.Exit(m.Run())
	}
	var opts []goleak.Option
	for _, f := range clientgo.LeakedFunctions() {
		opts = append(opts, goleak.IgnoreAnyFunction(f))
	}
	// Of its own orderly consumers, which the driver does not use: up to 5 s.
	opts = append(opts, goleak.IgnoreAnyFunction("github.com/apache/rocketmq-client-go/v2/consumer.(*processQueue).takeMessages"))
	goleak.VerifyTestMain(m, opts...)
}
