package conformance_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"time"

	"github.com/rocketkit/rocketkit"
	"github.com/rocketkit/rocketkit/consumer"
	"github.com/rocketkit/rocketkit/message"
)

const (
	// memberEnv makes this test binary a member of a group: see memberTask.
	memberEnv = "ROCKETKIT_TEST_MEMBER"
	// memberLeave on its standard input has it drain; the end of that ends it at once.
	memberLeave = "leave"
)

// memberTask is what a member process has to do.
type memberTask struct {
	No           int
	NameServers  []string
	Topic, Group string
	Ordered      bool
}

// beMember is the main function of a member. For each message it writes a line before
// it is handled and one after, as "3 begin KEY N" and "3 end KEY N".
func beMember(task string) error {
	var m memberTask
	if err := json.Unmarshal([]byte(task), &m); err != nil {
		return err
	}
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})).With("member", m.No)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	client, err := rocketkit.Open(ctx, rocketkit.Config{NameServers: m.NameServers}, rocketkit.WithLogger(log))
	if err != nil {
		return err
	}
	opts := []consumer.GroupOption{consumer.From(consumer.First)}
	if m.Ordered {
		opts = append(opts, consumer.Ordered())
	}
	mux := consumer.NewMux(m.Group, opts...)
	consumer.HandleRaw(mux, m.Topic, func(ctx context.Context, d *message.Delivery) error {
		fmt.Printf("%d begin %s %s\n", m.No, d.ShardingKey(), d.Body)
		select {
		case <-time.After(rand.N(2 * time.Millisecond)):
		case <-ctx.Done():
			return ctx.Err()
		}
		fmt.Printf("%d end %s %s\n", m.No, d.ShardingKey(), d.Body)
		return nil
	}, consumer.Concurrency(2))
	c, err := client.NewConsumer(mux)
	if err != nil {
		return err
	}
	if err := c.Start(ctx); err != nil {
		return err
	}
	line, err := bufio.NewReader(os.Stdin).ReadString('\n')
	if err != nil || line != memberLeave+"\n" {
		return fmt.Errorf("told %q: %w", line, err)
	}
	soon, cancel := context.WithTimeout(ctx, 40*time.Second)
	defer cancel()
	return client.Drain(soon)
}

// crowdCount counts what members have handled.
type crowdCount struct{ handled, repeated, distinct int }

// share is how much of it was handled before.
func (c crowdCount) share() float64 { return float64(c.repeated) / float64(max(c.handled, 1)) }

// crowdStory checks the lines of all members, which come in the order in which they
// were written.
type crowdStory struct {
	crowdCount
	ordered bool
	dead    map[int]bool
	keys    map[string]*keyStory
	wrong   []string
}

// keyStory is what became of the messages of a key, which are numbered from 0.
type keyStory struct {
	done   map[int]bool
	most   int // the highest that was begun
	last   int // what was begun last,
	member int // by that member,
	busy   bool
}

func newCrowdStory(ordered bool) *crowdStory {
	return &crowdStory{ordered: ordered, dead: map[int]bool{}, keys: map[string]*keyStory{}}
}

// tell takes the next line; it is true when that says that a message was handled for
// the first time.
func (c *crowdStory) tell(line string) (first bool) {
	var member, n int
	var what, key string
	if _, err := fmt.Sscanf(line, "%d killed", &member); err == nil {
		c.dead[member] = true
		return false
	}
	if _, err := fmt.Sscanf(line, "%d %s %s %d", &member, &what, &key, &n); err != nil {
		c.wrong = append(c.wrong, fmt.Sprintf("a member wrote %q", line))
		return false
	}
	k := c.keys[key]
	if k == nil {
		k = &keyStory{done: map[int]bool{}, most: -1, last: -1, member: member}
		c.keys[key] = k
	}
	if what == "begin" {
		if wrong := k.begin(member, n, c.dead[k.member]); c.ordered && wrong != "" {
			c.wrong = append(c.wrong, fmt.Sprintf("key %s: member %d begins %d, %s", key, member, n, wrong))
		}
		return false
	}
	k.busy = k.busy && k.member != member
	c.handled++
	if k.done[n] {
		c.repeated++
		return false
	}
	k.done[n] = true
	c.distinct++
	return true
}

// begin says what is wrong with the order in which messages of the key are begun. Only
// who takes over from a member that was killed may go back.
func (k *keyStory) begin(member, n int, afterKill bool) (wrong string) {
	switch {
	case n > k.most+1:
		wrong = fmt.Sprintf("and nobody has begun %d", k.most+1)
	case member != k.member && k.busy && !afterKill:
		wrong = fmt.Sprintf("while member %d is at %d", k.member, k.last)
	case n <= k.last && !(member != k.member && afterKill):
		wrong = fmt.Sprintf("and member %d has begun %d before", k.member, k.last)
	case n > k.last+1:
		wrong = fmt.Sprintf("after %d", k.last)
	}
	k.most, k.last, k.member, k.busy = max(k.most, n), n, member, true
	return wrong
}
