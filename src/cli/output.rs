//! Everything that is printed: tables and words for people, JSON for programs.

use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use clap::ValueEnum;
use serde::Serialize;

use super::error::CliError;

/// The output format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    /// For people.
    Text,
    /// For programs.
    Json,
    /// For spreadsheets; only for `rule history`.
    Csv,
}

/// Where and how to print.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    format: Format,
    /// The format was given explicitly.
    asked_for: bool,
}

/// What a word's colour expresses.
#[derive(Debug, Clone, Copy)]
pub(super) enum Mood {
    Plain,
    Good,
    Busy,
    Warned,
    Bad,
    Quiet,
}

/// A cell of a table.
pub(super) struct Cell {
    text: String,
    mood: Mood,
    right: bool,
}

impl Cell {
    pub(super) fn right(text: impl Into<String>) -> Self {
        Self { text: visible(&text.into()), mood: Mood::Plain, right: true }
    }

    pub(super) fn mood(text: impl Into<String>, mood: Mood) -> Self {
        Self { text: visible(&text.into()), mood, right: false }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self { text: visible(&text.into()), mood: Mood::Plain, right: false }
    }
}

fn style(mood: Mood) -> Style {
    match mood {
        Mood::Plain => Style::new(),
        Mood::Good => AnsiColor::Green.on_default(),
        Mood::Busy => AnsiColor::Cyan.on_default(),
        Mood::Warned => AnsiColor::Yellow.on_default(),
        Mood::Bad => AnsiColor::Red.on_default(),
        Mood::Quiet => Style::new().dimmed(),
    }
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
        let style = style(mood);
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

    /// A table for people; nothing in JSON.
    pub(super) fn table(self, header: &[&str], rows: &[Vec<Cell>]) {
        if self.format != Format::Text {
            return;
        }
        let width = |text: &str| text.chars().count();
        let last = header.len().saturating_sub(1);
        let widths: Vec<usize> = header
            .iter()
            .enumerate()
            .map(|(column, title)| {
                // The last column is not padded.
                if column == last {
                    return 0;
                }
                let cells = rows.iter().filter_map(|row| row.get(column)).map(|cell| width(&cell.text));
                cells.max().unwrap_or(0).max(width(title))
            })
            .collect();
        let quiet = style(Mood::Quiet);
        let titles: Vec<String> =
            header.iter().zip(&widths).map(|(title, width)| format!("{quiet}{title:<width$}{quiet:#}")).collect();
        self.styled(titles.join("  ").trim_end());
        for row in rows {
            let cells = row.iter().zip(&widths).map(|(cell, width)| {
                let style = style(cell.mood);
                let text = &cell.text;
                if cell.right {
                    format!("{style}{text:>width$}{style:#}")
                } else {
                    format!("{style}{text:<width$}{style:#}")
                }
            });
            self.styled(cells.collect::<Vec<_>>().join("  ").trim_end());
        }
    }

    /// Rows of comma-separated values, quoted as in RFC 4180, each ending with a line feed; nothing in other formats.
    pub(super) fn csv(self, header: &[&str], rows: &[Vec<String>]) {
        if self.is_csv() {
            let header: Vec<String> = header.iter().map(|title| (*title).to_owned()).collect();
            let lines = std::iter::once(&header).chain(rows).map(|row| csv_line(row));
            self.raw(&lines.collect::<String>());
        }
    }

    /// Prints what went wrong and returns the exit code.
    pub(super) fn fail(self, error: &CliError) -> ExitCode {
        let bad = style(Mood::Bad);
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

    #[test]
    fn no_name_writes_on_the_terminal() {
        for (name, shown) in [
            ("cut\u{1b}[2J\u{1b}]0;x\u{7}.mov", r"cut\u{1b}[2J\u{1b}]0;x\u{7}.mov"),
            ("two\nlines\t", r"two\nlines\t"),
            ("\u{9b}31m \u{202e}vom.exe\u{200f}", r"\u{9b}31m \u{202e}vom.exe\u{200f}"),
            ("Häuser – 映像 🎬 'x' \\ \"", "Häuser – 映像 🎬 'x' \\ \""),
        ] {
            assert_eq!(visible(name), shown);
            assert_eq!(Cell::from(name).text, shown);
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
