package broker

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/broker-lite/internal/vfs"
	"github.com/rocketkit/rocketkit/internal/protocol"
)

// Code 28 GET_BROKER_RUNTIME_INFO (AdminBrokerProcessor, StoreStatsService): a
// table of figures, whose names and forms are what mqadmin's brokerStatus and
// clusterList, and the dashboard, read. 4.9 lacks brokerActive and the timer's.
// Figures of Apache's that have no meaning here (thread pools, buffers) are those
// of an idle broker.
//
// And code 905 NOTIFY_MIN_BROKER_ID_CHANGE, which a 5.x name server with
// notifyMinBrokerIdChanged sends to the brokers of a name when one comes or goes. A
// master acts on it by telling its slaves, and here are none.

func (b *Broker) runtimeHandlers() handlers {
	return handlers{
		protocol.GetBrokerRuntimeInfo:    b.at(b.runtimeInfo),
		protocol.NotifyMinBrokerIDChange: b.at(func(*peer, *protocol.Command) answer { return answer{} }),
	}
}

func (b *Broker) runtimeInfo(*peer, *protocol.Command) answer {
	st, err := b.store.Stats()
	if err != nil {
		return failed(err)
	}
	table := map[string]string{
		"brokerActive":                    "true",
		"brokerVersionDesc":               "V5_4_0",
		"bootTimestamp":                   strconv.FormatInt(b.stats.started.UnixMilli(), 10),
		"runtime":                         formatRuntime(time.Since(b.stats.started)),
		"startAcceptSendRequestTimeStamp": "0",
		"earliestMessageTimeStamp":        strconv.FormatInt(b.earliest(st.MinPhysicalOffset), 10),
		"commitLogMinOffset":              strconv.FormatInt(st.MinPhysicalOffset, 10),
		"commitLogMaxOffset":              strconv.FormatInt(st.MaxPhysicalOffset, 10),
		"commitLogDirCapacity":            fmt.Sprintf("Total : %s, Free : %s.", humanBytes(st.Space.Total), humanBytes(st.Space.Free)),
		"remainHowManyDataToFlush":        humanBytes(st.MaxPhysicalOffset - st.DurablePhysicalOffset),
		"dispatchBehindBytes":             "0",
		"dispatchMaxBuffer":               "0",
		"pageCacheLockTimeMills":          "0",
		"remainTransientStoreBufferNumbs": strconv.Itoa(math.MaxInt32),
	}
	used := usedRatio(st.Space)
	table["commitLogDiskRatio"], table["consumeQueueDiskRatio"] = used, used
	table["commitLogDiskRatio_"+b.config.CommitLogDir()] = used
	b.addTraffic(table)
	b.addDelays(table)
	for _, pool := range []string{"send", "pull", "litePull", "query", "ack"} {
		table[pool+"ThreadPoolQueueSize"] = "0"
		table[pool+"ThreadPoolQueueCapacity"] = "0"
		table[pool+"ThreadPoolQueueHeadWaitTimeMills"] = "0"
	}
	table["EndTransactionQueueSize"], table["EndTransactionThreadPoolQueueCapacity"] = "0", "0"
	return encoded(protocol.KVTable{Table: table})
}

func (b *Broker) addTraffic(table map[string]string) {
	s := &b.stats
	puts, gets := s.puts.Load(), s.gets.Load()
	for name, n := range map[string]int64{
		"putMessageTimesTotal": max(puts, 1), "putMessageSizeTotal": s.putBytes.Load(), "putMessageFailedTimes": s.putFailures.Load(),
		"putMessageEntireTimeMax": 0, "getMessageEntireTimeMax": 0,
		"msgPutTotalTodayNow": puts, "msgPutTotalTodayMorning": 0, "msgPutTotalYesterdayMorning": 0,
		"msgGetTotalTodayNow": gets, "msgGetTotalTodayMorning": 0, "msgGetTotalYesterdayMorning": 0,
	} {
		table[name] = strconv.FormatInt(n, 10)
	}
	table["putMessageAverageSize"] = javaDouble(float64(s.putBytes.Load()) / float64(max(puts, 1)))
	table["putMessageDistributeTime"] = noPutTimes
	table["putLatency99"], table["putLatency999"] = "0.00", "0.00"
	table["putTps"] = s.rates(func(c counts) int64 { return c.puts })
	table["getTransferredTps"] = s.rates(func(c counts) int64 { return c.gets })
	table["getTransferedTps"] = table["getTransferredTps"] // as 4.9 spells it; its clusterList fails without
	table["getFoundTps"] = s.rates(func(c counts) int64 { return c.found })
	table["getMissTps"] = s.rates(func(c counts) int64 { return c.missed })
	table["getTotalTps"] = s.rates(func(c counts) int64 { return c.found + c.missed })
}

func (b *Broker) addDelays(table map[string]string) {
	for i, o := range b.schedule.Offsets() {
		if o[1] > 0 {
			table["scheduleMessageOffset_"+strconv.Itoa(i+1)] = fmt.Sprintf("%d,%d", o[0], o[1])
		}
	}
	table["timerReadBehind"], table["timerOffsetBehind"], table["timerCongestNum"] = "0", "0", "0"
	table["timerEnqueueTps"], table["timerDequeueTps"] = "0.0", "0.0"
}

// earliest is the store time of the oldest record, now without any.
func (b *Broker) earliest(phys int64) int64 {
	raw, err := b.store.ReadRecord(phys)
	var r protocol.Record
	if err == nil {
		_, err = protocol.DecodeRecord(raw, &r)
	}
	if err != nil {
		return b.clock.Now().UnixMilli()
	}
	return r.StoreTimestamp
}

// noPutTimes are the buckets of StoreStatsService, which nothing is counted in.
const noPutTimes = "[<=0ms]:0 [0~10ms]:0 [10~50ms]:0 [50~100ms]:0 [100~200ms]:0 [200~500ms]:0 [500ms~1s]:0 [1~2s]:0 [2~3s]:0 [3~4s]:0 [4~5s]:0 [5~10s]:0 [10s~]:0 "

// usedRatio is UtilAll.getDiskPartitionSpaceUsedPercent: what is used, of what this
// process could use, in whole percents rounded up.
func usedRatio(s vfs.Space) string {
	used := s.Total - s.Free
	all := used + s.Available
	if s.Total <= 0 || all <= 0 {
		return "-1.0" // not known
	}
	return javaDouble(float64((used*100+all-1)/all) / 100)
}

// javaDouble is Double.toString for what is neither huge nor tiny.
func javaDouble(f float64) string {
	text := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(text, ".") {
		text += ".0"
	}
	return text
}

func formatRuntime(d time.Duration) string {
	s := int64(d / time.Second)
	return fmt.Sprintf("[ %d days, %d hours, %d minutes, %d seconds ]", s/86400, s/3600%24, s/60%60, s%60)
}

// humanBytes is MixAll.humanReadableByteCount.
func humanBytes(n int64) string {
	if n < 1024 {
		return strconv.FormatInt(n, 10) + " B"
	}
	f := float64(n)
	unit := -1
	for ; f >= 1024 && unit < 5; unit++ {
		f /= 1024
	}
	return fmt.Sprintf("%.1f %ciB", f, "KMGTPE"[unit])
}
