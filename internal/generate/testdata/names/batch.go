package names

import (
	"github.com/rocketkit/rocketkit/consumer"
	theirs "github.com/rocketkit/rocketkit/internal/generate/testdata/names/consumer"
)

type batch = consumer.Batch[*theirs.Order]
