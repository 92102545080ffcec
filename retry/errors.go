package retry

import "errors"

// ErrPolicy: a policy has numbers that make no sense.
var ErrPolicy = errors.New("invalid retry policy")
