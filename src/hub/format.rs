//! Sizes and days as people read them.

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Bytes in the largest decimal unit that fits.
pub(crate) fn bytes(count: u64) -> String {
    bytesize::ByteSize::b(count).display().si().to_string()
}

/// The day of a time in milliseconds since 1970, in UTC.
pub(crate) fn day(milliseconds: i64) -> String {
    Timestamp::from_millisecond(milliseconds)
        .map(|time| time.to_zoned(TimeZone::UTC).strftime("%-d %B %Y").to_string())
        .unwrap_or_default()
}
