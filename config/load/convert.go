package load

import (
	"fmt"
	"math"
	"reflect"
	"strconv"
	"time"

	"github.com/go-viper/mapstructure/v2"

	"github.com/rocketkit/rocketkit/config"
)

// strict turns off mapstructure's own conversions: it would take a bare number
// for nanoseconds. A list replaces the one that is there as a whole.
func strict(c *mapstructure.DecoderConfig) {
	c.TagName = "key"
	c.WeaklyTypedInput = false
	c.ZeroFields = true
	c.IgnoreUntaggedFields = true // else a field would be taken by its name, too
}

// convert turns a value as a file or a variable has it into what the field
// takes.
func convert(from, to reflect.Type, value any) (any, error) {
	text, isText := value.(string)
	switch to {
	case reflect.TypeFor[time.Duration]():
		if !isText {
			return nil, fmt.Errorf("%v has no unit; write a duration such as 3s or 500ms", value)
		}
		d, err := time.ParseDuration(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no duration such as 3s or 500ms", text)
		}
		return d, nil
	case reflect.TypeFor[config.Size]():
		if isText {
			return config.ParseSize(text)
		}
		if n := reflect.ValueOf(value); n.CanInt() && n.Int() < 0 || n.CanFloat() && n.Float() < 0 {
			return nil, fmt.Errorf("%v is no size; it is negative", value)
		}
		return value, whole(value, math.MaxInt64)
	case reflect.TypeFor[[]string]():
		if isText {
			return config.SplitAddresses(text), nil
		}
		return value, nil
	}
	if !isText {
		switch to.Kind() {
		case reflect.Int:
			return value, whole(value, math.MaxInt)
		case reflect.Float64:
			return value, finite(value)
		}
		return value, nil
	}
	switch to.Kind() {
	case reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Errorf("%q is no whole number", text)
		}
		return n, nil
	case reflect.Float64:
		f, err := strconv.ParseFloat(text, 64)
		if err != nil || finite(f) != nil {
			return nil, fmt.Errorf("%q is no number", text)
		}
		return f, nil
	case reflect.Bool:
		switch text {
		case "true", "yes", "on", "1":
			return true, nil
		case "false", "no", "off", "0":
			return false, nil
		}
		return nil, fmt.Errorf("%q is neither true nor false", text)
	}
	return value, nil
}

// whole refuses a number that an integer up to largest cannot hold: mapstructure would
// make another of it.
func whole(value any, largest uint64) error {
	switch n := reflect.ValueOf(value); {
	case n.CanFloat() && n.Float() != math.Trunc(n.Float()):
		return fmt.Errorf("%v is no whole number", value)
	case n.CanFloat() && math.Abs(n.Float()) >= float64(largest),
		n.CanUint() && n.Uint() > largest:
		return fmt.Errorf("%v is out of range", value)
	}
	return nil
}

// finite refuses what is no number: .nan and .inf of YAML and TOML.
func finite(value any) error {
	if f, ok := value.(float64); ok && (math.IsNaN(f) || math.IsInf(f, 0)) {
		return fmt.Errorf("%v is no number", value)
	}
	return nil
}
