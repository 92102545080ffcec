package codec

import "errors"

// Sentinels, for errors.Is.
var (
	// ErrType: the codec cannot serve values of that type.
	ErrType = errors.New("type does not fit the codec")
	// ErrUnknown: no codec has that name.
	ErrUnknown = errors.New("unknown codec")
)
