// Package retention deletes old log, and watches the disk, as Apache's
// CleanCommitLogService and CleanConsumeQueueService do.
//
// Commit log files whose last write is older than fileReservedTime, by the
// broker's clock, are deleted in the hours of deleteWhen, and at once when a
// volume of the store is fuller than diskMaxUsedSpaceRatio or
// diskSpaceCleanForciblyRatio. Above the latter the oldest files go though they
// have not expired, unless cleanFileForciblyEnable is off. The last file always
// stays. Log that delayed messages still need does not expire: Apache moves those
// to the log's end every two days.
//
// Above diskMaxUsedSpaceRatio the store takes no messages. A goroutine looks every
// cleanResourceInterval, by package time: no append does.
package retention
