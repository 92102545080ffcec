package generate

import (
	"cmp"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"

	"github.com/rocketkit/rocketkit/internal/nearest"
	"github.com/rocketkit/rocketkit/internal/setting"
	"github.com/rocketkit/rocketkit/message"
)

const module = "github.com/rocketkit/rocketkit"

// model is what a package's directives say.
type model struct {
	*source
	wire   bool
	owners []*owner
}

// owner is a type with annotated methods, or the package with its functions.
type owner struct {
	name     string // "" for the package's functions
	pointer  bool   // some of the methods need a pointer
	handlers []*handler
	kinds    []*kind
	group    string // of the kinds
	options  bool   // some of the kinds' topics have placeholders
}

// handler is a function with a directive listener or dlq.
type handler struct {
	fn          string
	dead, batch bool
	typ         types.Type
	settings    map[string]string
}

// kind is a function with a directive transaction.
type kind struct {
	fn, name, topic string
	raw             bool // it takes the message, not its value
}

// reader makes the model of one package.
type reader struct {
	*loader
	*model
	mistakes *Mistakes
	names    map[*owner][]string // of handlers
	where    token.Pos           // of the directive that is read
	wireAt   token.Pos           // of the directive wire
	others   bool                // there are other directives
}

func (r *reader) mistake(format string, args ...any) { r.mistakeAt(r.where, format, args...) }

func (r *reader) mistakeAt(pos token.Pos, format string, args ...any) {
	p := r.fset.Position(pos)
	r.mistakes.add(p.Filename, p.Line, fmt.Sprintf(format, args...))
}

// read reads all directives of a package.
func (l *loader) read(s *source, mistakes *Mistakes) *model {
	r := &reader{loader: l, model: &model{source: s}, mistakes: mistakes, names: map[*owner][]string{}}
	for _, f := range s.files {
		r.readFile(f)
	}
	for _, f := range s.tests {
		for _, group := range f.Comments {
			for _, c := range group.List {
				if strings.HasPrefix(c.Text, prefix) {
					r.mistakeAt(c.Pos(), "a directive in a test file is not read; register what tests need with consumer.Handle, or move it")
				}
			}
		}
	}
	if r.wire && !r.others {
		r.mistakeAt(r.wireAt, "%s%s stands in a package without handlers; put it where they are, or remove it", prefix, wireSet)
	}
	r.checkNames()
	return r.model
}

func (r *reader) readFile(f *ast.File) {
	above := map[*ast.Comment]*ast.FuncDecl{}
	for _, d := range f.Decls {
		if fn, ok := d.(*ast.FuncDecl); ok && fn.Doc != nil {
			for _, c := range fn.Doc.List {
				above[c] = fn
			}
		}
	}
	for _, group := range f.Comments {
		for _, c := range group.List {
			r.where = c.Pos()
			text, spaced := c.Text, false
			if trimmed := strings.TrimLeft(strings.TrimPrefix(text, "//"), " \t"); above[c] != nil && strings.HasPrefix("//"+trimmed, prefix) {
				text, spaced = "//"+trimmed, text != "//"+trimmed
			}
			switch {
			case !strings.HasPrefix(text, prefix):
			case spaced:
				r.mistake("a directive has no space after //; write %s", text)
			default:
				r.readDirective(text, above[c])
			}
		}
	}
}

func (r *reader) readDirective(text string, fn *ast.FuncDecl) {
	d, errs := parseDirective(text)
	for _, err := range errs {
		r.mistake("%v", err)
	}
	r.others = r.others || d.name != wireSet
	switch d.name {
	case wireSet:
		r.wire, r.wireAt = true, r.where
		for _, a := range d.args {
			r.mistake("%s%s takes nothing; remove %s", prefix, wireSet, a.key)
		}
		return
	case listener, dlq, transaction:
	default:
		near := map[string]string{"handler": listener, "consumer": listener, "tx": transaction, "dead": dlq, "deadletter": dlq}[strings.ToLower(d.name)]
		if near == "" {
			near = nearest.To(d.name, []string{listener, dlq, transaction, wireSet})
		}
		if near != "" {
			r.mistake("%s%s is not known; did you mean %s%s?", prefix, d.name, prefix, near)
		} else {
			r.mistake("%s%s is not known; known are listener, dlq, transaction and wire", prefix, d.name)
		}
		return
	}
	if fn == nil {
		r.mistake("%s%s stands above no function; put it directly above one, without an empty line", prefix, d.name)
		return
	}
	o, param := r.signature(fn, d.name)
	if o == nil {
		return
	}
	if d.name == transaction {
		r.readTransaction(o, &kind{fn: fn.Name.Name, name: fn.Name.Name, raw: isDelivery(param)}, d)
		return
	}
	h := &handler{fn: fn.Name.Name, dead: d.name == dlq, typ: param, settings: map[string]string{}}
	if elem := batchOf(param); elem != nil && !h.dead {
		h.batch, h.typ = true, elem
	}
	r.readSettings(h, d)
	name := cmp.Or(h.settings[setting.Name], h.fn)
	h.settings[setting.Name] = name
	if slices.Contains(r.names[o], name) {
		r.mistake("two handlers are named %q; give one another by name=", name)
	}
	r.names[o] = append(r.names[o], name)
	o.handlers = append(o.handlers, h)
}

// readSettings checks the arguments of a listener or a handler of dead letters.
func (r *reader) readSettings(h *handler, d *directive) {
	known := setting.Keys()
	if h.dead {
		known = []string{setting.Name, setting.Concurrency, setting.Timeout, setting.RateLimit, setting.KillSwitch}
	}
	slips := 0
	for _, a := range d.args {
		if !slices.Contains(known, a.key) {
			slips++
			switch remedy := setting.Remedy(a.key); {
			case h.dead:
				r.mistake("%s is not for dead letters, which are of all topics and never dead-lettered again; known are %s", a.key, strings.Join(known, ", "))
			case remedy != "":
				r.mistake("%s is not known; %s", a.key, remedy)
			default:
				r.mistake("%s is not known; known are %s", a.key, strings.Join(known, ", "))
			}
			continue
		}
		h.settings[a.key] = strings.TrimSpace(a.value)
		r.checkSetting(a.key, a.value)
	}
	if _, ok := d.value(setting.Topic); !ok && !h.dead && slips == 0 {
		r.mistake("it has no topic; add topic=…")
	}
	if h.settings[setting.SQL] != "" && h.settings[setting.Tags] != "" {
		r.mistake("it has tags and sql; RocketMQ filters a topic by one of them (SQL can test tags: TAGS = 'a')")
	}
	for _, key := range []string{setting.Batch, setting.BatchWait} {
		if _, ok := d.value(key); ok && !h.batch && !h.dead {
			r.mistake("%s is for batches, and %s takes single messages; let it take a *consumer.Batch[%s], or remove %s", key, h.fn, types.TypeString(elem(h.typ), (*types.Package).Name), key)
		}
	}
}

// elem is what one message holds of a handler that was meant to take several as a slice.
func elem(t types.Type) types.Type {
	if s, ok := t.(*types.Slice); ok && !types.Identical(s.Elem(), types.Typ[types.Byte]) {
		return s.Elem()
	}
	return t
}

// checkSetting checks a value: as it is, or as the defaults of its placeholders make it.
func (r *reader) checkSetting(key, text string) {
	unknown := func(string) (string, bool) { return "", false }
	anything := func(string) (string, bool) { return "1", true }
	if _, err := setting.Expand(text, anything); err != nil {
		r.mistake("%s: %v", key, err)
		return
	}
	value, err := setting.Expand(text, unknown)
	if err != nil {
		return // known at run time only
	}
	if _, err := setting.Parse(key, value); err != nil {
		r.mistake("%s %v", key, err)
	}
	switch value = strings.TrimSpace(value); key {
	case setting.Topic:
		if err := message.CheckTopic(value); err != nil {
			r.mistake("%v", err)
		}
	case setting.Tags:
		if _, err := setting.ParseTags([]string{value}); err != nil {
			for _, line := range strings.Split(err.Error(), "\n") {
				r.mistake("%s", line)
			}
		}
	case setting.SQL, setting.Codec, setting.Name:
		if value == "" {
			r.mistake("%s is empty; leave it out", key)
		}
	}
}

// readTransaction checks the arguments of a transaction.
func (r *reader) readTransaction(o *owner, k *kind, d *directive) {
	known := []string{"topic", "group", "name"}
	for _, a := range d.args {
		switch a.key {
		case "topic":
			k.topic = strings.TrimSpace(a.value)
			o.options = o.options || setting.HasPlaceholder(a.value)
			r.checkSetting(setting.Topic, a.value)
		case "name":
			k.name = a.value
			if setting.HasPlaceholder(a.value) {
				r.mistake("name has a placeholder; a broker asks by it, also after a release: write it out")
			}
		case "group":
			if setting.HasPlaceholder(a.value) {
				r.mistake("group has a placeholder; leave it out for the configured one (producer.group), or write it out")
				break
			}
			if o.group != "" && o.group != a.value {
				r.mistake("the transactions of one type are of one producer group, and this is of %q, another of %q; move one to a type of its own", a.value, o.group)
			}
			if err := message.CheckGroup(a.value); err != nil {
				r.mistake("%v", err)
			}
			o.group = a.value
		default:
			if near := nearest.To(a.key, known); near != "" {
				r.mistake("%s is not known; did you mean %s?", a.key, near)
			} else {
				r.mistake("%s is not known; known are %s", a.key, strings.Join(known, ", "))
			}
		}
	}
	if _, ok := d.value("topic"); !ok {
		r.mistake("it has no topic; add topic=…, which the half messages go to")
	}
	for _, other := range o.kinds {
		switch {
		case other.name == k.name:
			r.mistake("two transactions are named %q; give one another by name=", k.name)
		case exported(other.fn) == exported(k.fn):
			r.mistake("%s and %s are one name once they are exported; rename one", other.fn, k.fn)
		}
	}
	o.kinds = append(o.kinds, k)
}

// owner finds the one of a name, or makes it.
func (r *reader) owner(name string) *owner {
	for _, o := range r.owners {
		if o.name == name {
			return o
		}
	}
	o := &owner{name: name}
	r.owners = append(r.owners, o)
	return o
}
