//! The table of recipients: in the rules file, or in a CSV or YAML file beside it. Every address is checked, where it stands.

use masv_protocol::EmailAddress;

use super::super::fields::{At, Fields};
use super::super::reader::Reader;
use super::super::recipients::{Recipients, TABLE};
use super::super::sources::{Role, Source};
use super::super::value_type::Shape;
use super::super::yaml::Node;
use super::upload::{email, lacks_a_dot};

/// Whether that is a table whose lines are entries, rather than YAML.
pub(super) fn is_table_of_lines(source: &Source) -> bool {
    let is_yaml = source.path.extension().is_some_and(|extension| extension == "yaml" || extension == "yml");
    source.role == Role::Recipients && !is_yaml
}

/// The table of a file; empty if it has none.
pub(super) fn read(fields: &Fields<'_, '_>, file: Option<(&Source, Option<&Node>)>, reader: &Reader<'_>) -> Recipients {
    let mut table = Recipients::default();
    let Some(at) = fields.optional(TABLE) else { return table };
    table.is_given = true;
    if at.is_map() {
        entries(&at, &mut table, reader);
        return table;
    }
    let named = reader.text(&at);
    match file {
        Some((source, _)) if is_table_of_lines(source) => lines(source, &mut table, reader),
        Some((_, Some(root))) => entries(&At::root(root), &mut table, reader),
        // That it cannot be read was told.
        Some((_, None)) => {}
        None => drop(named),
    }
    table
}

/// The entries of a mapping.
fn entries(at: &At<'_>, table: &mut Recipients, reader: &Reader<'_>) {
    if !at.is_map() {
        reader.wrong(at, &Shape::Defined("recipients"));
        return;
    }
    for (key, value) in at.pairs() {
        let Some(name) = key.text().filter(|name| !name.is_empty()) else {
            reader.error_at(key.start, key.end, &at.path, "expected a name".to_owned(), None);
            continue;
        };
        if table.contains(name) {
            let help = Some("write all its addresses in one list".to_owned());
            reader.error_at(key.start, key.end, &at.path, format!("`{name}` occurs twice"), help);
            continue;
        }
        let value = at.child(name, value, None);
        let items = value.items();
        if items.is_empty() {
            let help = Some(format!("for example `{name}: [client@example.com]`"));
            reader.error(&value, format!("`{name}` has no address"), help);
        }
        let addresses: Option<Vec<EmailAddress>> = items.iter().map(|item| email(item, reader)).collect();
        table.add(name, addresses.unwrap_or_default());
    }
}

/// The entries of a CSV file: a name, and one or more addresses. A name may have several lines.
fn lines(source: &Source, table: &mut Recipients, reader: &Reader<'_>) {
    let mut start = source.start;
    let separator = separator(&source.text);
    let mut is_first = true;
    for line in source.text.split_inclusive('\n') {
        let span = (start, start + line.trim_end_matches(['\r', '\n']).len());
        start += line.len();
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let refuse = |message: String, help: &str| {
            reader.error_at(span.0, span.1, TABLE, message, Some(help.to_owned()));
        };
        let Some(cells) = cells(line, separator) else {
            refuse(
                "a quote is not closed".to_owned(),
                "begin and end a value with quotes, and double quotes inside it",
            );
            continue;
        };
        let (name, addresses) = cells.split_first().map_or(("", &[][..]), |(name, rest)| (name.as_str(), rest));
        let given: Vec<&String> = addresses.iter().filter(|address| !address.is_empty()).collect();
        if std::mem::take(&mut is_first) && given.first().is_some_and(|title| is_title(title)) {
            continue;
        }
        if name.is_empty() || given.is_empty() {
            refuse("expected a name and its addresses".to_owned(), "for example `north,post@north.example.com`");
            continue;
        }
        let mut good = Vec::new();
        for text in given {
            match text.parse::<EmailAddress>() {
                Ok(address) => {
                    if lacks_a_dot(&address) {
                        reader.warn_at(span.0, span.1, TABLE, format!("the domain of `{text}` has no dot"), None);
                    }
                    good.push(address);
                }
                Err(_) => refuse(
                    format!("`{text}` is not an e-mail address"),
                    "write one address in each column after the name; the first line may have titles, such as `name,e-mail`",
                ),
            }
        }
        table.add(name, good);
    }
}

/// Whether that is the title of a column of addresses rather than one.
fn is_title(text: &str) -> bool {
    const WORDS: [&str; 6] = ["mail", "address", "adres", "recipient", "contact", "destinat"];
    let text = text.to_lowercase();
    !text.contains('@') && WORDS.iter().any(|word| text.contains(word))
}

/// What separates the columns: spreadsheets write commas, semicolons or tabs, depending on where they are.
fn separator(text: &str) -> char {
    let first = text.lines().find(|line| !line.trim().is_empty() && !line.starts_with('#')).unwrap_or_default();
    let mut quoted = false;
    let found = first.chars().find(|letter| {
        quoted ^= *letter == '"';
        !quoted && matches!(letter, ',' | ';' | '\t')
    });
    found.unwrap_or(',')
}

/// The columns of a line; `None` if a quote is not closed.
fn cells(line: &str, separator: char) -> Option<Vec<String>> {
    let (mut cells, mut cell, mut quoted) = (Vec::new(), String::new(), false);
    let mut letters = line.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            '"' if quoted && letters.peek() == Some(&'"') => {
                letters.next();
                cell.push('"');
            }
            '"' if quoted => quoted = false,
            '"' if cell.trim().is_empty() => {
                cell.clear();
                quoted = true;
            }
            letter if letter == separator && !quoted => cells.push(std::mem::take(&mut cell).trim().to_owned()),
            letter => cell.push(letter),
        }
    }
    cells.push(cell.trim().to_owned());
    (!quoted).then_some(cells)
}
