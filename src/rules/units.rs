//! Sizes and durations as people write them.

use std::time::Duration;

use bytesize::ByteSize;

/// Longest duration in a rule: 366 days.
const LONGEST: Duration = Duration::from_secs(366 * 24 * 3600);

/// Reads `10s`, `1h 30m`, `500ms`, `2d`; units are ms, s, m, h, d and w. `0` needs none.
pub(super) fn duration(text: &str) -> Result<Duration, String> {
    let mut rest = text.trim();
    if rest == "0" {
        return Ok(Duration::ZERO);
    }
    if rest.is_empty() {
        return Err("is empty".to_owned());
    }
    let mut total = Duration::ZERO;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let (number, after) = rest.split_at(digits);
        let after = after.trim_start();
        let letters = after.find(|c: char| !c.is_alphabetic()).unwrap_or(after.len());
        let (unit, after) = after.split_at(letters);
        let number: f64 = number.parse().map_err(|_| format!("`{text}` is not a duration"))?;
        let seconds = match unit.to_lowercase().as_str() {
            "ms" => 0.001,
            "s" | "sec" | "secs" | "second" | "seconds" => 1.0,
            "m" | "min" | "mins" | "minute" | "minutes" => 60.0,
            "h" | "hr" | "hrs" | "hour" | "hours" => 3600.0,
            "d" | "day" | "days" => 86400.0,
            "w" | "week" | "weeks" => 604_800.0,
            "" => return Err(format!("`{text}` has no unit")),
            _ => return Err(format!("`{unit}` is not a unit of time")),
        };
        let part = Duration::try_from_secs_f64(number * seconds).map_err(|_| format!("`{text}` is too long"))?;
        total = total.saturating_add(part);
        rest = after.trim_start_matches([' ', ',']);
    }
    if total > LONGEST { Err(format!("`{text}` is longer than a year")) } else { Ok(total) }
}

/// Reads `10MB` (decimal), `1.5GiB` (binary) or bytes.
pub(super) fn size(text: &str) -> Result<u64, String> {
    let trimmed = text.trim();
    if !trimmed.starts_with(|c: char| c.is_ascii_digit()) {
        return Err(format!("`{text}` is not a size"));
    }
    if let Ok(bytes) = trimmed.replace('_', "").parse::<u64>() {
        return Ok(bytes);
    }
    match trimmed.parse::<ByteSize>() {
        Ok(ByteSize(u64::MAX)) => Err(format!("`{text}` is too large")),
        Ok(ByteSize(bytes)) => Ok(bytes),
        Err(_) => Err(format!("`{text}` is not a size")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let seconds = |text| duration(text).map(|duration| duration.as_secs_f64());
        assert_eq!(seconds("10s"), Ok(10.0));
        assert_eq!(seconds("1h 30m"), Ok(5400.0));
        assert_eq!(seconds("1h30m"), Ok(5400.0));
        assert_eq!(seconds("1.5 minutes"), Ok(90.0));
        assert_eq!(seconds("500ms"), Ok(0.5));
        assert_eq!(seconds("2d"), Ok(172_800.0));
        assert_eq!(seconds("0"), Ok(0.0));
        for wrong in ["", "10", "s", "-5s", "5 parsecs", "1..2s", "999999w", "1e400s", "٣s"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn sizes() {
        assert_eq!(size("10MB"), Ok(10_000_000));
        assert_eq!(size("1.5GiB"), Ok(1_610_612_736));
        assert_eq!(size("64 MiB"), Ok(67_108_864));
        assert_eq!(size("104857600"), Ok(104_857_600));
        for wrong in ["", "MB", "-1", "1 parsec", "99999999999TB", "1e400", "nan"] {
            assert!(size(wrong).is_err(), "{wrong}");
        }
    }
}
