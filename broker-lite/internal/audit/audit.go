package audit

import (
	"log/slog"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
)

// most is how much of a text is logged: a request can be 16 MiB.
const most = 256

// Log logs one change. attrs are as in slog.Logger.Info.
func Log(l *slog.Logger, c *remoting.Conn, cmd *protocol.Command, attrs ...any) {
	all := append([]any{"request", protocol.RequestName(cmd.Code), "peer", c.RemoteAddr().String()}, attrs...)
	for i, a := range all {
		if s, ok := a.(string); ok && len(s) > most {
			all[i] = s[:most] + "..."
		}
	}
	l.Info("admin change", all...)
}
