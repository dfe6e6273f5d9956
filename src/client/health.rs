//! Whether the cloud can be reached and accepts our credentials, for status checks; nothing is changed there.

use std::time::{Duration, Instant};

use jiff::Timestamp;
use reqwest::Method;
use reqwest::header::DATE;

use super::{Call, Cloud, CloudError, LARGEST_ANSWER, NO_BODY, read_answer, tell};

/// The cloud has responded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reached {
    /// How long it took.
    pub took: Duration,
    /// Seconds by which the cloud's clock is ahead of ours; `None` if it does not report the time.
    pub ahead: Option<i64>,
}

impl Cloud {
    /// Requests something that needs no authorisation.
    ///
    /// # Errors
    /// See [`CloudError`].
    pub async fn reach(&self) -> Result<Reached, CloudError> {
        let call = Call::Limits;
        let (asked, asked_at) = (Instant::now(), Timestamp::now());
        let request = self.open_request(Method::GET, &["v1", "system", "packages", "spec"])?;
        let response = request.send().await.map_err(|error| CloudError::transport(call, &error))?;
        let took = asked.elapsed();
        let date = response.headers().get(DATE).and_then(|value| value.to_str().ok());
        let date = date.and_then(|text| jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok());
        read_answer(call, response, LARGEST_ANSWER).await?;
        // The response was written somewhere between sending and receiving.
        let middle = asked_at.as_second() + i64::try_from(took.as_secs() / 2).unwrap_or(0);
        Ok(Reached { took, ahead: date.map(|date| date.as_second() - middle) })
    }

    /// What a hub says that whoever runs it must look at, in words for programs; nothing of a cloud that is no hub, or does not answer.
    pub async fn hub_problems(&self) -> Vec<String> {
        let Ok(request) = self.open_request(Method::GET, &["healthz"]) else { return Vec::new() };
        let Ok(response) = request.send().await else { return Vec::new() };
        let answer = read_answer(Call::Limits, response, LARGEST_ANSWER).await;
        let health = answer.ok().and_then(|answer| serde_json::from_slice::<masv_protocol::Health>(&answer).ok());
        health.map(|health| health.problems).unwrap_or_default()
    }

    /// Whether the cloud accepts the key or session; `None` when it has no way to tell.
    ///
    /// # Errors
    /// See [`CloudError`]; [`CloudError::NotSignedIn`] and [`CloudError::NoTeam`] before any request.
    pub async fn accepts_us(&self) -> Result<Option<bool>, CloudError> {
        let team = self.find_team(None).await?;
        let request = self.team_request(Method::GET, &["v1", "teams", team.as_str(), "tags"])?;
        match tell(Call::SignIn, request, NO_BODY).await {
            Ok(()) => Ok(Some(true)),
            Err(CloudError::Refused { status: 401 | 403, .. }) => Ok(Some(false)),
            Err(CloudError::Refused { status: 404 | 405, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
