//! Diagnostics of a rules file, with position, cause and remedy.

use std::fmt;
use std::path::{Path, PathBuf};

use annotate_snippets::{AnnotationKind, Level, Origin, Renderer, Snippet};
use serde::Serialize;

/// Its severity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file can be used, but probably does not do what was intended.
    Warning,
}

/// One diagnostic.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Diagnostic {
    /// Its severity.
    pub severity: Severity,
    /// What is wrong and what was expected.
    pub message: String,
    /// The file.
    pub file: PathBuf,
    /// Line, from 1; 0 for the file as a whole.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// The key, like `rules[0].upload.emails[1]`; empty for the whole file.
    pub key: String,
    /// The line in the file, or the part around the position if it is too long to show.
    pub source: String,
    /// The bytes of `source` that are marked.
    pub span: (usize, usize),
    /// What to do about it.
    pub help: Option<String>,
}

impl Diagnostic {
    /// A diagnostic about the file as a whole.
    #[must_use]
    pub fn of_file(file: &Path, message: String, help: Option<String>) -> Self {
        Self {
            severity: Severity::Error,
            message,
            file: file.to_path_buf(),
            line: 0,
            column: 0,
            key: String::new(),
            source: String::new(),
            span: (0, 0),
            help,
        }
    }

    /// The text for people, with colours for a terminal if requested.
    #[must_use]
    pub fn render(&self, colours: bool) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let path = self.file.to_string_lossy();
        let title = level.primary_title(&self.message).id("rules");
        let mut group;
        if self.line > 0 {
            let label = if self.key.is_empty() { "here" } else { &self.key };
            let annotation = AnnotationKind::Primary.span(self.span.0..self.span.1).label(label);
            let line = usize::try_from(self.line).unwrap_or(usize::MAX);
            let snippet = Snippet::source(&self.source).line_start(line).annotation(annotation);
            let column = usize::try_from(self.column).unwrap_or(usize::MAX);
            // Of a very long line only a part is shown, whose first column is not the line's.
            let whole = self.source.get(..self.span.0).is_some_and(|before| before.chars().count() + 1 == column);
            group = if whole {
                title.element(snippet.path(path.as_ref()))
            } else {
                title.element(Origin::path(path.as_ref()).line(line).char_column(column)).element(snippet)
            };
        } else {
            group = title.element(Origin::path(path.as_ref()));
        }
        if let Some(help) = &self.help {
            group = group.element(Level::HELP.message(help));
        }
        let renderer = if colours { Renderer::styled() } else { Renderer::plain() };
        renderer.render(&[group]).to_string()
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

/// A file that could not be built although no error was found: a bug in the reader.
pub(super) fn unexplained(file: &Path) -> Diagnostics {
    let help = "please report this with the file".to_owned();
    Diagnostics(vec![Diagnostic::of_file(file, "the file cannot be used".to_owned(), Some(help))])
}

/// All diagnostics of a file, in file order. Never empty if it is an error.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct Diagnostics(pub Vec<Diagnostic>);

impl Diagnostics {
    /// The text for people, with colours for a terminal if requested.
    #[must_use]
    pub fn render(&self, colours: bool) -> String {
        let parts: Vec<String> = self.0.iter().map(|diagnostic| diagnostic.render(colours)).collect();
        parts.join("\n\n")
    }
}

impl fmt::Display for Diagnostics {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.render(false))
    }
}

impl std::error::Error for Diagnostics {}
