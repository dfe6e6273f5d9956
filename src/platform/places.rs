//! Where this system keeps the data of programs, and the program that shows a page to whoever sits at it.

use std::path::{Path, PathBuf};

use crate::system;

/// The folder in which programs keep the data of the user with this home.
#[must_use]
pub fn user_data_folder(home: &Path) -> PathBuf {
    system::user_data_folder(home)
}

/// The folder in which programs keep the settings of the user with this home.
#[must_use]
pub fn user_config_folder(home: &Path) -> PathBuf {
    system::user_config_folder(home)
}

/// The program that opens a page in a browser, where somebody sits at the machine.
#[must_use]
pub fn page_opener() -> Option<&'static str> {
    system::page_opener()
}

/// An absolute path in a variable of the environment.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn path_in(variable: &str) -> Option<PathBuf> {
    std::env::var_os(variable).map(PathBuf::from).filter(|path| path.is_absolute())
}
