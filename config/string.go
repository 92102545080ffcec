package config

import (
	"fmt"
	"log/slog"
	"reflect"
	"strings"
)

// String shows what is set in c by its keys, without the secrets.
func (c Config) String() string {
	var parts []string
	describe(reflect.ValueOf(c), "", &parts)
	return strings.Join(parts, " ")
}

// LogValue shows c without the secrets.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

func describe(v reflect.Value, key string, parts *[]string) {
	if v.IsZero() {
		return
	}
	switch _, text := v.Interface().(fmt.Stringer); {
	case v.Kind() == reflect.Pointer:
		*parts = append(*parts, fmt.Sprintf("%s=%v", key, v.Elem())) // set, though perhaps to 0 or false
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
		for i := range v.Len() {
			describe(v.Index(i), fmt.Sprintf("%s[%d]", key, i), parts)
		}
	case v.Kind() == reflect.Struct && (!text || key == ""):
		for i := range v.NumField() {
			name := v.Type().Field(i).Tag.Get("key")
			if key != "" {
				name = key + "." + name
			}
			describe(v.Field(i), name, parts)
		}
	default:
		*parts = append(*parts, fmt.Sprintf("%s=%v", key, v))
	}
}
