//! Where the API is to be reached: the listener, and whether it is one that only this machine can connect to.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::{UnixListener, UnixStream};

use super::settings::Listen;
use super::{AgentError, Settings};
use crate::api::ApiListener;

pub(super) fn is_loopback(listen: &Listen) -> bool {
    matches!(listen, Listen::Tcp(address) if address.ip().is_loopback())
}

pub(super) fn listen(settings: &Settings) -> Result<(ApiListener, String), AgentError> {
    match &settings.listen {
        Listen::Tcp(address) => {
            if !address.ip().is_loopback() && settings.token.is_none() {
                return Err(AgentError::Open(*address));
            }
            let failed = |source| AgentError::Listen { address: address.to_string(), source };
            let listener = TcpListener::bind(address).map_err(failed)?;
            let bound = listener.local_addr().map_err(failed)?;
            Ok((ApiListener::Tcp(listener), format!("http://{bound}")))
        }
        Listen::Unix(path) => {
            let failed = |source| AgentError::Listen { address: path.display().to_string(), source };
            if UnixStream::connect(path).is_ok() {
                return Err(failed(std::io::ErrorKind::AddrInUse.into()));
            }
            // A socket at which nobody answers was left by a crash.
            let _ = std::fs::remove_file(path);
            // Never open to more than it is to be, not even between being made and being closed.
            let before = rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o177));
            let bound = UnixListener::bind(path);
            rustix::process::umask(before);
            let listener = bound.map_err(failed)?;
            let mode = std::fs::Permissions::from_mode(settings.socket_mode);
            std::fs::set_permissions(path, mode).map_err(failed)?;
            Ok((ApiListener::Unix(listener), format!("unix://{}", path.display())))
        }
    }
}
