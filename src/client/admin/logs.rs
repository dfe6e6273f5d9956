//! What happened: the audit log, activities, and the webhooks that report them.

use masv_protocol::{Activity, AuditEntry, AuditQuery, Page, PageQuery, TeamId, Webhook, WebhookId, WebhookSettings};
use reqwest::Method;

use super::Admin;
use crate::{CloudError, NO_BODY};

impl Admin {
    /// A page of a team's audit log, newest first.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn audit(&self, team: &TeamId, query: &AuditQuery) -> Result<Page<AuditEntry>, CloudError> {
        let path = ["v1", "teams", team.as_str(), "audit"];
        self.call("show the audit log", Method::GET, &path, &query.pairs(), NO_BODY).await
    }

    /// A page of what happened to a team's packages, newest first.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn activities(&self, team: &TeamId, query: &PageQuery) -> Result<Page<Activity>, CloudError> {
        let path = ["v1.1", "teams", team.as_str(), "activities"];
        self.call("list the activities", Method::GET, &path, &query.pairs(), NO_BODY).await
    }

    /// The webhooks of a team.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn webhooks(&self, team: &TeamId) -> Result<Vec<Webhook>, CloudError> {
        self.get("list the webhooks", &["v1", "teams", team.as_str(), "custom_webhooks"]).await
    }

    /// Creates a webhook.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn create_webhook(&self, team: &TeamId, settings: &WebhookSettings) -> Result<Webhook, CloudError> {
        self.post("create a webhook", &["v1", "teams", team.as_str(), "custom_webhooks"], settings).await
    }

    /// Changes a webhook; omitted fields stay as they are.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn change_webhook(
        &self,
        team: &TeamId,
        webhook: &WebhookId,
        settings: &WebhookSettings,
    ) -> Result<Webhook, CloudError> {
        let path = ["v1", "teams", team.as_str(), "custom_webhooks", webhook.as_str()];
        self.put("change the webhook", &path, settings).await
    }

    /// Removes a webhook.
    ///
    /// # Errors
    /// [`CloudError::Refused`] with status 404 if there is none.
    pub async fn remove_webhook(&self, team: &TeamId, webhook: &WebhookId) -> Result<(), CloudError> {
        let path = ["v1", "teams", team.as_str(), "custom_webhooks", webhook.as_str()];
        self.delete("remove the webhook", &path).await
    }
}
