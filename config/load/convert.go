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
		if f, ok := value.(float64); ok && f != math.Trunc(f) {
			return nil, fmt.Errorf("%v is no whole number of bytes", f)
		}
		return value, nil
	case reflect.TypeFor[[]string]():
		if isText {
			return config.SplitAddresses(text), nil
		}
		return value, nil
	}
	if f, ok := value.(float64); ok && to.Kind() == reflect.Int && f != math.Trunc(f) {
		return nil, fmt.Errorf("%v is no whole number", f)
	}
	if !isText {
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
		if err != nil || math.IsNaN(f) {
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
