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
	goleak.VerifyTestMain(m, opts...)
}
