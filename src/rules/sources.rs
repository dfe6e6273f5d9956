//! The texts that rules are read from: the rules file, those that it includes, and a file of recipients.
//!
//! A position is a byte in all of these texts, one after the other: so a value knows in which file it stands.
//!
//! In: the rules file as a tree, and the [`Environment`] that other files are read from. Out: their texts, or why one cannot
//! be read.

use std::path::{Path, PathBuf};

use super::compile::LARGEST;
use super::environment::Environment;
use super::pattern::Patterns;
use super::reader::resolved;
use super::recipients::TABLE;
use super::variables::expand;
use super::yaml::{Node, Value};

/// Most files that are included.
const MOST_FILES: usize = 1000;

/// What a text is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// The rules file itself.
    Main,
    /// Rules of another file.
    Included,
    /// A table of recipients.
    Recipients,
}

/// One of the texts.
#[derive(Debug)]
pub(super) struct Source {
    pub path: PathBuf,
    pub text: String,
    pub role: Role,
    /// Where its first byte is among all.
    pub start: usize,
}

/// A file that cannot be read, told where it is named.
pub(super) struct Unread {
    pub span: (usize, usize),
    pub key: &'static str,
    pub message: String,
    pub help: Option<String>,
}

/// All texts; the first is the rules file.
#[derive(Debug)]
pub(super) struct Sources {
    pub all: Vec<Source>,
    /// Folders in which files are looked for.
    pub folders: Vec<PathBuf>,
}

impl Sources {
    pub(super) fn new(path: &Path, text: &str) -> Self {
        let main = Source { path: path.to_owned(), text: text.to_owned(), role: Role::Main, start: 0 };
        Self { all: vec![main], folders: Vec::new() }
    }

    /// Reads what the rules file names.
    pub(super) fn gather(&mut self, root: &Node, environment: &dyn Environment) -> Vec<Unread> {
        let mut unread = Vec::new();
        let Value::Map(pairs) = &root.value else { return unread };
        for (key, value) in pairs {
            match (key.text(), &value.value) {
                (Some("include"), Value::List(items)) => {
                    items.iter().for_each(|item| unread.extend(self.include(item, environment)));
                }
                (Some("include"), _) => unread.extend(self.include(value, environment)),
                (Some(TABLE), Value::Scalar(_)) => {
                    let Some(path) = self.place(value, environment) else { continue };
                    unread.extend(self.read(path, Role::Recipients, value, environment));
                }
                _ => {}
            }
        }
        unread
    }

    /// The path that a value names; what is wrong with it is told by who reads the value.
    fn place(&self, value: &Node, environment: &dyn Environment) -> Option<PathBuf> {
        let text = expand(value.text()?, &|name| environment.variable(name)).ok()?;
        if text.is_empty() {
            return None;
        }
        let main = std::path::absolute(&self.all.first()?.path).ok()?;
        resolved(&text, main.parent()?, environment.home().as_deref())
    }

    fn include(&mut self, value: &Node, environment: &dyn Environment) -> Option<Unread> {
        let path = self.place(value, environment)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let is_pattern = name.contains(['*', '?', '[', '{']);
        let folder = if is_pattern { path.parent().unwrap_or(Path::new("/")).to_owned() } else { path.clone() };
        let Some(mut files) = environment.folder(&folder) else {
            let refused =
                |message: String| Unread { span: (value.start, value.end), key: "include", message, help: None };
            return match is_pattern {
                true => Some(refused(format!("there is no folder {}", folder.display()))),
                false => self.read(path, Role::Included, value, environment),
            };
        };
        let is_rules = |file: &PathBuf| {
            file.extension().is_some_and(|extension| extension == "yaml" || extension == "yml")
                && !file.file_name().unwrap_or_default().to_string_lossy().starts_with('.')
        };
        let pattern = is_pattern.then(|| Patterns::new([name.as_str()], false));
        files.retain(|file| match &pattern {
            Some(pattern) => file.file_name().is_some_and(|name| pattern.matches(Path::new(name))),
            None => is_rules(file),
        });
        files.sort();
        self.folders.push(folder);
        files.into_iter().find_map(|file| self.read(file, Role::Included, value, environment))
    }

    fn read(&mut self, path: PathBuf, role: Role, value: &Node, environment: &dyn Environment) -> Option<Unread> {
        if self
            .all
            .iter()
            .any(|known| known.path == path || std::path::absolute(&known.path).is_ok_and(|at| at == path))
        {
            return None;
        }
        let key = if role == Role::Recipients { TABLE } else { "include" };
        let refused = |message: String, help: Option<&str>| {
            Some(Unread { span: (value.start, value.end), key, message, help: help.map(str::to_owned) })
        };
        if self.all.len() > MOST_FILES {
            return refused(format!("more than {MOST_FILES} files are included"), None);
        }
        match environment.text_file(&path) {
            Ok(text) if text.len() as u64 > LARGEST => {
                refused(format!("{} is larger than {LARGEST} bytes", path.display()), None)
            }
            Ok(text) => {
                let text = text.strip_prefix('\u{feff}').unwrap_or(&text).to_owned();
                let start = self.all.last().map_or(0, |last| last.start + last.text.len() + 1);
                self.all.push(Source { path, text, role, start });
                None
            }
            Err(why) => {
                let help = "give its path, relative to this file; the agent's user must be able to read it";
                refused(format!("cannot read {}: {why}", path.display()), Some(help))
            }
        }
    }
}
