package load

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/viper"

	"github.com/rocketkit/rocketkit/config"
)

// Option says where a configuration comes from.
type Option func(*sources)

type sources struct {
	files   []source
	environ []string
	logger  *slog.Logger // a Watcher's
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
	tree := map[string]any{}
	var errs []error
	for _, f := range src.files {
		got, err := f.read()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		merge(tree, got)
	}
	errs = append(errs, overlay(tree, src.environ)...)
	var c config.Config
	if err := decode(tree, &c); err != nil {
		errs = append(errs, err)
	}
	if err := errors.Join(errs...); err != nil {
		return config.Config{}, err
	}
	if c.NameServers = config.SplitAddresses(c.NameServers...); len(c.NameServers) == 0 {
		c.NameServers = config.SplitAddresses(lookup(src.environ, config.EnvNameServers))
	}
	return c, nil
}

// delimiter keeps viper from taking keys apart: Java properties, and topics,
// have dots.
const delimiter = "\x1f"

func formats() []string { return []string{"yaml", "yml", "toml", "json", "properties"} }

// read returns a file's keys as a tree of known ones.
func (f source) read() (map[string]any, error) {
	settings, err := f.parse()
	if err != nil {
		return nil, err
	}
	tree, errs := normalise(settings)
	for i, err := range errs {
		errs[i] = fmt.Errorf("config %s: %w", f.name, err)
	}
	return tree, errors.Join(errs...)
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
	codecs := viper.NewCodecRegistry()
	if err := codecs.RegisterCodec("properties", properties{}); err != nil {
		return nil, fmt.Errorf("config %s: %w", f.name, err)
	}
	v := viper.NewWithOptions(viper.KeyDelimiter(delimiter), viper.WithCodecRegistry(codecs))
	v.SetConfigType(f.format)
	if err := v.ReadConfig(bytes.NewReader(data)); err != nil {
		return nil, fmt.Errorf("config %s: %w", f.name, err)
	}
	return v.AllSettings(), nil
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

// decode fills c, strictly.
func decode(tree map[string]any, c *config.Config) error {
	v := viper.NewWithOptions(viper.KeyDelimiter(delimiter))
	if err := v.MergeConfigMap(tree); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if err := v.UnmarshalExact(c, strict, viper.DecodeHook(convert)); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	return nil
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
