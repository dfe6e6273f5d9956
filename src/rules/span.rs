//! Converts byte positions in a text to lines and columns.

/// Longest part of a line that is shown, in bytes. Generated files may be a single line of a megabyte.
const LONGEST: usize = 400;
/// Bytes shown before the place in a line that is longer.
const BEFORE: usize = 100;

/// A text and the starts of its lines.
pub(super) struct Lines<'a> {
    text: &'a str,
    starts: Vec<usize>,
}

/// A position in a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Place<'a> {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// The line, or the part around the position if it is too long to show.
    pub source: &'a str,
    /// Bytes of `source`.
    pub span: (usize, usize),
}

impl<'a> Lines<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Self { text, starts }
    }

    /// The line of a byte, from 1.
    pub(super) fn line(&self, at: usize) -> u32 {
        u32::try_from(self.starts.partition_point(|start| *start <= at)).unwrap_or(u32::MAX)
    }

    /// The first line of the span, and the position of the span in it.
    pub(super) fn place(&self, (start, end): (usize, usize)) -> Place<'a> {
        let start = self.text.floor_char_boundary(start);
        let line = self.line(start);
        let index = usize::try_from(line).unwrap_or(usize::MAX).saturating_sub(1);
        let begin = self.starts.get(index).copied().unwrap_or(0);
        let source = self.text[begin..].split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let from = (start - begin).min(source.len());
        let to = self.text.floor_char_boundary(end).saturating_sub(begin).clamp(from, source.len());
        // A span without length (a mapping, a list, nothing) is shown as its first word.
        let word = source[from..].find([' ', ',', ':']).map_or(source.len(), |at| from + at);
        let to = if to > from { to } else { word };
        let column = u32::try_from(source[..from].chars().count()).unwrap_or(u32::MAX).saturating_add(1);
        if source.len() <= LONGEST {
            return Place { line, column, source, span: (from, to) };
        }
        let cut = source.floor_char_boundary(from.saturating_sub(BEFORE));
        let shown = &source[cut..source.floor_char_boundary(cut + LONGEST)];
        Place { line, column, source: shown, span: ((from - cut).min(shown.len()), (to - cut).min(shown.len())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_in_lines_of_any_kind() {
        let lines = Lines::new("é: 1\r\nkey: value # x\n\nlast");
        let place = |start, end| {
            let place = lines.place((start, end));
            (place.line, place.column, place.source[place.span.0..place.span.1].to_owned())
        };
        assert_eq!(place(0, 2), (1, 1, "é".to_owned()));
        assert_eq!(place(4, 5), (1, 4, "1".to_owned()));
        assert_eq!(place(12, 17), (2, 6, "value".to_owned()));
        assert_eq!(place(7, 7), (2, 1, "key".to_owned()));
        assert_eq!(place(22, 22), (3, 1, String::new()));
        assert_eq!(place(26, 9999), (4, 4, "t".to_owned()));
        assert_eq!(place(9999, 0), (4, 5, String::new()));
    }

    #[test]
    fn of_a_very_long_line_only_the_part_around_the_place_is_shown() {
        let text = format!("{}here{}", "é".repeat(1000), "x".repeat(1000));
        let place = Lines::new(&text).place((2000, 2004));
        assert_eq!((place.column, &place.source[place.span.0..place.span.1]), (1001, "here"));
        assert!(place.source.len() <= LONGEST);
    }
}
