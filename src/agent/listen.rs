//! Where the API listens, and who may call it without the token.

use std::net::TcpListener;

use secrecy::SecretString;

use super::settings::Listen;
use super::{AgentError, Settings};
use crate::api::{Access, ApiListener, Free};

fn is_loopback(listen: &Listen) -> bool {
    matches!(listen, Listen::Tcp(address) if address.ip().is_loopback())
}

/// Who may call: a token set in the settings is required of everyone, the agent's own one only of those who
/// are neither its user nor root.
pub(super) fn access(settings: &Settings, own_token: SecretString) -> Access {
    let loopback_only = is_loopback(&settings.listen);
    let user = Free::User(masv_platform::own_user());
    let (token, free) = match (&settings.token, &settings.listen) {
        (Some(token), _) => (token.clone(), Free::Nobody),
        // A socket that is open to its group, or to all, is meant for them.
        (None, Listen::Unix(_)) if settings.socket_mode & 0o066 != 0 => (own_token, Free::Everyone),
        (None, _) => (own_token, user),
    };
    Access { token, free, loopback_only }
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
            let listener = masv_platform::listen_locally(path, settings.socket_mode).map_err(failed)?;
            Ok((ApiListener::Unix(listener), format!("unix://{}", path.display())))
        }
    }
}
