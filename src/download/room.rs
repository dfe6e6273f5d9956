//! Space on the disks that downloads go to: each gets what it still needs, or waits; no two are promised the same bytes.
//!
//! If only free space were checked, six packages with space for two would all start, fill the disk, and the last four would never complete.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::model::DownloadId;

/// What is promised to running downloads, by disk.
#[derive(Debug, Default)]
pub(super) struct Room {
    promised: Mutex<HashMap<DownloadId, u64>>,
}

/// What a download needs on a disk.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted {
    /// The device number of its file system.
    pub disk: u64,
    /// Bytes free there.
    pub free: u64,
    /// Bytes still missing.
    pub missing: u64,
}

/// Why there is not enough space.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoRoom {
    /// The disk has less than it needs.
    Full,
    /// The disk would have enough, but other downloads need this much of it.
    Promised(u64),
}

/// Space on a disk, until it is dropped.
#[derive(Debug)]
pub(super) struct Promise<'a> {
    room: &'a Room,
    id: DownloadId,
}

impl Room {
    fn promised(&self) -> MutexGuard<'_, HashMap<DownloadId, u64>> {
        self.promised.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Promises space to a download. `missing` returns how many bytes another one still needs of its promise.
    pub(super) fn promise(
        &self,
        id: DownloadId,
        wanted: Wanted,
        missing: impl Fn(DownloadId) -> u64,
    ) -> Result<Promise<'_>, NoRoom> {
        let mut promised = self.promised();
        let others = promised.iter().filter(|(other, disk)| **other != id && **disk == wanted.disk);
        let others = others.map(|(other, _)| missing(*other)).fold(0, u64::saturating_add);
        if wanted.missing > wanted.free {
            return Err(NoRoom::Full);
        }
        if wanted.missing > wanted.free.saturating_sub(others) {
            return Err(NoRoom::Promised(others));
        }
        promised.insert(id, wanted.disk);
        Ok(Promise { room: self, id })
    }
}

impl Drop for Promise<'_> {
    fn drop(&mut self) {
        self.room.promised().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// There was space for two of six packages: the other four started anyway, and their unfinished files filled the disk.
    #[test]
    fn no_two_downloads_are_promised_the_same_bytes() {
        let (room, ids) = (Room::default(), [DownloadId::new(), DownloadId::new(), DownloadId::new()]);
        let wanted = Wanted { disk: 1, free: 250, missing: 100 };
        let first = room.promise(ids[0], wanted, |_| 100).unwrap();
        let _second = room.promise(ids[1], wanted, |_| 100).unwrap();
        assert_eq!(room.promise(ids[2], wanted, |_| 100).unwrap_err(), NoRoom::Promised(200));
        let elsewhere = Wanted { disk: 2, ..wanted };
        drop(room.promise(ids[2], elsewhere, |_| 100).unwrap());
        let much = Wanted { missing: 300, ..wanted };
        assert_eq!(room.promise(ids[2], much, |_| 100).unwrap_err(), NoRoom::Full);
        // The first has arrived: free space is reduced by it, and its promise is used up.
        drop(first);
        let later = Wanted { free: 150, ..wanted };
        assert_eq!(room.promise(ids[2], later, |_| 100).unwrap_err(), NoRoom::Promised(100));
        assert!(room.promise(ids[2], later, |_| 50).is_ok(), "half of the second is here");
    }
}
