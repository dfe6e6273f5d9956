//! What a person can do on Linux about what was found.

use std::path::Path;

pub(crate) fn clock_advice() -> String {
    "synchronize the clock: `timedatectl set-ntp true`".to_owned()
}

pub(crate) fn more_descriptors_advice() -> String {
    "raise the limit: LimitNOFILE= in a drop-in for the unit, or `ulimit -n 65536` before starting".to_owned()
}

pub(crate) fn let_read_advice(folder: &Path) -> String {
    format!(
        "let the agent's user read and enter it: `setfacl -R -m u:masv-agent:rX {}`; service.md in the documentation says how",
        folder.display()
    )
}

pub(crate) fn let_write_advice() -> String {
    "give the agent's user write access, and for a service add ReadWritePaths=; see service.md in the documentation"
        .to_owned()
}

pub(crate) fn keep_watch_limit_advice() -> String {
    "run that as root, and add the same to /etc/sysctl.d; until then new files are noticed a little later".to_owned()
}
