package clientgo

import (
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"

	clienterrors "github.com/apache/rocketmq-client-go/v2/errors"

	"github.com/rocketkit/rocketkit/message"
)

// unsupported refuses what rocketmq-client-go cannot do.
func unsupported(what, why, remedy string) error {
	return fmt.Errorf("%s is %w by %s: %s; %s", what, message.ErrUnsupported, Name, why, remedy)
}

// sendError says in this module's words why rocketmq-client-go did not send.
// Whatever is not known to have ended before a byte was written is a
// message.ErrOutcomeUnknown.
//
// rocketmq-client-go has no types for a broker's refusal or for a missing route,
// only texts, so those of the version in go.mod are compared here, whole or by
// their fixed part. TestTextsOfClientGo holds them.
func sendError(op string, q message.Queue, err error) error {
	var dial *net.OpError
	switch {
	case errors.Is(err, clienterrors.ErrNotRunning), errors.Is(err, clienterrors.ErrService):
		return fmt.Errorf("%s: %w", op, message.ErrClosed)
	case errors.As(err, &dial) && dial.Op == "dial":
		addr := ""
		if dial.Addr != nil {
			addr = dial.Addr.String()
		}
		return &message.AddrError{Broker: q.Broker, Addr: addr, Err: err}
	}
	text := err.Error()
	if code, remark, ok := refusalText(text); ok {
		return &message.BrokerError{Code: code, Name: responseName(code), Remark: remark, Broker: q.Broker, Op: op, Remedy: remedy(code)}
	}
	if text == "the topic="+q.Topic+" route info not found" || text == "topic="+q.Topic+" route info not found" {
		return fmt.Errorf("%s: %w: rocketmq-client-go knows no address of broker %s; it asks the name servers every %s", op, message.ErrUnreachable, q.Broker, routeInterval)
	}
	return &message.UnknownOutcomeError{Op: op, Broker: q.Broker, Err: err}
}

// refusalText reads "CODE: %d, DESC: %s" (internal/client.go,
// ProcessSendResponse).
func refusalText(text string) (code int, remark string, ok bool) {
	rest, ok := strings.CutPrefix(text, "CODE: ")
	if !ok {
		return 0, "", false
	}
	number, remark, ok := strings.Cut(rest, ", DESC: ")
	if !ok {
		return 0, "", false
	}
	code, err := strconv.Atoi(number)
	return code, remark, err == nil
}

// Response codes to a send, as Apache numbers them (ResponseCode.java).
const (
	codeSystemError         = 1
	codeSystemBusy          = 2
	codeNotSupported        = 3
	codeMessageIllegal      = 13
	codeServiceNotAvailable = 14
	codeNoPermission        = 16
	codeTopicNotExist       = 17
	codeNoBuyerID           = 204
	codeNotInCurrentUnit    = 205
	codeFlowControl         = 215
)

// responseName is a response code's constant.
func responseName(code int) string {
	switch code {
	case codeSystemError:
		return "SYSTEM_ERROR"
	case codeSystemBusy:
		return "SYSTEM_BUSY"
	case codeNotSupported:
		return "REQUEST_CODE_NOT_SUPPORTED"
	case codeMessageIllegal:
		return "MESSAGE_ILLEGAL"
	case codeServiceNotAvailable:
		return "SERVICE_NOT_AVAILABLE"
	case codeNoPermission:
		return "NO_PERMISSION"
	case codeTopicNotExist:
		return "TOPIC_NOT_EXIST"
	case codeNoBuyerID:
		return "NO_BUYER_ID"
	case codeNotInCurrentUnit:
		return "NOT_IN_CURRENT_UNIT"
	case codeFlowControl:
		return "FLOW_CONTROL"
	}
	return "code " + strconv.Itoa(code)
}

// remedy is what to do about a response code, "" where the server's remark says
// it all.
func remedy(code int) string {
	switch code {
	case codeSystemBusy, codeFlowControl:
		return "the broker is overloaded; try again later or on another broker"
	case codeServiceNotAvailable:
		return "the broker does not take messages: it is a slave, is shutting down or its disk is full (diskMaxUsedSpaceRatio)"
	case codeTopicNotExist:
		return "create the topic, or set autoCreateTopicEnable=true on the broker"
	case codeNoPermission:
		return "check the permissions of the topic, and the broker's brokerPermission"
	case codeMessageIllegal:
		return "check the body against the broker's maxMessageSize and the properties against 32767 bytes"
	}
	return ""
}
