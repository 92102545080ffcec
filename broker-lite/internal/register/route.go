package register

import (
	"context"
	"errors"
	"fmt"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// ErrNoRoute says that a name server knows of no broker with a topic.
var ErrNoRoute = errors.New("no name server knows the topic")

// Route asks the name servers for a topic's route, one after the other, until one
// answers.
func (r *Registrar) Route(ctx context.Context, topic string) (*protocol.TopicRoute, error) {
	err := ErrNoRoute
	for _, s := range r.servers {
		route, failed := s.route(ctx, topic)
		if failed == nil {
			return route, nil
		}
		err = failed
	}
	return nil, fmt.Errorf("route of topic %s: %w", topic, err)
}

func (s *server) route(ctx context.Context, topic string) (*protocol.TopicRoute, error) {
	ctx, cancel := context.WithTimeout(ctx, s.r.o.Timeout)
	defer cancel()
	conn, err := s.r.o.Client.Conn(ctx, s.addr)
	if err != nil {
		return nil, err
	}
	cmd := protocol.Command{Code: protocol.GetRouteInfo, Language: protocol.LanguageGo, Version: protocol.ServerVersion}
	resp, err := conn.Call(ctx, &cmd, &protocol.RouteRequest{Topic: topic}, nil)
	switch {
	case err != nil:
		return nil, err
	case resp.Code == protocol.TopicNotExist:
		return nil, ErrNoRoute
	case resp.Code != protocol.Success:
		return nil, fmt.Errorf("name server %s: %s: %s", s.addr, protocol.ResponseName(resp.Code), resp.Remark)
	}
	return protocol.DecodeTopicRoute(resp.Body)
}
