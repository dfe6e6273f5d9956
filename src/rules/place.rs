//! From bytes of a text to a line and a column.

/// Where something stands in a text.
pub(super) struct Place<'a> {
    /// From 1.
    pub line: u32,
    /// In characters, from 1.
    pub column: u32,
    /// The whole line.
    pub source: &'a str,
    /// Bytes of the line.
    pub span: (usize, usize),
}

impl<'a> Place<'a> {
    /// The first line of the span, and where the span lies in it.
    pub(super) fn of(text: &'a str, (start, end): (usize, usize)) -> Self {
        let start = text.floor_char_boundary(start);
        let before = &text[..start];
        let begin = before.rfind('\n').map_or(0, |at| at + 1);
        let rest = &text[begin..];
        let source = rest.split('\n').next().unwrap_or_default().trim_end_matches('\r');
        let from = (start - begin).min(source.len());
        let to = text.floor_char_boundary(end).saturating_sub(begin).clamp(from, source.len());
        // A span without length (a mapping, a list, nothing) is shown as its first word.
        let word = source[from..].find([' ', ',', ':']).map_or(source.len(), |at| from + at);
        let to = if to > from { to } else { word };
        let line = u32::try_from(before.matches('\n').count()).unwrap_or(u32::MAX).saturating_add(1);
        let column = u32::try_from(source[..from].chars().count()).unwrap_or(u32::MAX).saturating_add(1);
        Self { line, column, source, span: (from, to) }
    }
}
