package answer

import (
	"errors"
	"slices"
	"strings"

	"github.com/rocketkit/rocketkit/internal/protocol"
	"github.com/rocketkit/rocketkit/message"
)

// Refusal turns a response that is not a success into an error.
func Refusal(op, broker, addr string, resp *protocol.Command) error {
	return &message.BrokerError{
		Code: int(resp.Code), Name: protocol.ResponseName(resp.Code), Remark: resp.Remark,
		Broker: broker, Addr: addr, Op: op, Remedy: remedy(resp),
	}
}

// IsCode reports whether err is a server's refusal with that code.
func IsCode(err error, code protocol.Code) bool {
	var b *message.BrokerError
	return errors.As(err, &b) && b.Code == int(code)
}

// remedy is what to do about a response code, "" where the server's remark says
// it all.
func remedy(resp *protocol.Command) string {
	if ByACL(resp) {
		return "check the client's credentials (access key and secret key) and the rights of their account in the broker's ACL"
	}
	switch resp.Code {
	case protocol.SystemBusy, protocol.FlowControl:
		return "the broker is overloaded; try again later or on another broker"
	case protocol.ServiceNotAvailable:
		return "the broker does not take messages: it is a slave, is shutting down or its disk is full (diskMaxUsedSpaceRatio)"
	case protocol.TopicNotExist:
		return "create the topic, or set autoCreateTopicEnable=true on the broker"
	case protocol.GroupNotExist:
		return "create the group, or set autoCreateSubscriptionGroup=true on the broker"
	case protocol.NoPermission:
		return "check the permissions of the topic and the group, and the broker's brokerPermission"
	case protocol.MessageIllegal:
		return "check the body against the broker's maxMessageSize and the properties against 32767 bytes"
	case protocol.SubscriptionParse:
		return "check the subscription's expression"
	case protocol.FilterDataNotExist:
		return "check the group's SQL92 expression: the broker cannot read it"
	}
	return ""
}

// ByACL reports whether a server with ACL has refused. Of those that are about the
// permissions of a topic, only the remark tells it.
func ByACL(resp *protocol.Command) bool {
	// 4.9 refuses with SYSTEM_ERROR and the exception's name, broker-lite with
	// NO_PERMISSION; both name the access key.
	signs := []string{"accessKey", "AclException", "No acl config"}
	if resp.Code == protocol.NoPermission {
		// ACL 2.0 names the user, but for a wrong signature and one without a user.
		signs = append(signs, "User:", "check signature failed", "username cannot be null")
	}
	return slices.ContainsFunc(signs, func(sign string) bool { return strings.Contains(resp.Remark, sign) })
}
