package audit

import (
	"bytes"
	"log/slog"
	"net"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestALineSaysWhoAndWhat(t *testing.T) {
	t.Parallel()
	here, there := net.Pipe()
	defer there.Close()
	c := remoting.NewConn(here, remoting.Options{})
	defer func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		<-c.Done()
	}()
	var b bytes.Buffer
	attrs := []any{"topic", strings.Repeat("x", 300), "perm", 6}
	Log(slog.New(slog.NewTextHandler(&b, nil)), c, &protocol.Command{Code: protocol.UpdateAndCreateTopic}, attrs...)
	want := `level=INFO msg="admin change" request=UPDATE_AND_CREATE_TOPIC peer=pipe topic=` + strings.Repeat("x", 256) + "... perm=6\n"
	if _, got, _ := strings.Cut(b.String(), " "); got != want {
		t.Errorf("the line is %s, want %s", got, want)
	}
	if len(attrs[1].(string)) != 300 {
		t.Error("the caller's list is changed")
	}
}
