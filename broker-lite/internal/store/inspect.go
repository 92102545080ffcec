package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/rocketkit/rocketkit/internal/protocol"
)

// ProblemKind says what is damaged, and so what can be done.
type ProblemKind string

const (
	// TornEnd: the log ends with what an interrupted write has left. Open, or
	// Repair, cuts it off.
	TornEnd ProblemKind = "torn end"
	// LogDamage: records in the middle of the log cannot be read. A copy of the
	// file helps, or Repair with a cut.
	LogDamage ProblemKind = "damaged log"
	// QueueDamage: a consume queue does not agree with the log. Repair builds the
	// queues anew.
	QueueDamage ProblemKind = "damaged queue"
)

// Problem is one place that is damaged.
type Problem struct {
	Kind ProblemKind `json:"kind"`
	File string      `json:"file"`
	// Offset and End are physical offsets for the log: the first byte that is
	// damaged, and the next record. For a queue Offset is the queue offset.
	Offset int64  `json:"offset"`
	End    int64  `json:"end,omitempty"`
	Reason string `json:"reason"`
	// Lost are the records that the consume queues know of in there.
	Lost []LostRange `json:"lost,omitempty"`

	gap bool // a file is missing
}

// LostRange are queue offsets whose records are gone: From to To-1.
type LostRange struct {
	Topic   string `json:"topic"`
	QueueID int32  `json:"queue"`
	From    int64  `json:"from"`
	To      int64  `json:"to"`
}

// maxProblems bounds what an Inspection lists; all are counted.
const maxProblems = 1000

// Inspection is what Inspect has found.
type Inspection struct {
	Segments      int   `json:"segments"`
	First         int64 `json:"firstPhysicalOffset"`
	End           int64 `json:"endPhysicalOffset"`
	Bytes         int64 `json:"bytes"`   // of records that were verified
	Records       int64 `json:"records"` // that were verified
	Queues        int   `json:"queues"`
	Entries       int64 `json:"entries"`       // that were compared with their records
	Unindexed     int64 `json:"unindexed"`     // records whose entries the next start makes
	Unreachable   int64 `json:"unreachable"`   // records of deleted topics
	OlderFormat   bool  `json:"olderFormat"`   // the queues are of an older format: the next start builds them anew
	ProblemsFound int   `json:"problemsFound"` // may be more than are listed

	Problems []Problem `json:"problems"`
}

func (r *Inspection) add(p Problem) {
	if r.ProblemsFound++; len(r.Problems) < maxProblems {
		r.Problems = append(r.Problems, p)
	}
}

// has reports whether there are problems of a kind.
func (r *Inspection) has(kind ProblemKind) bool {
	return slices.ContainsFunc(r.Problems, func(p Problem) bool { return p.Kind == kind })
}

// Inspect reads a whole store that is closed, verifies every record and every
// consume queue entry against each other, and changes nothing. progress may be
// nil. A store that is open gives vfs.ErrLocked.
func Inspect(ctx context.Context, o Options, progress func(done, total int64)) (report *Inspection, err error) {
	s, err := openClosed(o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, s.release()) }()
	return inspect(ctx, s, progress)
}

// openClosed takes the locks of a store that exists, without recovering it.
func openClosed(o Options) (*Store, error) {
	o.setDefaults()
	if err := o.validate(); err != nil {
		return nil, err
	}
	if _, err := o.FS.Stat(o.CommitLogDir); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("no store in %s: there is no commit log %s", o.Dir, o.CommitLogDir)
		}
		return nil, err
	}
	lock, err := takeLocks(o)
	if err != nil {
		return nil, fmt.Errorf("open store %s: %w", o.Dir, err)
	}
	return newStore(o, lock), nil
}

func inspect(ctx context.Context, s *Store, progress func(done, total int64)) (*Inspection, error) {
	in := newInspector(ctx, s, progress)
	return in.report, in.run()
}

func newInspector(ctx context.Context, s *Store, progress func(done, total int64)) *inspector {
	if progress == nil {
		progress = func(int64, int64) {}
	}
	return &inspector{ctx: ctx, s: s, progress: progress, report: &Inspection{}, queues: map[queueKey]*cursor{},
		visit: func(*protocol.Record) error { return nil }, problem: func(*Problem) error { return nil }}
}

// inspector is one Inspect, or a Dump. visit gets every record that is whole, and
// problem every damaged place of the log.
type inspector struct {
	ctx      context.Context
	s        *Store
	progress func(done, total int64)
	report   *Inspection
	visit    func(*protocol.Record) error
	problem  func(*Problem) error
	logOnly  bool  // the queues are not looked at
	from, to int64 // commit log files that are all before from, or from to on, are passed over; 0 for none

	firsts  []int64
	check   *mark
	known   bool
	flushed int64
	queues  map[queueKey]*cursor
	missing map[queueKey]int64 // records without a queue
	told    int64              // physical offset behind the last damage of the log that was found
	sealed  bool               // the last file that was read is full
	halfway bool               // a topic was deleted behind the checkpoint: recovery ends that
}

func (in *inspector) run() error {
	if err := in.prepare(); err != nil {
		return err
	}
	for i, first := range in.firsts {
		if i+1 < len(in.firsts) && in.firsts[i+1] <= in.from || in.to > 0 && first >= in.to {
			continue
		}
		if err := in.segment(i, first); err != nil {
			return err
		}
	}
	if err := in.lostEnd(); err != nil || in.logOnly {
		return err
	}
	return in.finishQueues()
}

// lostEnd looks whether the log ends before what had been synced.
func (in *inspector) lostEnd() error {
	end := in.report.End
	if len(in.firsts) == 0 || in.to > 0 || in.flushed <= max(end, in.told) {
		return nil
	}
	p := Problem{Kind: TornEnd, File: in.s.log.path(in.firsts[len(in.firsts)-1]), Offset: end, End: in.flushed, Reason: in.wasSynced()}
	if in.sealed {
		p = Problem{Kind: LogDamage, File: in.s.log.path(end), gap: true, Offset: end, End: in.flushed,
			Reason: fmt.Sprintf("the file is missing, but the log had been stored up to %d", in.flushed)}
	}
	return in.found(p)
}

func (in *inspector) wasSynced() string {
	return fmt.Sprintf("the file has lost its end, which had been synced up to %d", in.flushed)
}

// prepare reads what is beside the log, as recovery does.
func (in *inspector) prepare() (err error) {
	s := in.s
	if in.firsts, err = listOffsets(s.opt.FS, s.log.dir); err != nil {
		return err
	}
	s.log.firsts = in.firsts
	in.report.Segments = len(in.firsts)
	if len(in.firsts) > 0 {
		in.report.First = in.firsts[0]
	}
	if in.known, err = s.mark.load(); err != nil {
		return err
	}
	if in.check, err = readCheckpoint(s.opt.FS, s.opt.Dir); err != nil {
		return err
	}
	in.flushed = s.mark.phys
	if in.check != nil {
		in.known, in.flushed = true, max(in.flushed, in.check.phys)
	}
	if len(in.firsts) == 0 && in.flushed > 0 {
		err = in.found(Problem{Kind: LogDamage, File: s.log.path(0), End: in.flushed, Reason: fmt.Sprintf("no commit log file is left, but %d bytes had been stored", in.flushed)})
		if err != nil {
			return err
		}
	}
	_, err = s.opt.FS.Stat(s.queues.dir)
	switch {
	case in.logOnly || errors.Is(err, fs.ErrNotExist):
		in.logOnly = true
		return nil
	case err != nil:
		return err
	}
	if in.check == nil {
		in.logOnly, in.report.OlderFormat = true, true
		return nil
	}
	if _, _, err := s.queues.load(s.log.min() == 0); err != nil {
		return err
	}
	in.report.Queues = len(s.queues.queues)
	in.missing = map[queueKey]int64{}
	return nil
}

// segment verifies one file, and goes on behind what is damaged.
func (in *inspector) segment(i int, first int64) (err error) {
	path := in.s.log.path(first)
	f, err := in.s.opt.FS.OpenFile(path, os.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	sc := scanner{ctx: in.ctx, file: f, path: path, first: first}
	if sc.size, err = f.Size(); err != nil {
		return err
	}
	last, whole := i == len(in.firsts)-1, sc.size == 0
	for at := first; at < first+sc.size; {
		end, sealed, damage, err := sc.scan(at, in.record)
		if err != nil {
			return err
		}
		in.report.End = end
		if damage == nil {
			if whole = sealed; !sealed && !last {
				err = in.found(Problem{Kind: LogDamage, File: path, Offset: end, End: in.firsts[i+1], Reason: "the file does not end with a blank record, but another follows"})
			}
			if err != nil {
				return err
			}
			break
		}
		if at, err = in.damaged(&sc, damage, i); err != nil {
			return err
		}
		if at < 0 {
			break
		}
	}
	if end := first + sc.size; !last && (whole && end < in.firsts[i+1] || end > in.firsts[i+1]) {
		err = in.found(Problem{Kind: LogDamage, File: path, gap: end < in.firsts[i+1], Offset: min(end, in.firsts[i+1]), End: max(end, in.firsts[i+1]),
			Reason: fmt.Sprintf("the file ends at %d but the next begins at %d", end, in.firsts[i+1])})
	}
	in.sealed = whole && sc.size > 0
	in.progress(first+sc.size-in.firsts[0], in.total())
	return err
}

// total is about how much there is to read.
func (in *inspector) total() int64 {
	n := int64(len(in.firsts))
	if n < 2 {
		return in.report.End - in.report.First
	}
	return (in.firsts[n-1] - in.firsts[0]) / (n - 1) * n
}

// found lists a damaged place of the log.
func (in *inspector) found(p Problem) error {
	in.report.add(p)
	in.told = max(in.told, p.End)
	return in.problem(&p)
}

// damaged lists damage, and says where to go on; -1 for nowhere.
func (in *inspector) damaged(sc *scanner, damage *CorruptionError, i int) (next int64, err error) {
	last := i == len(in.firsts)-1
	later, err := sc.findRecord(damage.Offset + 1)
	if err != nil {
		return -1, err
	}
	p := Problem{Kind: LogDamage, File: sc.path, Offset: damage.Offset, End: later, Reason: damage.Reason}
	switch {
	case later >= 0:
	case last:
		p.End = sc.first + sc.size
	default:
		p.End = max(sc.first+sc.size, in.firsts[i+1])
	}
	switch {
	case last && in.known && damage.Offset >= in.flushed:
		p.Kind, p.End, later = TornEnd, sc.first+sc.size, -1
	case last && later < 0:
		p.Kind = TornEnd
		if damage.Offset < in.flushed {
			p.Reason += "; " + in.wasSynced()
			p.End = max(p.End, in.flushed)
		}
	}
	return later, in.found(p)
}

// record is called for each record that is whole.
func (in *inspector) record(sc *scanner, rec *protocol.Record) error {
	in.report.Records++
	in.report.Bytes += int64(rec.Size)
	if in.report.Records%(1<<16) == 0 {
		in.progress(rec.PhysicalOffset-in.report.First, max(in.total(), rec.PhysicalOffset-in.report.First))
	}
	if err := in.visit(rec); err != nil {
		return err
	}
	if in.logOnly {
		return nil
	}
	if topic, ok := deletedTopic(rec); ok {
		return in.deletion(topic, rec.PhysicalOffset)
	}
	if rec.Topic == noteTopic {
		return nil
	}
	return in.compare(sc, rec)
}

// openProblem finds the damage of the log that holds a physical offset.
func (r *Inspection) openProblem(phys int64) *Problem {
	for i := range r.Problems {
		if p := &r.Problems[i]; p.Kind != QueueDamage && phys >= p.Offset && phys < p.End {
			return p
		}
	}
	return nil
}

// lose notes that an entry's record is in damaged log.
func (p *Problem) lose(q *queue, offset int64) {
	if n := len(p.Lost); n > 0 {
		if l := &p.Lost[n-1]; l.Topic == q.topic && l.QueueID == q.id && l.To == offset {
			l.To++
			return
		}
	}
	p.Lost = append(p.Lost, LostRange{q.topic, q.id, offset, offset + 1})
}

// String names the offsets as people write them.
func (l LostRange) String() string {
	if l.To == l.From+1 {
		return fmt.Sprintf("topic %s queue %d offset %d", l.Topic, l.QueueID, l.From)
	}
	return fmt.Sprintf("topic %s queue %d offsets %d to %d", l.Topic, l.QueueID, l.From, l.To-1)
}

// String is one line.
func (p *Problem) String() string {
	switch p.Kind {
	case QueueDamage:
		return fmt.Sprintf("%s: %s: queue offset %d: %s", p.Kind, p.File, p.Offset, p.Reason)
	}
	text := fmt.Sprintf("%s: %s: physical offsets %d to %d (%d bytes): %s", p.Kind, p.File, p.Offset, p.End, p.End-p.Offset, p.Reason)
	if len(p.Lost) > 0 {
		text += "; lost: " + listLost(p.Lost)
	}
	return text
}

func listLost(list []LostRange) string {
	var all []string
	for _, l := range list {
		all = append(all, l.String())
	}
	return strings.Join(all, ", ")
}

// queueFileOf names the file of a queue's entry.
func queueFileOf(q *queue, offset int64) string {
	for i := len(q.files) - 1; i >= 0; i-- {
		if q.files[i] <= offset {
			return q.path(q.files[i])
		}
	}
	return filepath.Join(q.dir, offsetName(0))
}
