package load

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/go-viper/mapstructure/v2"
	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"

	"github.com/rocketkit/rocketkit/config"
)

// Option says where a configuration comes from.
type Option func(*sources)

type sources struct {
	files    []source
	environ  []string
	sections []*section
	sets     []entry
	logger   *slog.Logger // a Watcher's
}

type source struct {
	name, format string
	data         []byte // nil: read the file
}

// File reads a file, by its extension .yaml, .yml, .toml, .json or .properties.
// Of several files the later wins, key by key; lists are replaced as a whole.
func File(path string) Option {
	return func(s *sources) {
		s.files = append(s.files, source{name: path, format: strings.TrimPrefix(strings.ToLower(filepath.Ext(path)), ".")})
	}
}

// Data reads a text in one of File's formats, such as "yaml", from name.
func Data(name, format string, data []byte) Option {
	return func(s *sources) {
		s.files = append(s.files, source{name: name, format: format, data: append([]byte{}, data...)})
	}
}

// Environ takes variables ("NAME=value") instead of the process's.
func Environ(environ []string) Option {
	return func(s *sources) { s.environ = append([]string{}, environ...) }
}

// gather is what opts say.
func gather(opts []Option) sources {
	src := sources{environ: os.Environ(), logger: slog.New(slog.DiscardHandler)}
	for _, o := range opts {
		o(&src)
	}
	return src
}

// Load reads the configuration. Every mistake in it is reported, joined; what is
// merely missing is left to config.Config.Validate, so that an application can
// fill it in.
func Load(opts ...Option) (config.Config, error) {
	src := gather(opts)
	for _, o := range src.sections {
		if o.err == nil {
			o.refresh()
		}
	}
	c, own, err := src.load()
	if err != nil {
		return config.Config{}, err
	}
	for i, o := range src.sections {
		o.into.Set(own[i])
		o.loaded = own[i]
	}
	return c, nil
}

// load reads the client's configuration and what the application's sections say.
func (s *sources) load() (c config.Config, own []reflect.Value, err error) {
	var errs []error
	names := map[string]bool{}
	for _, o := range s.sections {
		if errs = append(errs, o.err); names[o.name] {
			errs = append(errs, fmt.Errorf("config: section %q is read twice; give load.Section one name once", o.name))
		}
		names[o.name] = true
	}
	if err := errors.Join(errs...); err != nil {
		return c, nil, err
	}
	forms := s.forms()
	if err := errors.Join(alike(forms)...); err != nil {
		return c, nil, err
	}
	trees := make([]tree, len(forms))
	for i := range trees {
		trees[i] = newTree()
	}
	for _, f := range s.files {
		got, err := f.read(forms)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for i, t := range trees {
			merge(t.keys, got[i].keys)
			for path := range got[i].from {
				t.from[path] = f.name
			}
		}
	}
	for i, f := range forms {
		errs = append(errs, f.overlay(trees[i], s.environ, forms)...)
	}
	set, wrong := override(trees, forms, s.sets)
	errs = append(errs, wrong...)
	errs = append(errs, trees[0].decode("", &c))
	for i, o := range s.sections {
		v, err := o.decoded(trees[i+1])
		own, errs = append(own, v), append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return c, nil, err
	}
	if c.NameServers = config.SplitAddresses(c.NameServers...); len(c.NameServers) == 0 && !set["name_servers"] {
		c.NameServers = config.SplitAddresses(lookup(s.environ, config.EnvNameServers))
	}
	return c, own, nil
}

// tree is what is said of a form's keys, and where.
type tree struct {
	keys map[string]any
	from map[string]string // by path: a file, variable or flag
}

func newTree() tree { return tree{map[string]any{}, map[string]string{}} }

// insert puts a value at its path.
func (t tree) insert(path string, v any, from string) error {
	t.from[path] = from
	return insert(t.keys, path, v)
}

// delimiter keeps viper from taking keys apart: Java properties, and topics,
// have dots.
const delimiter = "\x1f"

func formats() []string { return []string{"yaml", "yml", "toml", "json", "properties"} }

// read returns a file's keys as trees of known ones, one for each form.
func (f source) read(forms []*form) ([]tree, error) {
	settings, err := f.parse()
	if err != nil {
		return nil, err
	}
	trees, errs := normalise(settings, forms)
	for i, err := range errs {
		errs[i] = fmt.Errorf("config %s: %w", f.name, err)
	}
	return trees, errors.Join(errs...)
}

// parse returns a file's keys as they stand there.
func (f source) parse() (map[string]any, error) {
	if !slices.Contains(formats(), f.format) {
		return nil, fmt.Errorf("config %s: unknown format %q; want one of %s", f.name, f.format, strings.Join(formats(), ", "))
	}
	data := f.data
	if data == nil {
		var err error
		if data, err = os.ReadFile(f.name); err != nil {
			return nil, fmt.Errorf("config: %w", err)
		}
	}
	if f.format == "yaml" || f.format == "yml" {
		if err := oneDocument(data); err != nil {
			return nil, fmt.Errorf("config %s: %w", f.name, err)
		}
	}
	codecs := viper.NewCodecRegistry()
	if err := codecs.RegisterCodec("properties", properties{}); err != nil {
		return nil, fmt.Errorf("config %s: %w", f.name, err)
	}
	if err := capitals(codecs, f.format, data); err != nil {
		return nil, fmt.Errorf("config %s: %w", f.name, err)
	}
	v := viper.NewWithOptions(viper.KeyDelimiter(delimiter), viper.WithCodecRegistry(codecs))
	v.SetConfigType(f.format)
	if err := v.ReadConfig(bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("config %s: %w", f.name, err)
	}
	return v.AllSettings(), nil
}

// capitals refuses keys that differ by capitals only: viper would take any one of them.
func capitals(codecs viper.CodecRegistry, format string, data []byte) error {
	decoder, err := codecs.Decoder(format)
	if err != nil {
		return err
	}
	raw := map[string]any{}
	if decoder.Decode(data, raw) != nil {
		return nil // viper says it, too
	}
	return errors.Join(sameInSmall("", raw)...)
}

func sameInSmall(at string, v any) (errs []error) {
	switch v := v.(type) {
	case map[string]any:
		seen := map[string]string{}
		for _, k := range slices.Sorted(maps.Keys(v)) {
			small := strings.ToLower(k)
			if other, ok := seen[small]; ok {
				errs = append(errs, fmt.Errorf("%q and %q are one key; capitals do not count", at+other, at+k))
			}
			seen[small] = k
			errs = append(errs, sameInSmall(at+k+".", v[k])...)
		}
	case []any:
		for i, sub := range v {
			errs = append(errs, sameInSmall(fmt.Sprintf("%s[%d].", strings.TrimSuffix(at, "."), i), sub)...)
		}
	}
	return errs
}

// oneDocument refuses YAML of several documents, as Spring's profiles are kept: the first
// alone would be read. What is no YAML is left to who reads it.
func oneDocument(data []byte) error {
	documents := yaml.NewDecoder(bytes.NewReader(data))
	for n := 0; ; {
		var document any
		if documents.Decode(&document) != nil {
			return nil // the end, or what viper finds too
		}
		if document != nil {
			n++
		}
		if n > 1 {
			return errors.New("it holds several documents, parted by ---; give each a file of its own, and those that are wanted to load.File, in order")
		}
	}
}

// merge writes src's values over dst's.
func merge(dst, src map[string]any) {
	for k, v := range src {
		if to, ok := dst[k].(map[string]any); ok {
			if from, ok := v.(map[string]any); ok {
				merge(to, from)
				continue
			}
		}
		dst[k] = v
	}
}

// decode fills what to points to, strictly. The errors name keys of a section.
func (t tree) decode(section string, to any) error {
	v := viper.NewWithOptions(viper.KeyDelimiter(delimiter))
	if err := v.MergeConfigMap(t.keys); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return errors.Join(t.mistakes(v.UnmarshalExact(to, strict, viper.DecodeHook(convert)), section)...)
}

// mistakes takes mapstructure's error apart, one for each key.
func (t tree) mistakes(err error, section string) (errs []error) {
	var joined interface{ Unwrap() []error }
	var one *mapstructure.DecodeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &joined):
		for _, err := range joined.Unwrap() {
			errs = append(errs, t.mistakes(err, section)...)
		}
		return errs
	case errors.As(err, &one):
		key := one.Name()
		if section != "" {
			key = section + "." + key
		}
		if from := t.from[one.Name()]; from != "" {
			return []error{fmt.Errorf("config: %s: %w; it is from %s", key, one.Unwrap(), from)}
		}
		return []error{fmt.Errorf("config: %s: %w", key, one.Unwrap())}
	}
	return []error{fmt.Errorf("config: %w", err)}
}

func lookup(environ []string, name string) string {
	found := ""
	for _, e := range environ {
		if k, v, ok := strings.Cut(e, "="); ok && k == name {
			found = v
		}
	}
	return found
}
