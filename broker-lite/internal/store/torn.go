package store

import "bytes"

// Where a power cut tears a write, the file has zeros: in whole sectors, or up to its end.
// The body has a CRC, the topic no NUL, and without its length the parts do not add up. But
// properties may have a NUL by right, as on Apache. looksTorn refuses those that a tear
// may make, wherever the record comes to lie, so that torn knows that the others were
// written so.

// sectorSize is the least that a disk writes.
const sectorSize = 512

var zeroSector [sectorSize]byte

// looksTorn reports that properties end with a NUL, or have so many in a row that, with
// the two bytes of their length, they may be all that a sector has of the record.
func looksTorn(props []byte) bool {
	if bytes.IndexByte(props, 0) < 0 {
		return false
	}
	return props[len(props)-1] == 0 || bytes.Contains(props, zeroSector[:sectorSize-2])
}

// torn reports that the properties at the end of a record, which lies at an offset of its
// file, have lost a sector or their end.
func torn(record []byte, props int, offset int64) bool {
	if bytes.IndexByte(record[len(record)-props:], 0) < 0 {
		return false
	}
	if record[len(record)-1] == 0 {
		return true
	}
	from := offset + int64(len(record)-props-2) // with their length
	for sector := (from + sectorSize - 1) / sectorSize * sectorSize; ; sector += sectorSize {
		left := record[min(sector-offset, int64(len(record))):]
		if len(left) == 0 {
			return false
		}
		left = left[:min(len(left), sectorSize)]
		if bytes.Equal(left, zeroSector[:len(left)]) {
			return true
		}
	}
}
