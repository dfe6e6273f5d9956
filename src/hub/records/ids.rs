//! New ids, and the format of our ids: upper-case ULIDs, which begin with their creation time.

use jiff::Timestamp;

use super::Error;

/// A new id.
pub(crate) fn new_id<T: From<String>>(now: Timestamp) -> Result<T, Error> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|error| Error::Random(error.to_string()))?;
    Ok(T::from(ulid_of(now, u128::from_be_bytes(random))))
}

/// A lower bound for ids created at `time` or later.
pub(crate) fn first_id(time: Timestamp) -> String {
    ulid_of(time, 0)
}

/// When an id of ours was made.
pub(super) fn time_of(id: &str) -> Option<Timestamp> {
    let made = ulid::Ulid::from_string(id).ok()?.timestamp_ms();
    Timestamp::from_millisecond(i64::try_from(made).ok()?).ok()
}

fn ulid_of(time: Timestamp, random: u128) -> String {
    let milliseconds = u64::try_from(time.as_millisecond()).unwrap_or_default();
    ulid::Ulid::from_parts(milliseconds, random).to_string()
}

/// Whether `text` has the shape of an id.
pub(crate) fn is_id(text: &str) -> bool {
    text.len() == 26 && text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_upper_case_ulids_in_the_order_of_their_times() {
        let now = Timestamp::from_millisecond(1_700_000_000_000).unwrap();
        let id: String = new_id(now).unwrap();
        assert!(is_id(&id));
        assert!(first_id(now) <= id && id < first_id(now + jiff::SignedDuration::from_millis(1)));
        assert!(!is_id("favicon.ico"));
        assert_eq!((time_of(&id), time_of("favicon.ico")), (Some(now), None));
    }
}
