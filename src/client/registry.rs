//! The clouds that an agent deals with: its own, with its key or session, and those that links lead to or that
//! still have packages. Our key is never sent to those: there the link or the package's own token is
//! what authorises.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use masv_protocol::TeamId;
use url::Url;

use super::{Cloud, CloudError, CloudSettings};

/// The agent's own cloud, and clients of others by their URL.
#[derive(Debug)]
pub struct Clouds {
    own: Cloud,
    others: Mutex<HashMap<String, Cloud>>,
}

impl Clouds {
    /// Initially only the agent's own is known.
    #[must_use]
    pub fn new(own: Cloud) -> Self {
        Self { own, others: Mutex::default() }
    }

    /// The agent's own.
    #[must_use]
    pub fn own(&self) -> &Cloud {
        &self.own
    }

    /// Whether a package is recorded as being in the agent's own.
    #[must_use]
    pub fn is_own(&self, cloud: &str) -> bool {
        let address = self.own.base().as_str().trim_end_matches('/');
        cloud == self.own.name() || cloud.trim_end_matches('/') == address
    }

    /// The cloud that has a package: the agent's own if so recorded, or if nothing is recorded, or if the package belongs to our
    /// team: then our cloud has only moved to another URL.
    ///
    /// # Errors
    /// [`CloudError::Elsewhere`] for one that has a name but no address, such as the embedded hub when it is not running.
    pub fn of_package(&self, cloud: Option<&str>, team: Option<&TeamId>) -> Result<Cloud, CloudError> {
        let ours = team.is_some_and(|team| self.own.has_team(team));
        match cloud {
            Some(name) if !ours && !self.is_own(name) => self.keyless(name),
            _ => Ok(self.own.clone()),
        }
    }

    /// A client of the cloud with a name or URL, without any key.
    ///
    /// # Errors
    /// [`CloudError::Elsewhere`] for an invalid URL, [`CloudError::Setup`].
    pub fn keyless(&self, base: &str) -> Result<Cloud, CloudError> {
        let mut others = self.others.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(cloud) = others.get(base) {
            return Ok(cloud.clone());
        }
        let address = if base == self.own.name() {
            self.own.base().clone()
        } else {
            Url::parse(base).map_err(|_| CloudError::Elsewhere { name: base.to_owned() })?
        };
        let patience = self.own.patience();
        let cloud =
            Cloud::patient(CloudSettings { base: address, name: None, api_key: None, team_id: None }, patience)?;
        others.insert(base.to_owned(), cloud.clone());
        Ok(cloud)
    }
}
