//! Everything that is printed: tables and words for people, JSON for programs.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::ValueEnum;
use serde::Serialize;

use super::error::CliError;
pub(super) use super::table::{Cell, Mood};
use super::table::{Column, lay_out, shortened};

/// How wide a terminal is that does not say it.
const USUAL_COLUMNS: usize = 80;

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    #[value(alias = "table")]
    Text,
    /// For programs.
    Json,
    /// For spreadsheets; only for lists.
    Csv,
}

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    format: Format,
    /// The format was given explicitly.
    asked_for: bool,
}

impl Output {
    pub(super) fn new(format: Option<Format>) -> Self {
        let usual = if std::io::stdout().is_terminal() { Format::Text } else { Format::Json };
        Self { format: format.unwrap_or(usual), asked_for: format.is_some() }
    }

    /// The same, but text unless another format was requested: for output that is one word, to be redirected to a file.
    pub(super) fn usually_text(self) -> Self {
        if self.asked_for { self } else { Self { format: Format::Text, ..self } }
    }

    pub(super) fn is_json(self) -> bool {
        self.format == Format::Json
    }

    pub(super) fn is_csv(self) -> bool {
        self.format == Format::Csv
    }

    /// Text as it is, to standard output.
    pub(super) fn raw(self, text: &str) {
        // A closed pipe is the reader's choice, not an error.
        let _ = anstream::stdout().write_all(text.as_bytes());
    }

    /// One or more lines for people; nothing in JSON. Names in it may contain anything.
    pub(super) fn line(self, text: &str) {
        self.styled(&visible_lines(text));
    }

    fn styled(self, text: &str) {
        if self.format == Format::Text {
            let _ = writeln!(anstream::stdout(), "{text}");
        }
    }

    /// A line for people that starts with a coloured mark; nothing in JSON.
    pub(super) fn marked(self, mark: &str, mood: Mood, text: &str) {
        let style = mood.style();
        self.styled(&format!("{style}{mark}{style:#}  {}", visible_lines(text)));
    }

    /// A message beside the result.
    pub(super) fn note(self, text: &str) {
        self.report(&visible_lines(text));
    }

    /// A message beside the result, with its own colours.
    pub(super) fn report(self, text: &str) {
        let _ = writeln!(anstream::stderr(), "{text}");
    }

    /// A value for programs; nothing for people.
    pub(super) fn json<T: Serialize>(self, value: &T) {
        if self.is_json()
            && let Ok(text) = serde_json::to_string_pretty(value)
        {
            let _ = writeln!(anstream::stdout(), "{text}");
        }
    }

    /// A value on one line for programs, as one of many.
    pub(super) fn json_line<T: Serialize>(self, value: &T) {
        if self.is_json()
            && let Ok(text) = serde_json::to_string(value)
        {
            let _ = writeln!(anstream::stdout(), "{text}");
        }
    }

    /// A table for people, as wide as it is; nothing in JSON.
    pub(super) fn table(self, titles: &[&'static str], rows: &[Vec<Cell>]) {
        let columns: Vec<Column> = titles.iter().map(|title| Column::new(title)).collect();
        for line in lay_out(&columns, rows, None, true).lines {
            self.styled(&line);
        }
    }

    /// A table for people that fits the terminal, unless all of it is wanted; into a pipe it is as wide as it is.
    pub(super) fn fitted(self, columns: &[Column], rows: &[Vec<Cell>], titles: bool, all: bool) {
        let width = columns_of_terminal().filter(|_| !all);
        let table = lay_out(columns, rows, width, titles);
        for line in table.lines {
            self.styled(&line);
        }
        if !table.left_out.is_empty() && self.format == Format::Text {
            let (quiet, left_out) = (Mood::Quiet.style(), table.left_out.join(", "));
            let said = shortened(&format!("-v shows all; no room for {left_out}"), width.unwrap_or(USUAL_COLUMNS));
            self.report(&format!("{quiet}{said}{quiet:#}"));
        }
    }

    /// Rows of comma-separated values, quoted as in RFC 4180, each ending with a line feed; nothing in other formats.
    pub(super) fn csv(self, columns: &[Column], rows: &[Vec<Cell>], titles: bool) {
        if self.is_csv() {
            let names = titles.then(|| columns.iter().map(Column::name).collect());
            let rows = rows.iter().map(|row| row.iter().map(|cell| cell.exact().to_owned()).collect());
            let lines = names.into_iter().chain(rows).map(|row: Vec<String>| csv_line(&row));
            self.raw(&lines.collect::<String>());
        }
    }

    /// Prints what went wrong and returns the exit code.
    pub(super) fn fail(self, error: &CliError) -> ExitCode {
        let bad = Mood::Bad.style();
        self.report(&format!("{bad}error:{bad:#} {}", visible_lines(&error.message)));
        if let Some(hint) = &error.hint {
            self.note(&format!("  {hint}"));
        }
        if let Some(body) = &error.body {
            self.json(body);
        }
        ExitCode::from(error.exit as u8)
    }
}

/// How wide the terminal is that is written to, if it is one.
pub(super) fn columns_of_terminal() -> Option<usize> {
    std::io::stdout().is_terminal().then(|| {
        let named = || std::env::var("COLUMNS").ok()?.parse().ok().filter(|columns| *columns > 0);
        masv_platform::output_size().map(|(columns, _)| columns).or_else(named).unwrap_or(USUAL_COLUMNS)
    })
}

/// Text that is safe on a terminal: anything that would move the cursor, colour or reverse the text is escaped, as `\u{1b}`. Whoever
/// names a file must not control the operator's terminal.
pub(super) fn visible(text: &str) -> String {
    written_out(text, |_| false)
}

/// The same for text with line breaks and tabs.
fn visible_lines(text: &str) -> String {
    written_out(text, |c| matches!(c, '\n' | '\t'))
}

fn written_out(text: &str, keep: impl Fn(char) -> bool) -> String {
    // Besides control characters: bidirectional marks and overrides, line and paragraph separators.
    let turns = |c: char| matches!(c, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        if (c.is_control() || turns(c)) && !keep(c) {
            safe.extend(c.escape_default());
        } else {
            safe.push(c);
        }
    }
    safe
}

fn csv_line(row: &[String]) -> String {
    let cells = row.iter().map(|cell| {
        if cell.contains([',', '"', '\n', '\r']) || cell.starts_with(' ') || cell.ends_with(' ') {
            format!("\"{}\"", cell.replace('"', "\"\""))
        } else {
            cell.clone()
        }
    });
    format!("{}\n", cells.collect::<Vec<_>>().join(","))
}

/// Bytes for people.
pub(super) fn size(bytes: u64) -> String {
    bytesize::ByteSize::b(bytes).display().si().to_string()
}

/// A number of things for people: `1 rule`, `2 rules`, `2 entries`.
pub(super) fn count(number: u64, thing: &str) -> String {
    match thing.strip_suffix('y') {
        _ if number == 1 => format!("1 {thing}"),
        Some(stem) => format!("{number} {stem}ies"),
        None => format!("{number} {thing}s"),
    }
}

/// Seconds for people.
pub(super) fn duration(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3600 => format!("{}m {}s", seconds / 60, seconds % 60),
        _ => format!("{}h {}m", seconds / 3600, seconds % 3600 / 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: control characters in a name are written out.
    #[test]
    fn no_name_writes_on_the_terminal() {
        for (name, shown) in [
            ("cut\u{1b}[2J\u{1b}]0;x\u{7}.mov", r"cut\u{1b}[2J\u{1b}]0;x\u{7}.mov"),
            ("two\nlines\t", r"two\nlines\t"),
            ("\u{9b}31m \u{202e}vom.exe\u{200f}", r"\u{9b}31m \u{202e}vom.exe\u{200f}"),
            ("Häuser – 映像 🎬 'x' \\ \"", "Häuser – 映像 🎬 'x' \\ \""),
        ] {
            assert_eq!(visible(name), shown);
            assert_eq!((Cell::from(name).shown(), Cell::from(name).exact()), (shown, name));
        }
        assert_eq!(visible_lines("a\n\tb\u{1b}"), "a\n\tb\\u{1b}");
    }

    #[test]
    fn values_are_quoted_where_they_must_be() {
        let line = |cells: &[&str]| csv_line(&cells.iter().map(|cell| (*cell).to_owned()).collect::<Vec<_>>());
        assert_eq!(line(&["a", "b c", ""]), "a,b c,\n");
        assert_eq!(line(&["a,b", "say \"hi\"", "two\nlines"]), "\"a,b\",\"say \"\"hi\"\"\",\"two\nlines\"\n");
        assert_eq!(line(&[" a", "b "]), "\" a\",\"b \"\n");
    }
}
