//! A PostgreSQL for the hubs of tests: each has tables of its own there.
//!
//! `MASV_TEST_POSTGRES` names the folder of its socket, `MASV_TEST_ON_POSTGRES` has every test hub use it; these then keep their files in
//! the bucket of the S3 server for tests.

use std::path::{Path, PathBuf};
use std::sync::Mutex;

use masv_db::scratch::Scratch;
use masv_hub::SharedDatabase;

/// A key as an operator makes it.
const KEY: &str = "9d4c0e6b3b0f5a7de1c2a4968f03b5d7e6a1908c2f4b6d8e0a1c3e5f7092b4d6\n";

/// The tables of hubs, by their folders.
static KEPT: Mutex<Vec<(PathBuf, Scratch)>> = Mutex::new(Vec::new());

/// What the database of the hub with this folder answers, where test hubs share databases.
pub fn ask(folder: &Path, sql: &str) -> Option<Vec<Vec<String>>> {
    let kept = KEPT.lock().unwrap();
    let (_, scratch) = kept.iter().find(|(known, _)| known == folder)?;
    Some(scratch.ask(sql.to_owned()).unwrap())
}

/// The database of a hub with this folder, where test hubs are to share databases; the next hub in the folder finds what the one before had.
pub fn everywhere(folder: &Path) -> Option<SharedDatabase> {
    Scratch::is_wanted().then(|| {
        let known = folder.join("database");
        let url = std::fs::read_to_string(&known).unwrap_or_else(|_| {
            let Some(scratch) = Scratch::new() else { panic!("MASV_TEST_ON_POSTGRES needs MASV_TEST_POSTGRES") };
            let url = scratch.url();
            std::fs::write(&known, &url).unwrap();
            // The hub may outlive the test by a little; the server goes as a whole.
            KEPT.lock().unwrap().push((folder.to_owned(), scratch));
            url
        });
        at(url, folder)
    })
}

/// The database at this URL, with the key file in this folder.
pub fn at(url: String, folder: &Path) -> SharedDatabase {
    let secret_key_file = folder.join("shared.key");
    // The next hub in the folder has the keys that were put there meanwhile.
    if !secret_key_file.exists() {
        std::fs::write(&secret_key_file, KEY).unwrap();
    }
    SharedDatabase { url: url.into(), password: None, secret_key_file }
}
