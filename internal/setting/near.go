package setting

import (
	"strings"

	"github.com/rocketkit/rocketkit/internal/nearest"
)

// Remedy says what a key stands for that is none: "did you mean tags?". It is "" when
// the key is probably another package's. also are further keys that there are.
func Remedy(key string, also ...string) string {
	plain := strings.NewReplacer("_", "", "-", "").Replace(strings.ToLower(key))
	if remedy := elsewhere()[plain]; remedy != "" {
		return remedy
	}
	keys := append(Keys(), also...)
	for edits := range 2 { // with more, yaml would be name
		for _, known := range keys {
			if nearest.Distance(plain, strings.ReplaceAll(known, "_", "")) == edits {
				return "did you mean " + known + "?"
			}
		}
	}
	return ""
}

// elsewhere are what the settings are called in rocketmq-spring and in other parts of
// this module, in small letters and without hyphens and underscores.
func elsewhere() map[string]string {
	const (
		order   = "order belongs to the group: give consumer.Ordered or consumer.OrderedBy to consumer.NewMux, or set order in the group's configuration"
		model   = "the model belongs to the group: give consumer.Broadcast to consumer.NewMux, or set model in the group's configuration"
		backoff = "a back-off is code: give consumer.Retry(retry.Exponential(…)) to consumer.NewMux or consumer.ForHandler"
		enabled = "give consumer.Disable to consumer.NewMux, or set enabled in the handler's configuration"
	)
	did := func(key string) string { return "did you mean " + key + "?" }
	return map[string]string{
		"destination":                        did(Topic),
		"tag":                                did(Tags),
		"selectorexpression":                 "did you mean tags, or sql for an SQL92 expression?",
		"expression":                         "did you mean tags, or sql for an SQL92 expression?",
		"selectortype":                       "remove it: an SQL92 expression is written in sql, tags in tags",
		"sql92":                              did(SQL),
		"filter":                             "did you mean tags, or sql for an SQL92 expression?",
		"consumethreadnumber":                did(Concurrency),
		"consumethreadmax":                   did(Concurrency),
		"consumethreadmin":                   did(Concurrency),
		"threads":                            did(Concurrency),
		"workers":                            did(Concurrency),
		"retry":                              did(Retries),
		"maxretries":                         did(Retries),
		"maxreconsumetimes":                  did(Retries),
		"converter":                          did(Codec),
		"consumetimeout":                     did(Timeout),
		"batchsize":                          did(Batch),
		"consumemessagebatchmaxsize":         did(Batch),
		"rate":                               did(RateLimit),
		"group":                              "the group is the Mux's, see consumer.NewMux",
		"consumergroup":                      "the group is the Mux's, see consumer.NewMux",
		"order":                              order,
		"ordered":                            order,
		"orderly":                            order,
		"consumemode":                        order,
		"model":                              model,
		"messagemodel":                       model,
		"broadcast":                          model,
		"backoff":                            backoff,
		"delaylevelwhennextconsume":          backoff,
		"suspendcurrentqueuetimemillis":      "it belongs to the group: give consumer.Suspend to consumer.NewMux, or set suspend in the group's configuration",
		"awaitterminationmilliswhenshutdown": "it belongs to the group: give consumer.ShutdownTimeout to consumer.NewMux, or set shutdown_timeout in the group's configuration",
		"enabled":                            enabled,
		"autostartup":                        enabled,
	}
}
