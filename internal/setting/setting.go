package setting

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/rocketkit/rocketkit/internal/pacing"
)

// Keys of settings.
const (
	Topic       = "topic"
	Tags        = "tags"
	SQL         = "sql"
	Concurrency = "concurrency"
	Retries     = "retries"
	Codec       = "codec"
	Name        = "name"
	Timeout     = "timeout"
	Batch       = "batch"
	BatchWait   = "batch_wait"
	RateLimit   = "rate_limit"
	KillSwitch  = "kill_switch"
)

// Keys are all of them.
func Keys() []string {
	return []string{Topic, Tags, SQL, Concurrency, Retries, Codec, Name, Timeout, Batch, BatchWait, RateLimit, KillSwitch}
}

// Value is what a setting says, in the field of its kind.
type Value struct {
	Text     string        // topic, tags, sql, codec, name
	Int      int           // concurrency, retries, batch
	Float    float64       // rate_limit
	Duration time.Duration // timeout, batch_wait
	Switch   Switch        // kill_switch
}

// Switch is a kill switch; zero values are its defaults.
type Switch struct {
	Ratio            float64
	AtLeast          int
	Window, PauseFor time.Duration
}

// Parse reads a setting's value, without placeholders. The error begins with what
// is wrong and ends with the remedy; the key is for the caller to name.
func Parse(key, text string) (Value, error) {
	text = strings.TrimSpace(text)
	v := Value{Text: text}
	var err error
	switch key {
	case Concurrency, Batch:
		if v.Int, err = strconv.Atoi(text); err != nil || v.Int < 1 {
			return v, fmt.Errorf("is %q; write a number from 1 on", text)
		}
	case Retries:
		if v.Int, err = strconv.Atoi(text); err != nil || v.Int < 0 {
			return v, fmt.Errorf("is %q; write a number from 0 (dead-letter the first failure) on", text)
		}
	case Timeout:
		if v.Duration, err = time.ParseDuration(text); err != nil || v.Duration <= 0 {
			return v, fmt.Errorf("is %q; write a duration such as 30s or 15m", text)
		}
	case BatchWait:
		if v.Duration, err = time.ParseDuration(text); err != nil || v.Duration < 0 {
			return v, fmt.Errorf("is %q; write a duration such as 100ms", text)
		}
	case RateLimit:
		if v.Float, err = strconv.ParseFloat(text, 64); err != nil || !pacing.Fits(v.Float) {
			return v, fmt.Errorf("is %q; write messages a second, such as 100 or 0.5", text)
		}
	case KillSwitch:
		if v.Switch, err = parseSwitch(text); err != nil {
			return v, fmt.Errorf("is %q: %w; write on, or some of ratio=0.5 at_least=20 window=1m pause_for=1m", text, err)
		}
	}
	return v, nil
}

// parseSwitch reads "on" or pairs.
func parseSwitch(text string) (Switch, error) {
	var s Switch
	if text == "on" {
		return s, nil
	}
	if text == "" {
		return s, errors.New("it says nothing")
	}
	for _, pair := range strings.Fields(text) {
		key, value, _ := strings.Cut(pair, "=")
		ok := false
		var err error
		switch key {
		case "ratio":
			s.Ratio, err = strconv.ParseFloat(value, 64)
			ok = s.Ratio > 0 && s.Ratio <= 1
		case "at_least":
			s.AtLeast, err = strconv.Atoi(value)
			ok = s.AtLeast > 0
		case "window":
			s.Window, err = time.ParseDuration(value)
			ok = s.Window > 0
		case "pause_for":
			s.PauseFor, err = time.ParseDuration(value)
			ok = s.PauseFor > 0
		default:
			return s, fmt.Errorf("%q is not known", key)
		}
		if err != nil || !ok {
			return s, fmt.Errorf("%q has no such value", pair)
		}
	}
	return s, nil
}
