//! What all lists have in common: formats, columns, order, search.

use clap::Args;
use serde::Serialize;

use super::error::CliError;
use super::output::Output;
use super::table::{Cell, Column};

/// How a list is shown.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct Looks {
    /// Print only the ids, or names, one per line.
    #[arg(short, long, help_heading = "List options")]
    pub(super) quiet: bool,
    /// Print no line of titles.
    #[arg(long, help_heading = "List options")]
    pub(super) no_headers: bool,
    /// Show all columns, and nothing shortened.
    #[arg(short, long, help_heading = "List options")]
    pub(super) verbose: bool,
    /// Show these columns, in this order.
    #[arg(long, value_name = "COLUMN,...", value_delimiter = ',', help_heading = "List options")]
    pub(super) columns: Vec<String>,
}

/// How a list is shown, sorted and searched.
#[derive(Debug, Clone, Default, Args)]
pub(super) struct ListOptions {
    #[command(flatten)]
    pub(super) looks: Looks,
    /// Sort by this column, or with - in front in reverse.
    #[arg(long, value_name = "COLUMN", allow_hyphen_values = true, help_heading = "List options")]
    pub(super) sort: Option<String>,
    /// Only what contains this text.
    #[arg(long, value_name = "TEXT", help_heading = "List options")]
    pub(super) search: Option<String>,
}

impl From<Looks> for ListOptions {
    fn from(looks: Looks) -> Self {
        Self { looks, ..Self::default() }
    }
}

/// The columns of a list, and what is said if it is empty. The first column identifies an entry.
pub(super) struct Kind<'a> {
    pub(super) columns: &'a [Column],
    pub(super) empty: &'a str,
    /// The order of the columns for spreadsheets, by name, if it is another.
    pub(super) csv: &'a [&'a str],
}

impl<'a> Kind<'a> {
    pub(super) fn new(columns: &'a [Column], empty: &'a str) -> Self {
        Self { columns, empty, csv: &[] }
    }
}

impl Output {
    /// Shows a list in the format that was asked for; `whole` makes of its entries what programs get.
    ///
    /// # Errors
    /// There is no such column.
    pub(super) fn list<T, J: Serialize>(
        self,
        options: &ListOptions,
        kind: &Kind<'_>,
        entries: Vec<T>,
        row: impl Fn(&T) -> Vec<Cell>,
        whole: impl FnOnce(Vec<T>) -> J,
    ) -> Result<(), CliError> {
        let looks = &options.looks;
        let chosen = chosen(kind.columns, looks)?;
        let mut rows: Vec<(T, Vec<Cell>)> = entries
            .into_iter()
            .map(|entry| {
                let cells = row(&entry);
                (entry, cells)
            })
            .collect();
        if let Some(text) = &options.search {
            let text = text.to_lowercase();
            rows.retain(|(_, cells)| cells.iter().any(|cell| cell.contains(&text)));
        }
        if let Some(sort) = &options.sort {
            let (name, reverse) = sort.strip_prefix('-').map_or((sort.as_str(), false), |name| (name, true));
            let column = position(kind.columns, name, "--sort")?;
            rows.sort_by(|(_, one), (_, other)| one[column].compare(&other[column]));
            if reverse {
                rows.reverse();
            }
        }
        let output = if looks.no_headers || !looks.columns.is_empty() { self.usually_text() } else { self };
        if looks.quiet {
            let ids = rows.iter().filter_map(|(_, cells)| cells.first());
            output.raw(&ids.map(|id| format!("{}\n", id.shown())).collect::<String>());
            return Ok(());
        }
        if output.is_json() {
            output.json(&whole(rows.into_iter().map(|(entry, _)| entry).collect()));
            return Ok(());
        }
        if rows.is_empty() && !output.is_csv() {
            output.line(kind.empty);
            return Ok(());
        }
        let everything = output.is_csv() || looks.verbose;
        let some = |column: usize| rows.iter().any(|(_, cells)| !cells[column].exact().is_empty());
        let columns: Vec<usize> = match chosen {
            Some(chosen) => chosen,
            None if output.is_csv() && !kind.csv.is_empty() => {
                kind.csv.iter().filter_map(|name| position(kind.columns, name, "").ok()).collect()
            }
            None => (0..kind.columns.len())
                .filter(|column| {
                    let of = &kind.columns[*column];
                    everything || (!of.wide && (!of.if_any || some(*column)))
                })
                .collect(),
        };
        let cells = |row: &[Cell]| columns.iter().map(|column| row[*column].clone()).collect::<Vec<_>>();
        let rows: Vec<Vec<Cell>> = rows.iter().map(|(_, row)| cells(row)).collect();
        let columns: Vec<Column> = columns.iter().map(|column| kind.columns[*column]).collect();
        if output.is_csv() {
            output.csv(&columns, &rows, !looks.no_headers);
        } else {
            output.fitted(&columns, &rows, !looks.no_headers, looks.verbose);
        }
        Ok(())
    }
}

/// The columns that were named, if any were.
fn chosen(columns: &[Column], looks: &Looks) -> Result<Option<Vec<usize>>, CliError> {
    if looks.columns.is_empty() {
        return Ok(None);
    }
    looks.columns.iter().map(|name| position(columns, name.trim(), "--columns")).collect::<Result<_, _>>().map(Some)
}

/// Where the column with this name is.
fn position(columns: &[Column], name: &str, flag: &str) -> Result<usize, CliError> {
    columns.iter().position(|column| column.name().eq_ignore_ascii_case(name)).ok_or_else(|| {
        let names: Vec<String> = columns.iter().map(Column::name).collect();
        CliError::usage(format!("{flag}: there is no column {name:?}"))
            .hint(format!("the columns are {}", names.join(", ")))
    })
}
