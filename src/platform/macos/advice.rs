//! What a person can do on a Mac about what was found.

use std::path::Path;

pub(crate) fn clock_advice() -> String {
    "set the clock by the network: System Settings, General, Date & Time".to_owned()
}

pub(crate) fn more_descriptors_advice() -> String {
    "raise it: NumberOfFiles in the service's property list, or `ulimit -n 10240` before the start".to_owned()
}

/// Permissions are not the only ones to ask: privacy protection refuses as well, with "Operation not permitted".
pub(crate) fn let_read_advice(folder: &Path) -> String {
    format!(
        "let the agent's user read and enter it: `chmod -R +a \"USER allow list,search,read\" {}`; if it says \"Operation not permitted\", add masv in \
         System Settings, Privacy & Security, Full Disk Access; service.md in the documentation says how",
        folder.display()
    )
}

pub(crate) fn let_write_advice() -> String {
    "let the agent's user write it; if it says \"Operation not permitted\", add masv in System Settings, Privacy & Security, Full Disk Access; \
     service.md in the documentation says how"
        .to_owned()
}

pub(crate) fn keep_watch_limit_advice() -> String {
    "until then drops are noticed a little later".to_owned()
}
