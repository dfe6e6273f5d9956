//! Cron expressions as people write them, prepared for the library that computes their times.
//!
//! **In**: an expression of five or six fields, or `@daily` and the like. **Out**: the expression to compute with and, where
//! it names fixed times of the day, one expression for each of them; or what is wrong with it. Pure.
//!
//! The library repeats the times of lists and spans when an hour is repeated, as it must those of `*`, and loses those in an
//! hour that is skipped. In cron, fixed times, however many, happen once: each is computed separately.

/// Maximum number of fixed times per day that are computed separately.
const MOST_TIMES: usize = 288;

/// The weekdays as the library numbers them; Sunday is 0 and 7.
const DAYS: [&str; 7] = ["sunday", "monday", "tuesday", "wednesday", "thursday", "friday", "saturday"];
const MONTHS: [&str; 12] = [
    "january",
    "february",
    "march",
    "april",
    "may",
    "june",
    "july",
    "august",
    "september",
    "october",
    "november",
    "december",
];

/// An expression that can be computed with.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Normal {
    /// The whole expression.
    pub whole: String,
    /// The same, one expression for each fixed time of the day; empty if the times are not fixed.
    pub fixed: Vec<String>,
}

/// Reads an expression.
///
/// # Errors
/// What is wrong with it that the library would interpret differently.
pub(super) fn normal(expression: &str) -> Result<Normal, String> {
    let expression = expression.trim();
    if expression.starts_with('@') {
        let whole = if expression.eq_ignore_ascii_case("@midnight") { "@daily" } else { expression };
        return Ok(Normal { whole: whole.to_owned(), fixed: Vec::new() });
    }
    let mut fields: Vec<String> = expression.split_whitespace().map(str::to_owned).collect();
    if let Some(field) = fields.iter().find(|field| field.split(',').any(str::is_empty)) {
        return Err(format!("`{field}` has an empty entry; write lists without spaces, like `8,12`"));
    }
    if !(5..=6).contains(&fields.len()) {
        let plural = if fields.len() == 1 { "" } else { "s" };
        return Err(format!("it has {} field{plural} instead of 5 or 6", fields.len()));
    }
    let first = fields.len() - 5;
    for (field, (unit, most)) in fields[first..].iter().zip([("minute", 60), ("hour", 24), ("day", 31), ("month", 12)])
    {
        let steps = field.split(',').filter_map(|part| part.split_once('/')?.1.parse::<u32>().ok());
        if let Some(step) = steps.into_iter().find(|step| *step >= most) {
            return Err(format!("the step {step} of the {unit} never occurs; there are only {most}"));
        }
    }
    fields[first + 3] = named(&fields[first + 3], &MONTHS, 1, "month")?;
    fields[first + 4] = unwrapped(&named(&fields[first + 4], &DAYS, 0, "day of the week")?);
    for (field, most) in fields.iter().zip(if first == 1 { &[59, 59, 23, 31, 12][..] } else { &[59, 23, 31, 12] }) {
        if let Some((from, to)) = field.split(',').find_map(backwards) {
            let least = u32::from(matches!(most, 31 | 12));
            return Err(format!("`{from}-{to}` runs backwards; write `{from}-{most},{least}-{to}`"));
        }
    }
    if fields[first + 4].split(',').any(|part| part.eq_ignore_ascii_case("l")) {
        return Err("`L` alone is no day of the week; write it behind one, like `friL`".to_owned());
    }
    let whole = fields.join(" ");
    Ok(Normal { fixed: fixed(&fields, first).unwrap_or_default(), whole })
}

/// What an expression probably means in Quartz, which counts the days of the week from 1, and not here: its days by number, if it is
/// written in a way that is usual there.
pub(super) fn quartz_days(expression: &str) -> Option<String> {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let (day_of_month, days) = (fields.get(fields.len().checked_sub(3)?)?, fields.last()?);
    let by_number = |part: &str| part.starts_with(|first: char| first.is_ascii_digit());
    let special = |part: &str| part.contains('#') || part.ends_with(['l', 'L']);
    let usual_there = *day_of_month == "?" || fields.contains(&"?");
    let told = days.split(',').any(|part| by_number(part) && (special(part) || usual_there));
    (told && (5..=6).contains(&fields.len())).then(|| (*days).to_owned())
}

/// Whether an expression is about the last working day of the month, which the library calls the last day.
pub(super) fn is_last_working_day(expression: &str) -> bool {
    let fields: Vec<&str> = expression.split_whitespace().collect();
    let days = fields.len().checked_sub(3).and_then(|at| fields.get(at));
    days.is_some_and(|days| days.split(',').any(|part| part.eq_ignore_ascii_case("lw")))
}

/// The field with names, short or in full, as numbers. A name of a day may have an `L` behind it.
fn named(field: &str, names: &[&str], first: usize, what: &str) -> Result<String, String> {
    let place = |lower: &str| names.iter().position(|name| lower.len() >= 3 && name.starts_with(lower));
    let number = |word: &str| {
        let lower = word.to_lowercase();
        if lower.is_empty() || lower == "l" {
            return Ok(word.to_owned());
        }
        let last = lower.strip_suffix('l').and_then(place).filter(|_| place(&lower).is_none() && first == 0);
        match (place(&lower), last) {
            (Some(place), _) => Ok((place + first).to_string()),
            (None, Some(place)) => Ok(format!("{}L", place + first)),
            (None, None) => Err(format!("`{word}` is not a {what}")),
        }
    };
    let (mut result, mut word) = (String::new(), String::new());
    for letter in field.chars() {
        if letter.is_alphabetic() {
            word.push(letter);
        } else {
            result.push_str(&number(&std::mem::take(&mut word))?);
            result.push(letter);
        }
    }
    Ok(result + &number(&word)?)
}

/// The ends of a span that runs backwards.
fn backwards(part: &str) -> Option<(u32, u32)> {
    let span = part.split_once('/').map_or(part, |(span, _)| span);
    let (from, to) = span.split_once('-')?;
    let (from, to) = (from.parse::<u32>().ok()?, to.parse::<u32>().ok()?);
    (from > to).then_some((from, to))
}

/// The weekdays with a span over the weekend, like `fri-mon`, day by day.
fn unwrapped(field: &str) -> String {
    let parts = field.split(',').map(|part| {
        let (span, step) = part.split_once('/').map_or((part, Some(1)), |(span, step)| (span, step.parse().ok()));
        match (backwards(span), step) {
            (Some((from, to)), Some(step)) if from <= 7 && step > 0 => {
                let length = (to + 7 - from % 7) % 7;
                let days = (0..=length).step_by(step).map(|day| ((from + day) % 7).to_string());
                days.collect::<Vec<_>>().join(",")
            }
            _ => part.to_owned(),
        }
    });
    parts.collect::<Vec<_>>().join(",")
}

/// One expression for each time of the day; `None` if the minute or the hour is open, or there is only one.
fn fixed(fields: &[String], first: usize) -> Option<Vec<String>> {
    let (minutes, hours) = (values(&fields[first], 59)?, values(&fields[first + 1], 23)?);
    let count = minutes.len() * hours.len();
    if !(2..=MOST_TIMES).contains(&count) {
        return None;
    }
    let mut expressions = Vec::with_capacity(count);
    for hour in &hours {
        for minute in &minutes {
            let mut fields = fields.to_vec();
            fields[first] = minute.to_string();
            fields[first + 1] = hour.to_string();
            expressions.push(fields.join(" "));
        }
    }
    Some(expressions)
}

/// The numbers of a field that does not contain `*`.
fn values(field: &str, most: u32) -> Option<Vec<u32>> {
    let mut values = Vec::new();
    for part in field.split(',') {
        let (span, step) = part.split_once('/').map_or((part, Some(1)), |(span, step)| (span, step.parse().ok()));
        let (from, to) = span.split_once('-').unwrap_or((span, span));
        let (from, to, step) = (from.parse::<u32>().ok()?, to.parse::<u32>().ok()?, step.filter(|step| *step > 0)?);
        if from > to || to > most || (part.contains('/') && !span.contains('-')) {
            return None;
        }
        values.extend((from..=to).step_by(step));
    }
    values.sort_unstable();
    values.dedup();
    Some(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(expression: &str) -> String {
        normal(expression).unwrap().whole
    }

    /// Cases: full names of days and months, `fri-mon`, and `@midnight`.
    #[test]
    fn names_and_spans_over_the_weekend_become_numbers() {
        assert_eq!(whole("0 8 * January,dec Sunday"), "0 8 * 1,12 0");
        assert_eq!(whole("0 8 * * fri-mon"), "0 8 * * 5,6,0,1");
        assert_eq!(whole("0 8 * * FRI-Monday/2"), "0 8 * * 5,0");
        assert_eq!(
            (whole("0 8 * * 7-2"), whole("0 8 * * 5-7")),
            ("0 8 * * 0,1,2".to_owned(), "0 8 * * 5-7".to_owned())
        );
        assert_eq!(whole("0 8 * apr fril,sun#2"), "0 8 * 4 5L,0#2");
        assert_eq!(whole("0 8 * * mon-fri"), "0 8 * * 1-5");
        assert_eq!(whole("0 8 L * 5L"), "0 8 L * 5L");
        assert_eq!(whole("@midnight"), "@daily");
    }

    /// Case: a list of times is a list of single times, and a step is not.
    #[test]
    fn fixed_times_are_told_one_by_one() {
        assert_eq!(normal("0 2,14 * * *").unwrap().fixed, ["0 2 * * *", "0 14 * * *"]);
        assert_eq!(normal("0,30 1-2 * * *").unwrap().fixed.len(), 4);
        assert_eq!(normal("5 0 8-10/2 * * *").unwrap().fixed, ["5 0 8 * * *", "5 0 10 * * *"]);
        for open in ["0 2 * * *", "*/5 2 * * *", "0 * * * *", "0 */2 * * *", "@hourly"] {
            assert_eq!(normal(open).unwrap().fixed, [""; 0], "{open}");
        }
    }

    /// A space after a comma turned five fields into six: daily at 12:08 instead of 8:00 and 12:00.
    #[test]
    fn what_would_be_taken_for_something_else_is_refused() {
        for (expression, why) in [
            ("0 8, 12 * * *", "`8,` has an empty entry"),
            ("0 8,,12 * * *", "empty entry"),
            ("0 8 * * mon,", "empty entry"),
            ("*/90 * * * *", "the step 90 of the minute"),
            ("0 */24 * * *", "the step 24 of the hour"),
            ("0 8 * *", "4 fields"),
            ("0 8 * Smarch *", "`Smarch` is not a month"),
            ("0 8 * * 0day", "`day` is not a day of the week"),
            ("0 8 * * Sonday", "`Sonday` is not a day of the week"),
            ("0 22-2 * * *", "`22-2` runs backwards; write `22-23,0-2`"),
            ("0 8 * nov-feb *", "`11-2` runs backwards; write `11-12,1-2`"),
            ("0 8 * * L", "like `friL`"),
        ] {
            let told = normal(expression).unwrap_err();
            assert!(told.contains(why), "{expression}: {told}");
        }
    }

    /// `6L` and `6#3` are Fridays in Quartz and Saturdays here, and nobody was told.
    #[test]
    fn days_by_number_as_quartz_writes_them_are_recognized() {
        for expression in ["0 8 * * 6L", "0 8 * * 6#3", "0 0 8 ? * 2", "0 8 ? * 2-6", "0 8 * * mon,6#1"] {
            assert!(quartz_days(expression).is_some(), "{expression}");
        }
        for expression in
            ["0 8 * * 6", "0 8 * * fri#3", "0 8 * * friL", "0 8 L * *", "0 8 ? * mon", "@daily", "0 8 ? * *"]
        {
            assert_eq!(quartz_days(expression), None, "{expression}");
        }
    }
}
