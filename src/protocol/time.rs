//! Times as the protocol writes them: RFC 3339 in UTC with milliseconds, and the year 1 if there is none.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// How an unset time is written.
const UNSET: &str = "0001-01-01T00:00:00.000Z";
/// The beginning of every spelling of an unset time.
const UNSET_DAY: &str = "0001-01-01";
/// A number beyond this is milliseconds since 1970 (of 1973 and later); one below it, seconds (until the year 5138).
const LARGEST_SECONDS: u64 = 100_000_000_000;

/// A moment, or none.
///
/// ```
/// use masv_protocol::Time;
///
/// let expiry: Time = serde_json::from_str(r#""2023-11-14T22:13:20.120Z""#)?;
/// assert_eq!(expiry.as_millisecond(), Some(1_700_000_000_120));
/// assert_eq!(serde_json::to_string(&Time::UNSET)?, r#""0001-01-01T00:00:00.000Z""#);
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time(Option<Timestamp>);

/// A string that is not a time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a valid time, such as 2027-01-31 or 2027-01-31T18:00:00Z")]
pub struct InvalidTime(String);

impl Time {
    /// No time.
    pub const UNSET: Self = Self(None);

    /// The time from milliseconds since the beginning of 1970; unset for `None` and beyond the year 9999.
    #[must_use]
    pub fn from_millisecond(milliseconds: impl Into<Option<i64>>) -> Self {
        Self(milliseconds.into().and_then(|milliseconds| Timestamp::from_millisecond(milliseconds).ok()))
    }

    /// Milliseconds since the beginning of 1970, unless it is unset.
    #[must_use]
    pub fn as_millisecond(self) -> Option<i64> {
        self.0.map(Timestamp::as_millisecond)
    }

    /// The moment, unless it is unset.
    #[must_use]
    pub fn timestamp(self) -> Option<Timestamp> {
        self.0
    }

    /// The moment, if the server gives a meaningful one: some write the beginning of 1970 for unknown.
    #[must_use]
    pub fn plausible(self) -> Option<Timestamp> {
        self.0.filter(|moment| *moment > Timestamp::UNIX_EPOCH)
    }

    /// Whether it is unset.
    #[must_use]
    pub fn is_unset(self) -> bool {
        self.0.is_none()
    }

    /// The time given by a number, which may be milliseconds or seconds since 1970.
    pub(crate) fn from_number(number: i64) -> Self {
        let milliseconds = if number.unsigned_abs() > LARGEST_SECONDS { number } else { number.saturating_mul(1000) };
        Self::from_millisecond(milliseconds)
    }
}

impl From<Timestamp> for Time {
    fn from(moment: Timestamp) -> Self {
        Self(Some(moment))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(moment) => write!(formatter, "{moment:.3}"),
            None => formatter.write_str(UNSET),
        }
    }
}

impl FromStr for Time {
    type Err = InvalidTime;

    /// RFC 3339, also without a zone (then in UTC), or just a date (its first moment in UTC).
    fn from_str(text: &str) -> Result<Self, InvalidTime> {
        let text = text.trim();
        if text.starts_with(UNSET_DAY) {
            return Ok(Self::UNSET);
        }
        let spellings = [text.to_owned(), format!("{text}Z"), format!("{text}T00:00:00Z")];
        let moment = spellings.iter().find_map(|text| text.parse::<Timestamp>().ok());
        moment.map(Self::from).ok_or_else(|| InvalidTime(text.to_owned()))
    }
}

impl Serialize for Time {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Time {
    fn schema_name() -> Cow<'static, str> {
        "Time".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "RFC 3339 in UTC with milliseconds; 0001-01-01T00:00:00.000Z where it is not set",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_with_milliseconds_and_read_in_every_spelling() {
        let time = |text: &str| text.parse::<Time>().map(Time::as_millisecond);
        assert_eq!(Time::from_millisecond(1_700_000_000_120).to_string(), "2023-11-14T22:13:20.120Z");
        assert_eq!(Time::from_millisecond(None).to_string(), UNSET);
        assert_eq!(Time::from_millisecond(i64::MAX), Time::UNSET);
        assert_eq!(time("2023-11-14T22:13:20.120Z"), Ok(Some(1_700_000_000_120)));
        assert_eq!(time("2023-11-14T23:13:20.120+01:00"), Ok(Some(1_700_000_000_120)));
        assert_eq!(time("2023-11-14T22:13:20.120"), Ok(Some(1_700_000_000_120)));
        assert_eq!(time("2023-11-14"), Ok(Some(1_699_920_000_000)));
        assert_eq!(time(UNSET), Ok(None));
        assert_eq!(time("0001-01-01T00:00:00Z"), Ok(None));
        assert_eq!(time("yesterday"), Err(InvalidTime("yesterday".into())));
    }

    #[test]
    fn the_epoch_is_not_plausible() {
        assert_eq!(Time::from_millisecond(0).plausible(), None);
        assert_eq!(Time::UNSET.plausible(), None);
        assert!(Time::from_millisecond(1).plausible().is_some());
    }
}
