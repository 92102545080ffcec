// Package acl decides which requests a broker takes: RocketMQ 4.9's plain ACL, from
// the same plain_acl.yml.
//
//	globalWhiteRemoteAddresses:        # these addresses may do everything, unsigned
//	  - 10.10.103.*
//	accounts:
//	  - accessKey: rocketmq2           # longer than 6 characters, as the secret key
//	    secretKey: 12345678
//	    whiteRemoteAddress: 192.168.1.*  # and so may these for this access key, unsigned
//	    admin: false
//	    defaultTopicPerm: DENY         # DENY (when left out), PUB, SUB or PUB|SUB
//	    defaultGroupPerm: SUB
//	    topicPerms: [topicA=DENY, "topicB=PUB|SUB"]
//	    groupPerms: [groupB=SUB]
//
// [Parse] reads the file into [Rules], which never change; a [Guard] holds the
// rules that are in force and replaces them when the file changes.
//
// # A decision
//
// [Rules.Check] asks in this order: is the address white-listed for all; is there an
// access key, and an account for it; is the address white-listed for the account; is
// the signature right; does the request need an admin; may the account do what the
// request asks for with each topic and group that it names. An admin without
// topicPerms and groupPerms may use every topic and group; with any of them the
// defaults bind an admin too, as on Apache. Refused is a [*Refusal].
//
// A group's permission is that of its retry topic: %RETRY%g in any place for a topic
// means group g. Topics and groups that a request does not name are not checked; the
// broker's handlers refuse requests that lack what they need.
//
// # Signatures
//
// base64(HMAC-SHA1(secret key, content)); the content is the values of the header's
// fields in the order of their names, without Signature, and then the body. Both
// header codecs carry the same content. Clients differ in two fields:
//
//   - Java clients sign SecurityToken, rocketmq-client-go does not;
//   - _UNIQUE_KEY_QUERY of code 12 is signed by Java clients from 4.9.4 on, not by
//     earlier ones. Apache's broker 4.9.7 refuses the former, its own client's.
//
// Either way is taken. A signature covers neither the request's code nor a time or
// number: what can be read on the wire can be sent again. TLS is the remedy.
//
// # Stricter than Apache 4.9.7
//
// Apache checks the resources of codes 10, 310, 36, 11, 12, 34, 35, 38 and 15, and
// admits only admins to 17, 25, 200, 207 and 215. Every other code needs a signature
// and nothing else, so that an account can send with 320 or read with 361 where it
// may not with 310 or 11, and can make itself an admin with 50. Here they are checked
// as 5.4.0 does where it knows the resource; requests.go is the table. And:
//
//   - A send to %RETRY%g needs SUB on group g. Apache looks at the producer group that
//     the header names, which lets any consumer write into any group's retry topic, and
//     refuses a consumer that sends a message back by itself.
//   - What Apache reads silently as something else is an error in the file: an unknown
//     key or permission, an account that occurs twice, an address pattern that can
//     match nothing.
//
// Apache on Java 14 and later sees IPv6 addresses in brackets, and so finds none in a
// white list; here, as on Java 8, they are found.
//
// Request codes of the name server are not for this package: Apache's name server has
// no ACL.
package acl
