package admin

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/rocketkit/rocketkit/internal/answer"
	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/internal/remoting"
	"github.com/rocketkit/rocketkit/message"
)

// requestTimeout bounds each request, as in Apache's tools (5 s).
const requestTimeout = 5 * time.Second

// Config says how to reach a cluster. (*rocketkit.Client).Admin fills it in.
type Config struct {
	// NameServers are "host:port" addresses, at least one.
	NameServers []string
	// Lookup, when set, is asked for the addresses each time, in place of NameServers:
	// an endpoint may answer with others later.
	Lookup      func(ctx context.Context) ([]string, error)
	Credentials Credentials
	// TLS is nil for plain connections.
	TLS *tls.Config
	// Dial opens connections; nil means net.Dialer.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// RequestTimeout bounds each request; 0 means 5 s.
	RequestTimeout time.Duration
}

// Credentials sign requests where the servers have ACL; the zero value signs nothing.
type Credentials struct{ AccessKey, SecretKey, SecurityToken string }

// String hides the secrets.
func (c Credentials) String() string {
	if c == (Credentials{}) {
		return "none"
	}
	return "access key " + c.AccessKey + ", secret redacted"
}

// GoString hides the secrets from %#v.
func (c Credentials) GoString() string { return "admin.Credentials{" + c.String() + "}" }

// LogValue hides the secrets.
func (c Credentials) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Client administers one cluster. Its methods may be called concurrently.
type Client struct {
	names   func(ctx context.Context) ([]string, error) // the name servers' addresses
	timeout time.Duration
	net     *remoting.Client
	recent  routes
}

// New makes a client; it connects when it is asked something. Close ends it.
func New(cfg Config) (*Client, error) {
	if len(cfg.NameServers) == 0 && cfg.Lookup == nil {
		return nil, errors.New("admin client: no name servers are given; give at least one \"host:port\"")
	}
	o := remoting.ClientOptions{TLS: cfg.TLS, Dial: cfg.Dial}
	if c := cfg.Credentials; c != (Credentials{}) {
		if c.AccessKey == "" || c.SecretKey == "" {
			return nil, errors.New("admin client: the credentials have no access key or no secret key; give both, or none for servers without ACL")
		}
		o.Signer = protocol.NewSigner(c.AccessKey, c.SecretKey, c.SecurityToken)
	}
	c := &Client{names: cfg.Lookup, timeout: cfg.RequestTimeout, net: remoting.NewClient(o)}
	if c.names == nil {
		c.names = always(cfg.NameServers...)
	}
	if c.timeout <= 0 {
		c.timeout = requestTimeout
	}
	return c, nil
}

// always are addresses that stay as they are.
func always(addrs ...string) func(context.Context) ([]string, error) {
	return func(context.Context) ([]string, error) { return addrs, nil }
}

// Close ends the connections.
func (c *Client) Close(ctx context.Context) error { return c.net.Close(ctx) }

// server is whom a request goes to.
type server struct {
	name string // the broker's; "" for a name server, and a broker known by its address only
	addr string
}

// askNames asks one name server after the other until one answers. When none does
// the error is a message.ErrNoNameServer.
func (c *Client) askNames(ctx context.Context, op string, code protocol.Code, h protocol.Header) (*protocol.Command, server, error) {
	addrs, err := c.names(ctx)
	if err != nil {
		return nil, server{}, fmt.Errorf("%s: %w", op, err)
	}
	var failed []error
	for _, addr := range addrs {
		s := server{addr: addr}
		resp, err := c.ask(ctx, s, op, code, h)
		var refused *message.BrokerError
		if err == nil || errors.As(err, &refused) || ctx.Err() != nil {
			return resp, s, err
		}
		failed = append(failed, err)
	}
	return nil, server{}, fmt.Errorf("%w: %w", message.ErrNoNameServer, errors.Join(failed...))
}

// connect returns a connection to a server. When there is none, the error for a
// broker that is known by name is a *message.AddrError: the name servers have its
// address, and it may be wrong for this network.
func (c *Client) connect(ctx context.Context, s server) (*remoting.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	conn, err := c.net.Conn(ctx, s.addr)
	if err != nil && s.name != "" {
		err = &message.AddrError{Broker: s.name, Addr: s.addr, Err: err}
	}
	return conn, err
}

// ask makes one request. A response that is not a success is a
// *message.BrokerError.
func (c *Client) ask(ctx context.Context, s server, op string, code protocol.Code, h protocol.Header, body ...[]byte) (*protocol.Command, error) {
	resp, err := c.askAnything(ctx, s, op, code, h, body...)
	if err != nil {
		return nil, err
	}
	if resp.Code == protocol.Success {
		return resp, nil
	}
	err = answer.Refusal(op, s.name, s.addr, resp)
	var refused *message.BrokerError
	if resp.Code == protocol.CodeNotSupported && errors.As(err, &refused) {
		refused.Remedy = "is it a broker's address where a name server's belongs (9876 by default), or the other way round (10911)? does the server's version know this request?"
	}
	return nil, err
}

// askBody is ask for an answer whose body is JSON.
func (c *Client) askBody(ctx context.Context, s server, op string, code protocol.Code, h protocol.Header, into any) error {
	resp, err := c.ask(ctx, s, op, code, h)
	if err != nil {
		return err
	}
	if err := protocol.DecodeBody(resp.Body, into); err != nil {
		return unreadable(op, s, err)
	}
	return nil
}

// askOffset is ask for an offset.
func (c *Client) askOffset(ctx context.Context, s server, op string, code protocol.Code, h protocol.Header) (int64, error) {
	resp, err := c.ask(ctx, s, op, code, h)
	if err != nil {
		return 0, err
	}
	var o protocol.OffsetResponse
	if err := o.DecodeFields(resp.Fields); err != nil {
		return 0, unreadable(op, s, err)
	}
	return o.Offset, nil
}

// askAnything is ask with every response an answer.
func (c *Client) askAnything(ctx context.Context, s server, op string, code protocol.Code, h protocol.Header, body ...[]byte) (*protocol.Command, error) {
	conn, err := c.connect(ctx, s)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	cmd := protocol.ClientRequest(code)
	resp, err := conn.Call(ctx, &cmd, h, body...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", op, err)
	}
	return resp, nil
}

// unreadable says that an answer makes no sense.
func unreadable(op string, s server, err error) error {
	return fmt.Errorf("%s: answer of %s: %w", op, s.addr, err)
}

// pairs are the fields of requests that few make: names and values.
type pairs []string

// AppendFields implements protocol.Header.
func (p pairs) AppendFields(w *protocol.FieldWriter) {
	for i := 0; i+1 < len(p); i += 2 {
		w.String(p[i], p[i+1])
	}
}
