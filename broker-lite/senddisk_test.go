package brokerlite

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// TestAFloodIsReadNoFasterThanItIsStored stalls the disk under a client that sends
// without end: the broker must stop reading it, and take all of it afterwards.
func TestAFloodIsReadNoFasterThanItIsStored(t *testing.T) {
	onDisk(t, func(t *testing.T, b *Broker, c *client, disk *stallingDisk) {
		c.createTopic("orders", 1)
		nc, err := b.Dial(t.Context(), "tcp", b.Addr())
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		body := make([]byte, 1<<20)
		cmd := protocol.Command{Code: protocol.SendMessageV2, Codec: protocol.Binary}
		cmd.MarkOneway()
		frame, err := protocol.AppendFrame(nil, &cmd, sending("orders"), body)
		if err != nil {
			t.Fatal(err)
		}
		disk.stall()
		written := 0
		for written < 64 {
			if err := nc.SetWriteDeadline(time.Now().Add(10 * time.Second)); err != nil {
				t.Fatal(err)
			}
			if _, err := nc.Write(frame); err != nil {
				break
			}
			written++
		}
		if written >= 32 {
			t.Errorf("the broker read %d MiB while it could store nothing", written)
		}
		other := dial(t, b)
		if resp := other.call(protocol.GetMaxOffset, &protocol.OffsetRequest{Code: protocol.GetMaxOffset, Topic: "orders"}, nil); resp.Code != protocol.Success {
			t.Errorf("others are not served: %s", resp.Remark)
		}
		disk.resume()
		synctest.Wait()
		if n := len(c.messages("orders", 0)); n != written {
			t.Errorf("%d messages of %d are stored", n, written)
		}
	})
}

func TestAClientThatLeavesWhileItIsHeldBackIsForgotten(t *testing.T) {
	onDisk(t, func(t *testing.T, b *Broker, c *client, disk *stallingDisk) {
		c.createTopic("orders", 1)
		disk.stall()
		other := dial(t, b)
		for range 12 {
			other.oneway(protocol.SendMessageV2, sending("orders"), make([]byte, 1<<20))
		}
		synctest.Wait()
		other.close()
		disk.resume()
		synctest.Wait()
		c.send(sending("orders"), "still served")
	})
}

func TestASlowDiskIsAnsweredWithFlushDiskTimeout(t *testing.T) {
	onDisk(t, func(t *testing.T, b *Broker, c *client, disk *stallingDisk) {
		c.createTopic("orders", 1)
		c.send(sending("orders"), "first")
		disk.stallSyncs()
		began := time.Now()
		h := sending("orders")
		resp := c.call(h.Code, h, []byte("slow"))
		if resp.Code != protocol.FlushDiskTimeout || resp.Fields.Value("msgId") == "" {
			t.Errorf("%s %v", protocol.ResponseName(resp.Code), resp.Fields)
		}
		if d := time.Since(began); d != 2*time.Second {
			t.Errorf("after %v", d)
		}
		disk.resume()
		synctest.Wait()
		if diff := cmp.Diff([]string{"first", "slow"}, bodies(c.messages("orders", 0))); diff != "" {
			t.Error(diff)
		}
	}, SyncFlush(), Conf("syncFlushTimeout=2000"))
}

func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	onDisk(t, func(t *testing.T, b *Broker, c *client, disk *stallingDisk) {
		c.createTopic("orders", 1)
		disk.fill(true)
		h := sending("orders")
		if resp := c.call(h.Code, h, []byte("x")); resp.Code != protocol.ServiceNotAvailable || !strings.Contains(resp.Remark, "disk is full") {
			t.Errorf("%s: %s", protocol.ResponseName(resp.Code), resp.Remark)
		}
		disk.fill(false)
		c.send(sending("orders"), "again")
		if diff := cmp.Diff([]string{"again"}, bodies(c.messages("orders", 0))); diff != "" {
			t.Error(diff)
		}
	})
}

func TestCloseAnswersWhatItHasTaken(t *testing.T) {
	onDisk(t, func(t *testing.T, b *Broker, c *client, disk *stallingDisk) {
		c.createTopic("orders", 1)
		disk.stall()
		type result struct {
			resp *protocol.Command
			err  error
		}
		results := make(chan result, 10)
		for i := range 10 {
			h := sending("orders")
			go func() {
				resp, err := c.try(context.Background(), h.Code, h, fmt.Append(nil, i))
				results <- result{resp, err}
			}()
		}
		synctest.Wait()
		closed := make(chan error, 1)
		go func() { closed <- b.Close(context.Background()) }()
		synctest.Wait()
		h := sending("orders")
		if resp, err := c.try(t.Context(), h.Code, h, []byte("late")); err != nil || resp.Code != protocol.ServiceNotAvailable {
			t.Errorf("while closing: %+v, %v", resp, err)
		}
		disk.resume()
		for range 10 {
			if r := <-results; r.err != nil || r.resp.Code != protocol.Success {
				t.Errorf("%+v, %v", r.resp, r.err)
			}
		}
		if err := <-closed; err != nil {
			t.Error(err)
		}
	})
}
