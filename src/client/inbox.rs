//! The team's inbox: what was received through its portals, and the tokens to read it.

use std::collections::HashMap;

use jiff::Timestamp;
use masv_protocol::{
    Package, PackageId, PackageQuery, PackageState, PackageWithToken, Page, Portal, PortalId, PortalQuery, TeamId,
};
use reqwest::Method;

use super::{Call, Cloud, CloudError, NO_BODY, ask};

/// Packages per page; more than the service returns at once.
const PAGE: u64 = 100;

/// A page of the inbox.
#[derive(Debug, Clone, Default)]
pub struct InboxPage {
    /// Newest first.
    pub packages: Vec<Package>,
    /// Whether there is another page.
    pub more: bool,
}

impl Cloud {
    /// A page (from 1) of what was received through the team's portals. A cloud that can filter leaves out what was finalized before
    /// `from`.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn inbox(&self, team: &TeamId, page: u64, from: Timestamp) -> Result<InboxPage, CloudError> {
        let query = PackageQuery {
            page: Some(page),
            limit: Some(PAGE),
            sort: Some("-created_at".to_owned()),
            status: vec![PackageState::Finalized],
            finalized_from: Some(from.into()),
            ..PackageQuery::default()
        };
        let request = self.team_request(Method::GET, &["v1.1", "teams", team.as_str(), "inbox"])?;
        let listed: Page<Package> = ask(Call::ListInbox, request.query(&query.pairs()), NO_BODY).await?;
        let more = listed.has_more(page, PAGE);
        Ok(InboxPage { packages: listed.records, more })
    }

    /// The subdomains of the team's portals, by their ids in the cloud.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn portal_names(&self, team: &TeamId) -> Result<HashMap<PortalId, String>, CloudError> {
        let mut names = HashMap::new();
        for page in 1.. {
            let query = PortalQuery { page: Some(page), limit: Some(PAGE), ..PortalQuery::default() };
            let request = self.team_request(Method::GET, &["v1.1", "teams", team.as_str(), "portals"])?;
            let listed: Page<Portal> = ask(Call::ListPortals, request.query(&query.pairs()), NO_BODY).await?;
            let more = listed.has_more(page, PAGE);
            let before = names.len();
            names.extend(listed.records.into_iter().map(|portal| (portal.public.id, portal.public.subdomain)));
            // A cloud that returns the same page repeatedly ends here, too.
            if !more || names.len() == before {
                break;
            }
        }
        Ok(names)
    }

    /// A package of the team, and the token to read it.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 if it was removed; [`CloudError::NotSignedIn`].
    pub async fn team_package(&self, team: &TeamId, package: &PackageId) -> Result<PackageWithToken, CloudError> {
        let path = ["v1.1", "teams", team.as_str(), "packages", package.as_str()];
        ask(Call::OpenPackage, self.team_request(Method::GET, &path)?, NO_BODY).await
    }
}
