package native

import (
	"crypto/md5"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/rocketkit/rocketkit/driver"
	"github.com/rocketkit/rocketkit/message"
)

// ConsistentHash shares the queues by a ring of hashes, on which each member has so
// many places (AllocateMessageQueueConsistentHash, which has 10): members that come
// and go move few queues, but the shares differ in size.
func ConsistentHash(places int) driver.AllocateStrategy { return consistentHash{max(places, 1)} }

// ByConfig gives this member those queues and no others, wherever they exist
// (AllocateMessageQueueByConfig). The program's other members must have the rest. The
// queues of retried messages are shared averagely.
func ByConfig(queues ...message.Queue) driver.AllocateStrategy {
	return byConfig{slices.Clone(queues)}
}

// ByMachineRoom shares, averagely, the queues of brokers whose names begin with one of
// the rooms and "@", as in "room1@broker-a" (AllocateMessageQueueByMachineRoom). The
// group gets nothing of other brokers.
func ByMachineRoom(rooms ...string) driver.AllocateStrategy { return machineRoom{slices.Clone(rooms)} }

// NearbyMachineRoom shares each room's queues among the members of the room by another
// strategy, and the queues of rooms without members among all
// (AllocateMachineRoomNearby). roomOfBroker and roomOfClient name the room of a broker
// and of a client's id; they are called often and must always say the same. Brokers
// and clients that have no room, "", form one.
func NearbyMachineRoom(by driver.AllocateStrategy, roomOfBroker, roomOfClient func(name string) string) driver.AllocateStrategy {
	return nearby{by, roomOfBroker, roomOfClient}
}

type consistentHash struct{ places int }

func (consistentHash) Name() string { return "CONSISTENT_HASH" }

func (s consistentHash) Allocate(_, clientID string, queues []message.Queue, clientIDs []string) []message.Queue {
	owner := make(map[uint32]string, len(clientIDs)*s.places)
	for _, id := range clientIDs {
		for i := range s.places {
			owner[ringHash(fmt.Sprint(id, "-", i))] = id // as in Java, the last of two at one place has it
		}
	}
	ring := slices.Sorted(maps.Keys(owner))
	var mine []message.Queue
	for _, q := range queues {
		if len(ring) == 0 {
			break
		}
		at, _ := slices.BinarySearch(ring, ringHash(fmt.Sprintf("MessageQueue [topic=%s, brokerName=%s, queueId=%d]", q.Topic, q.Broker, q.ID)))
		if owner[ring[at%len(ring)]] == clientID {
			mine = append(mine, q)
		}
	}
	return mine
}

// ringHash is ConsistentHashRouter.MD5Hash.
func ringHash(key string) uint32 {
	sum := md5.Sum([]byte(key))
	return binary.BigEndian.Uint32(sum[:])
}

type byConfig struct{ queues []message.Queue }

func (byConfig) Name() string { return "CONFIG" }

func (s byConfig) Allocate(group, clientID string, queues []message.Queue, clientIDs []string) []message.Queue {
	if len(queues) > 0 && queues[0].Topic == message.RetryTopic(group) {
		return averagely{}.Allocate(group, clientID, queues, clientIDs)
	}
	var mine []message.Queue
	for _, q := range queues {
		if slices.Contains(s.queues, q) {
			mine = append(mine, q)
		}
	}
	return mine
}

type machineRoom struct{ rooms []string }

func (machineRoom) Name() string { return "MACHINE_ROOM" }

// Allocate gives the remainder one by one to the first members, behind everybody's run.
func (s machineRoom) Allocate(_, clientID string, queues []message.Queue, clientIDs []string) []message.Queue {
	index := slices.Index(clientIDs, clientID)
	if index < 0 {
		return nil
	}
	var ours []message.Queue
	for _, q := range queues {
		parts := strings.Split(q.Broker, "@")
		if len(parts) == 2 && slices.Contains(s.rooms, parts[0]) {
			ours = append(ours, q)
		}
	}
	size, extra := len(ours)/len(clientIDs), len(ours)%len(clientIDs)
	mine := slices.Clone(ours[index*size : (index+1)*size])
	if index < extra {
		mine = append(mine, ours[index+size*len(clientIDs)])
	}
	return mine
}

type nearby struct {
	by                         driver.AllocateStrategy
	roomOfBroker, roomOfClient func(string) string
}

func (s nearby) Name() string { return "MACHINE_ROOM_NEARBY-" + s.by.Name() }

func (s nearby) Allocate(group, clientID string, queues []message.Queue, clientIDs []string) []message.Queue {
	if !slices.Contains(clientIDs, clientID) {
		return nil
	}
	queuesOf, membersOf := make(map[string][]message.Queue), make(map[string][]string)
	for _, q := range queues {
		room := s.roomOfBroker(q.Broker)
		queuesOf[room] = append(queuesOf[room], q)
	}
	for _, id := range clientIDs {
		room := s.roomOfClient(id)
		membersOf[room] = append(membersOf[room], id)
	}
	here := s.roomOfClient(clientID)
	var mine []message.Queue
	if len(queuesOf[here]) > 0 {
		mine = s.by.Allocate(group, clientID, queuesOf[here], membersOf[here])
	}
	for _, room := range slices.Sorted(maps.Keys(queuesOf)) {
		if len(membersOf[room]) == 0 { // nobody is there: all share them
			mine = append(mine, s.by.Allocate(group, clientID, queuesOf[room], clientIDs)...)
		}
	}
	return mine
}
