// Package compression packs and unpacks message bodies as RocketMQ's clients do:
// zlib (every version), LZ4 frames and Zstandard (5.x). It keeps encoders and
// decoders for the next body; a body that would unpack to more than a limit is
// refused before it takes the memory.
package compression
