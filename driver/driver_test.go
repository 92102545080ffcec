package driver_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/driver"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestSecretsAreNotPrinted(t *testing.T) {
	t.Parallel()
	cfg := driver.Config{Credentials: driver.Credentials{AccessKey: "known", SecretKey: "hidden", SecurityToken: "hidden"}}
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "credentials", cfg.Credentials)
	for way, text := range map[string]string{
		"%v": fmt.Sprintf("%v", cfg), "%+v": fmt.Sprintf("%+v", cfg), "%#v": fmt.Sprintf("%#v", cfg), "slog": log.String(),
	} {
		if !strings.Contains(text, "known") || strings.Contains(text, "hidden") {
			t.Errorf("%s: %s", way, text)
		}
	}
}

// cheap is a ctx that has a form without a timer.
type cheap struct{ context.Context }

func (c cheap) WithoutTimer() context.Context { return c.Context }

func TestWithoutTimerTakesTheCheaperFormWhereThereIsOne(t *testing.T) {
	t.Parallel()
	plain := t.Context()
	if driver.WithoutTimer(plain) != plain || driver.WithoutTimer(cheap{plain}) != plain {
		t.Error("another ctx was returned")
	}
}

func TestTheZeroStateOfATransactionIsOpen(t *testing.T) {
	t.Parallel()
	var s driver.TxState
	if got := fmt.Sprint(s, driver.TxCommit, driver.TxRollback); got != "unknown commit rollback" {
		t.Error(got)
	}
}
