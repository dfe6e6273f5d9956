//! Teams, their people and their keys.

use masv_protocol::{
    ChangeKey, ChangeMember, CreatedKey, Key, KeyId, Member, NewKey, NewMember, NewTag, NewTeam, Quota, SetBrand,
    SetQuota, Tag, Team, TeamBrand, TeamId, TeamUsage,
};

use super::Admin;
use crate::CloudError;

impl Admin {
    /// The teams that the caller belongs to; all of them for a hub in this process.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn teams(&self) -> Result<Vec<Team>, CloudError> {
        self.get("list the teams", &["v1", "teams"]).await
    }

    /// Creates a team.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 403 except for a hub in this process.
    pub async fn create_team(&self, team: &NewTeam) -> Result<Team, CloudError> {
        self.post("create a team", &["v1", "teams"], team).await
    }

    /// How much a team has stored.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn team_usage(&self, team: &TeamId) -> Result<TeamUsage, CloudError> {
        self.get("show what the team has stored", &["v1", "teams", team.as_str(), "usage"]).await
    }

    /// Sets a team's quota; stored files are kept.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 403 except for a hub in this process.
    pub async fn set_quota(&self, team: &TeamId, quota: Quota) -> Result<TeamUsage, CloudError> {
        let body = SetQuota { quota: Some(quota) };
        self.put("set the quota", &["v1", "teams", team.as_str(), "quota"], &body).await
    }

    /// How the pages of a team's links look.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn brand(&self, team: &TeamId) -> Result<TeamBrand, CloudError> {
        self.get("show the brand", &["v1", "teams", team.as_str(), "brand"]).await
    }

    /// Sets how the pages of a team's links look; omitted fields stay as they are, empty ones are removed.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with the field that is none.
    pub async fn set_brand(&self, team: &TeamId, brand: &SetBrand) -> Result<TeamBrand, CloudError> {
        self.put("set the brand", &["v1", "teams", team.as_str(), "brand"], brand).await
    }

    /// The people of a team.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn members(&self, team: &TeamId) -> Result<Vec<Member>, CloudError> {
        self.get("list the people of the team", &["v1", "teams", team.as_str(), "members"]).await
    }

    /// Adds a person to a team.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 409 for an existing member.
    pub async fn add_member(&self, team: &TeamId, member: &NewMember) -> Result<Member, CloudError> {
        self.post("add a person", &["v1", "teams", team.as_str(), "members"], member).await
    }

    /// Changes a person, given by id or e-mail address.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 for anyone who is not a member of the team.
    pub async fn change_member(
        &self,
        team: &TeamId,
        member: &str,
        change: &ChangeMember,
    ) -> Result<Member, CloudError> {
        self.put("change a person", &["v1", "teams", team.as_str(), "members", member], change).await
    }

    /// Removes a person, given by id or e-mail address, from a team.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 for anyone who is not a member of the team.
    pub async fn remove_member(&self, team: &TeamId, member: &str) -> Result<(), CloudError> {
        self.delete("remove a person", &["v1", "teams", team.as_str(), "members", member]).await
    }

    /// The API keys of a team, without the keys themselves.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn keys(&self, team: &TeamId) -> Result<Vec<Key>, CloudError> {
        self.get("list the keys", &["v1", "teams", team.as_str(), "api_keys"]).await
    }

    /// Creates an API key; only this response contains the key itself.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn create_key(&self, team: &TeamId, key: &NewKey) -> Result<CreatedKey, CloudError> {
        self.post("create a key", &["v1", "teams", team.as_str(), "api_keys"], key).await
    }

    /// Changes a key.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with 404 where there is no such key, 403 for who is no admin; see [`CloudError`].
    pub async fn change_key(&self, team: &TeamId, key: &KeyId, change: &ChangeKey) -> Result<Key, CloudError> {
        self.put("change a key", &["v1", "teams", team.as_str(), "api_keys", key.as_str()], change).await
    }

    /// Revokes an API key.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 if there is none.
    pub async fn remove_key(&self, team: &TeamId, key: &KeyId) -> Result<(), CloudError> {
        self.delete("remove a key", &["v1", "teams", team.as_str(), "api_keys", key.as_str()]).await
    }

    /// The tags of a team.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn tags(&self, team: &TeamId) -> Result<Vec<Tag>, CloudError> {
        self.get("list the tags", &["v1", "teams", team.as_str(), "tags"]).await
    }

    /// Creates a tag, unless there is one with this name.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn create_tag(&self, team: &TeamId, tag: &NewTag) -> Result<Tag, CloudError> {
        self.post("create a tag", &["v1", "teams", team.as_str(), "tags"], tag).await
    }
}
