//! What a person can do on Linux about what was found.

use std::path::Path;

pub(crate) fn clock_advice() -> String {
    "set the clock by the network: `timedatectl set-ntp true`".to_owned()
}

pub(crate) fn more_descriptors_advice() -> String {
    "raise it: LimitNOFILE= in a drop-in of the unit, or `ulimit -n 65536` before the start".to_owned()
}

pub(crate) fn let_read_advice(folder: &Path) -> String {
    format!(
        "let the agent's user read and enter it: `setfacl -R -m u:masv-agent:rX {}`; service.md in the documentation says how",
        folder.display()
    )
}

pub(crate) fn let_write_advice() -> String {
    "let the agent's user write it, and as a service give it ReadWritePaths=; service.md in the documentation says how"
        .to_owned()
}

pub(crate) fn keep_watch_limit_advice() -> String {
    "run that as root, and write the same into /etc/sysctl.d; until then drops are noticed a little later".to_owned()
}
