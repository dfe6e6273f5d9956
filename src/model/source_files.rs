//! The files of an order, and names for them that are different from each other.
//!
//! A package may have hundreds of thousands of files: whoever orders it knows them already, so that an order says how to make each
//! [`SourceFile`] and does not hold them all.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::fmt::Debug;
use std::hash::BuildHasher;
use std::sync::Arc;

use masv_protocol::PackagePath;

use super::SourceFile;

/// Where files of an order come from.
pub trait SourceList: Debug + Send + Sync {
    /// How many there are.
    fn count(&self) -> usize;

    /// The file with this index, from 0; always the same one. `None` beyond the last.
    fn file(&self, index: usize) -> Option<SourceFile>;
}

impl SourceList for Vec<SourceFile> {
    fn count(&self) -> usize {
        self.len()
    }

    fn file(&self, index: usize) -> Option<SourceFile> {
        self.get(index).cloned()
    }
}

/// The files of an order; clones share them.
#[derive(Debug, Clone)]
pub struct SourceFiles(Arc<dyn SourceList>);

impl SourceFiles {
    /// The files of this list.
    pub fn new(list: impl SourceList + 'static) -> Self {
        Self(Arc::new(list))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.count()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Each file, made when it is asked for.
    pub fn iter(&self) -> impl Iterator<Item = SourceFile> + '_ {
        (0..self.len()).filter_map(|index| self.0.file(index))
    }

    /// The bytes of all of them.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.iter().map(|file| file.identity.size).fold(0, u64::saturating_add)
    }
}

impl From<Vec<SourceFile>> for SourceFiles {
    fn from(files: Vec<SourceFile>) -> Self {
        Self::new(files)
    }
}

/// Makes the paths in a package distinct: the second file of a name gets a number, for a package cannot hold two.
///
/// Of each name a number of 64 bits is kept. Should two names ever have the same one, a file is called ` (2)` that need not be.
#[derive(Debug)]
pub struct DistinctPaths {
    form: fn(&PackagePath) -> String,
    taken: HashSet<u64>,
    hasher: RandomState,
}

impl DistinctPaths {
    /// No path is taken. Two paths are one name where `form` makes the same of both.
    #[must_use]
    pub fn new(form: fn(&PackagePath) -> String) -> Self {
        Self { form, taken: HashSet::new(), hasher: RandomState::new() }
    }

    /// Takes a path, or the same with the first number that is free.
    pub fn take(&mut self, wanted: PackagePath) -> PackagePath {
        let (mut path, mut number) = (wanted.clone(), 1);
        while !self.taken.insert(self.hasher.hash_one((self.form)(&path))) {
            number += 1;
            path = wanted.numbered(number);
        }
        path
    }
}
