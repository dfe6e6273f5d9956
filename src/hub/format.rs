//! Sizes and days as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Bytes in the largest decimal unit that fits.
pub(crate) fn bytes(count: u64) -> String {
    bytesize::ByteSize::b(count).display().si().to_string()
}

/// The day of a time, in UTC.
pub(crate) fn day(time: Timestamp) -> String {
    time.to_zoned(TimeZone::UTC).strftime("%-d %B %Y").to_string()
}
