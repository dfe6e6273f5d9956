//! Tables that fit the terminal: which columns are shown, how wide they are, what is shortened.
//!
//! **In**: columns, rows, and the width of the terminal, if there is one. **Out**: lines. Pure.
//!
//! **Guarantees.** Without a width nothing is shortened: what goes into a pipe is whole. Columns are aligned by the width that letters have
//! on the screen, two columns for those of Chinese and Japanese.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use jiff::tz::TimeZone;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::output::{size, visible};

/// What is between two columns.
const GAP: usize = 2;
/// How much of an id is shown: the heads of ids are times and alike, their ends are not.
const SHORT_ID: usize = 8;
/// No column is made narrower than this.
const NARROWEST: usize = 3;

/// What a word's colour expresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Mood {
    Plain,
    Good,
    Busy,
    Warned,
    Bad,
    Quiet,
}

impl Mood {
    pub(super) fn style(self) -> Style {
        match self {
            Self::Plain => Style::new(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Busy => AnsiColor::Cyan.on_default(),
            Self::Warned => AnsiColor::Yellow.on_default(),
            Self::Bad => AnsiColor::Red.on_default(),
            Self::Quiet => Style::new().dimmed(),
        }
    }
}

/// A cell of a table.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    /// For programs, if it differs from the text.
    exact: Option<String>,
    /// What it is sorted by, if not by its text.
    number: Option<u64>,
    mood: Mood,
    right: bool,
    is_id: bool,
}

impl Cell {
    fn new(text: &str) -> Self {
        let shown = visible(text);
        let exact = (shown != text).then(|| text.to_owned());
        Self { text: shown, exact, number: None, mood: Mood::Plain, right: false, is_id: false }
    }

    pub(super) fn right(text: impl Into<String>) -> Self {
        Self { right: true, ..Self::new(&text.into()) }
    }

    pub(super) fn mood(text: impl Into<String>, mood: Mood) -> Self {
        Self { mood, ..Self::new(&text.into()) }
    }

    /// An id, of which a terminal shows the end.
    pub(super) fn id(id: impl Into<String>) -> Self {
        Self { is_id: true, ..Self::new(&id.into()) }
    }

    /// A number.
    pub(super) fn number(number: u64) -> Self {
        Self { number: Some(number), ..Self::right(number.to_string()) }
    }

    /// Bytes: in a unit for people, exact for programs.
    pub(super) fn size(bytes: u64) -> Self {
        Self::right(size(bytes)).meaning(bytes)
    }

    /// A time: the local clock for people, UTC for programs.
    pub(super) fn time(time: Option<Timestamp>) -> Self {
        let Some(time) = time else { return Self::new("") };
        let shown = time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M").to_string();
        let number = u64::try_from(time.as_millisecond()).ok();
        Self { number, exact: Some(format!("{time:.0}")), ..Self::new(&shown) }
    }

    /// The same, standing for this number.
    pub(super) fn meaning(self, number: u64) -> Self {
        Self { number: Some(number), exact: Some(number.to_string()), ..self }
    }

    /// What people get.
    pub(super) fn shown(&self) -> &str {
        &self.text
    }

    /// What programs get.
    pub(super) fn exact(&self) -> &str {
        self.exact.as_deref().unwrap_or(&self.text)
    }

    /// Whether it contains this text, whatever the case.
    pub(super) fn contains(&self, lower: &str) -> bool {
        self.text.to_lowercase().contains(lower) || self.exact().to_lowercase().contains(lower)
    }

    /// The order in which a sorted list has two cells.
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        match (self.number, other.number) {
            (Some(one), Some(other)) => one.cmp(&other),
            (None, None) => self.text.to_lowercase().cmp(&other.text.to_lowercase()),
            (one, other) => one.is_some().cmp(&other.is_some()),
        }
    }
}

impl<T: Into<String>> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::new(&text.into())
    }
}

/// A column of a table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    pub(super) title: &'static str,
    name: Option<&'static str>,
    /// How narrow it may become; 0: it is not shortened.
    least: usize,
    /// Left out before columns with a lower number if there is not enough room; 0: never.
    rank: u8,
    /// Of no use when shortened: left out before anything is shortened.
    whole: bool,
    /// Shown only if everything is asked for.
    pub(super) wide: bool,
    /// Shown only if there is something in it.
    pub(super) if_any: bool,
}

impl Column {
    pub(super) const fn new(title: &'static str) -> Self {
        Self { title, name: None, least: 0, rank: 0, whole: false, wide: false, if_any: false }
    }

    /// Its name in `--sort`, `--columns` and CSV, if it is not the title in lower case.
    pub(super) const fn named(self, name: &'static str) -> Self {
        Self { name: Some(name), ..self }
    }

    /// It may be shortened down to so many columns of the screen.
    pub(super) const fn cut(self, least: usize) -> Self {
        Self { least, ..self }
    }

    /// It may be left out.
    pub(super) const fn rank(self, rank: u8) -> Self {
        Self { rank, ..self }
    }

    pub(super) const fn whole(self) -> Self {
        Self { whole: true, ..self }
    }

    pub(super) const fn wide(self) -> Self {
        Self { wide: true, ..self }
    }

    pub(super) const fn if_any(self) -> Self {
        Self { if_any: true, ..self }
    }

    pub(super) fn name(&self) -> String {
        self.name.map_or_else(|| self.title.to_lowercase().replace(' ', "-"), str::to_owned)
    }
}

/// A table as lines, and the titles of the columns for which there was no room.
pub(super) struct Lines {
    pub(super) lines: Vec<String>,
    pub(super) left_out: Vec<&'static str>,
}

/// Lays a table out for a terminal of this width, or as wide as it is.
pub(super) fn lay_out(columns: &[Column], rows: &[Vec<Cell>], width: Option<usize>, titles: bool) -> Lines {
    let ids = if width.is_some() { short_ids(rows) } else { 0 };
    let text = |cell: &Cell| if ids > 0 && cell.is_id { end(&cell.text, ids) } else { cell.text.clone() };
    let rows: Vec<Vec<(String, &Cell)>> =
        rows.iter().map(|row| row.iter().map(|cell| (text(cell), cell)).collect()).collect();
    let natural: Vec<usize> = columns
        .iter()
        .enumerate()
        .map(|(column, of)| {
            let cells = rows.iter().filter_map(|row| row.get(column)).map(|(text, _)| text.width()).max();
            cells.unwrap_or(0).max(if titles { of.title.width() } else { 0 })
        })
        .collect();
    let widths = match width {
        Some(width) => fit(columns, &natural, width),
        None => natural.into_iter().map(Some).collect(),
    };
    let quiet = Mood::Quiet.style();
    let mut lines = Vec::new();
    if titles {
        let cells = columns.iter().zip(&widths).filter_map(|(column, width)| Some((column.title, (*width)?)));
        lines.push(line(cells.map(|(title, width)| (pad(title, width, false), quiet))));
    }
    for row in &rows {
        let cells = row.iter().zip(&widths).filter_map(|(cell, width)| Some((cell, (*width)?)));
        lines.push(line(cells.map(|((text, cell), width)| (pad(text, width, cell.right), cell.mood.style()))));
    }
    let left_out = columns.iter().zip(&widths).filter(|(_, width)| width.is_none()).map(|(column, _)| column.title);
    Lines { lines, left_out: left_out.collect() }
}

fn line(cells: impl Iterator<Item = (String, Style)>) -> String {
    let mut cells: Vec<(String, Style)> = cells.collect();
    while cells.pop_if(|(text, _)| text.trim().is_empty()).is_some() {}
    let last = cells.len().saturating_sub(1);
    let cells = cells.into_iter().enumerate().map(|(column, (text, style))| {
        // Nothing follows the last one.
        let text = if column == last { text.trim_end() } else { &text };
        format!("{style}{text}{style:#}")
    });
    cells.collect::<Vec<_>>().join(&" ".repeat(GAP))
}

/// The width of each column, `None` if there is no room for it.
fn fit(columns: &[Column], natural: &[usize], width: usize) -> Vec<Option<usize>> {
    let mut widths: Vec<Option<usize>> = natural.iter().copied().map(Some).collect();
    while total(&widths) > width {
        let shown = |widths: &[Option<usize>], column: usize| widths[column].is_some();
        let useless = (0..columns.len()).rfind(|column| columns[*column].whole && shown(&widths, *column));
        if let Some(column) = useless {
            widths[column] = None;
            continue;
        }
        if shrink(columns, &mut widths, width, |column| column.least) {
            break;
        }
        let least_wanted = (0..columns.len())
            .filter(|column| columns[*column].rank > 0 && shown(&widths, *column))
            .max_by_key(|column| columns[*column].rank);
        let Some(column) = least_wanted else {
            shrink(columns, &mut widths, width, |column| column.least.min(NARROWEST));
            break;
        };
        widths[column] = None;
        // What remains may be as wide as it is again.
        for (width, natural) in widths.iter_mut().zip(natural) {
            *width = width.map(|_| *natural);
        }
    }
    widths
}

fn total(widths: &[Option<usize>]) -> usize {
    let shown = widths.iter().flatten();
    shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
}

/// Shortens the widest columns until the table fits; returns whether it does.
fn shrink(columns: &[Column], widths: &mut [Option<usize>], width: usize, least: impl Fn(&Column) -> usize) -> bool {
    loop {
        if total(widths) <= width {
            return true;
        }
        let widest = (0..columns.len())
            .filter(|column| least(&columns[*column]) > 0)
            .filter_map(|column| Some((widths[column]?, column)))
            .filter(|(wide, column)| *wide > least(&columns[*column]))
            .max();
        let Some((wide, column)) = widest else { return false };
        widths[column] = Some(wide - 1);
    }
}

/// How long ids have to be shown to differ from each other.
fn short_ids(rows: &[Vec<Cell>]) -> usize {
    let ids: BTreeSet<&str> = rows.iter().flatten().filter(|cell| cell.is_id).map(|cell| cell.text.as_str()).collect();
    let longest = ids.iter().map(|id| id.len()).max().unwrap_or(0);
    let unlike = |length: &usize| ids.iter().map(|id| end(id, *length)).collect::<BTreeSet<_>>().len() == ids.len();
    (SHORT_ID..=longest).find(unlike).unwrap_or(longest)
}

/// The end of an id.
fn end(id: &str, length: usize) -> String {
    id.get(id.len().saturating_sub(length)..).unwrap_or(id).to_owned()
}

/// The text in exactly this width.
fn pad(text: &str, width: usize, right: bool) -> String {
    let text = shortened(text, width);
    let room = " ".repeat(width.saturating_sub(text.width()));
    if right { room + &text } else { text + &room }
}

/// The text, or its beginning and an ellipsis.
pub(super) fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let (mut short, mut used) = (String::new(), 1);
    for letter in text.chars() {
        used += letter.width().unwrap_or(0);
        if used > width {
            break;
        }
        short.push(letter);
    }
    short + "…"
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 5] = [
        Column::new("ID"),
        Column::new("STATE"),
        Column::new("NAME").cut(8),
        Column::new("TO").cut(6).rank(1),
        Column::new("LINK").whole(),
    ];

    fn rows(names: &[&str]) -> Vec<Vec<Cell>> {
        let row = |name: &&str| {
            let id = format!("01a20bb5-e5bc-756f-aea7-3b745e99{:04x}", name.len());
            let link = "http://127.0.0.1:35791/01M85V0000?secret=03d50e03d50e";
            vec![Cell::id(id), "complete".into(), (*name).into(), "client@example.com".into(), link.into()]
        };
        names.iter().map(row).collect()
    }

    fn plain(lines: &Lines) -> Vec<String> {
        lines.lines.iter().map(|line| anstream::adapter::strip_str(line).to_string()).collect()
    }

    /// At 80 columns each row took four lines, because of a link of 110 letters.
    #[test]
    fn no_line_is_wider_than_the_terminal() {
        let rows = rows(&["A001C001_a_rather_long_name.mov", "映像と音声の長いファイル名.mov", "x"]);
        for width in [20, 30, 40, 60, 80, 100, 140] {
            let table = lay_out(&COLUMNS, &rows, Some(width), true);
            for line in plain(&table) {
                assert!(line.width() <= width.max(27), "{width}: {line:?}");
            }
            assert_eq!(table.left_out.contains(&"LINK"), width < 140, "a link is whole or not there: {width}");
        }
        let whole = plain(&lay_out(&COLUMNS, &rows, None, true));
        assert!(whole[1].starts_with("01a20bb5-e5bc-756f-aea7-3b745e99001f  complete  A001C001_a"), "{whole:?}");
        assert!(whole[1].ends_with("secret=03d50e03d50e") && !whole.concat().contains('…'), "{whole:?}");
    }

    /// Columns were aligned by the number of letters, and Japanese names moved all that followed.
    #[test]
    fn what_follows_a_wide_letter_is_in_its_column() {
        let lines = plain(&lay_out(&COLUMNS, &rows(&["映像.mov", "a.mov"]), Some(200), true));
        let column = |line: &str| line[..line.find("client@").unwrap()].width();
        assert_eq!(column(&lines[1]), column(&lines[2]), "{lines:?}");
        assert_eq!(shortened("映像と音声", 6), "映像…");
    }

    #[test]
    fn ids_are_as_short_as_they_can_be_told_apart() {
        let row = |id: &str| vec![Cell::id(id)];
        let shown = |ids: &[&str]| {
            let rows: Vec<_> = ids.iter().map(|id| row(id)).collect();
            plain(&lay_out(&COLUMNS[..1], &rows, Some(80), false))
        };
        assert_eq!(shown(&["01a20bb5-e5bc-756f-aea7-3b745e994bd0"]), ["5e994bd0"]);
        let alike = ["01a20bb5-e5bc-756f-aea7-aa745e994bd0", "01a20bb5-e5bc-756f-aea7-ab745e994bd0"];
        assert_eq!(shown(&alike), ["a745e994bd0", "b745e994bd0"]);
    }

    #[test]
    fn numbers_are_sorted_as_numbers_and_words_without_case() {
        assert_eq!(Cell::size(900).compare(&Cell::size(2_000)), Ordering::Less);
        assert_eq!(Cell::from("beta").compare(&Cell::from("Alpha")), Ordering::Greater);
    }
}
