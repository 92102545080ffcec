package dedup_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/dedup"
	"github.com/rocketkit/rocketkit/dedup/deduptest"
	"github.com/rocketkit/rocketkit/message"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestMemoryDoesWhatAStoreMust(t *testing.T) {
	t.Parallel()
	deduptest.Run(t, deduptest.Subject{New: func(*testing.T) dedup.Store { return dedup.NewMemory() }})
}

func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := dedup.NewMemory(dedup.Limit(3))
		claim := func(key string) (dedup.Claim, error) { return m.Claim(t.Context(), key, time.Hour) }
		for i := range 10 { // done: the oldest is forgotten
			c, err := claim(fmt.Sprint(i))
			if err != nil {
				t.Fatal(err)
			}
			if err := m.Complete(t.Context(), c, time.Hour); err != nil || m.Len() > 3 {
				t.Fatalf("%d keys, %v", m.Len(), err)
			}
		}
		if c, _ := claim("9"); c.State != dedup.Done {
			t.Errorf("the last that was done is %s", c.State)
		}
		if c, _ := claim("6"); c.State != dedup.Claimed {
			t.Errorf("the oldest is %s", c.State)
		}
		for _, key := range []string{"a", "b"} {
			if _, err := claim(key); err != nil {
				t.Error(err)
			}
		}
		if _, err := claim("c"); !errors.Is(err, dedup.ErrFull) { // no claim is taken away
			t.Error(err)
		}
		<-time.After(time.Hour)
		if c, err := claim("c"); err != nil || c.State != dedup.Claimed || m.Len() != 3 {
			t.Errorf("%+v, %v: %d keys", c, err, m.Len())
		}
	})
}

func TestMessagesAreToldApart(t *testing.T) {
	t.Parallel()
	for props, want := range map[string][2]string{
		"":                                    {"id", "id"},
		"KEYS\x01k1 k2\x02":                   {"id", "k1 k2"},
		"DEDUP_ID\x01o1\x02":                  {"o1", "o1"},
		"DEDUP_ID\x01o1\x02KEYS\x01k1 k2\x02": {"o1", "k1 k2"},
	} {
		d := &message.Delivery{ID: "id"}
		d.SetRawProperties(props)
		if got := [2]string{dedup.ByID(d), dedup.ByKey(d)}; got != want {
			t.Errorf("%q: %q, want %q", props, got, want)
		}
	}
}

func ExampleNewMemory() {
	ctx, m := context.Background(), dedup.NewMemory()
	c, err := m.Claim(ctx, "pay/payments/o1", time.Minute)
	fmt.Println(c.State, err)
	again, err := m.Claim(ctx, "pay/payments/o1", time.Minute)
	fmt.Println(again.State, err)
	err = m.Complete(ctx, c, time.Hour)
	again, _ = m.Claim(ctx, "pay/payments/o1", time.Minute)
	fmt.Println(again.State, err)
	// Output:
	// claimed <nil>
	// busy <nil>
	// done <nil>
}
