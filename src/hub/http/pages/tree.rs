//! The files of a package as the tree that they were.

use masv_protocol::FileKind;
use minijinja::{Value, context};

use super::view;
use crate::format;
use crate::http::checksums;
use crate::records::files::FileRow;

/// How deep folders are shown one in another; below, their names are joined.
const DEEPEST: usize = 20;

/// A folder of a package.
#[derive(Debug, Default)]
struct Folder {
    name: String,
    folders: Vec<Folder>,
    files: Vec<Value>,
    count: usize,
    bytes: u64,
}

/// The tree of `rows` for a template: `folders` of the same kind, `files`, `count` and `size` of all below. Directories
/// that have no files are left out.
pub(super) fn tree(rows: &[FileRow]) -> Value {
    let mut root = Folder::default();
    for row in rows.iter().filter(|row| row.kind == FileKind::File) {
        root.add(&row.path, row, 0);
    }
    root.measure();
    root.into_value()
}

impl Folder {
    fn add(&mut self, path: &str, row: &FileRow, depth: usize) {
        if path.is_empty() {
            self.bytes = self.bytes.saturating_add(row.size);
            return self.files.push(context! {
                id => row.id.as_str(),
                name => &row.name,
                size => format::bytes(row.size),
                lost => row.lost,
                see => view::can_be_seen(row),
                md5 => checksums::shown(row),
            });
        }
        let (name, rest) = match path.split_once('/') {
            Some(parts) if depth < DEEPEST => parts,
            _ => (path, ""),
        };
        // Rows are sorted by path, so an existing folder is most likely the last one.
        let at = self.folders.iter().rposition(|folder| folder.name == name).unwrap_or_else(|| {
            self.folders.push(Self { name: name.to_owned(), ..Self::default() });
            self.folders.len() - 1
        });
        self.folders[at].add(rest, row, depth + 1);
    }

    fn measure(&mut self) {
        self.count = self.files.len();
        for folder in &mut self.folders {
            folder.measure();
            self.count += folder.count;
            self.bytes = self.bytes.saturating_add(folder.bytes);
        }
    }

    fn into_value(self) -> Value {
        let folders: Vec<Value> = self.folders.into_iter().map(Self::into_value).collect();
        let size = format::bytes(self.bytes);
        context! { name => self.name, count => self.count, size, folders, files => self.files }
    }
}
