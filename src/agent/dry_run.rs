//! What rules would send, without a running agent: nothing is known about earlier transfers, so
//! everything counts as new.

use super::AgentError;
use crate::watch::{self, DryRun, WatchSettings};
use masv_platform::host_name;
use masv_rules::RuleSet;

/// What these rules would send if nothing had been sent before.
///
/// # Errors
/// None that depend on the rules; a folder that cannot be read is reported in its [`DryRun`].
pub async fn dry_run(rules: &RuleSet) -> Result<Vec<DryRun>, AgentError> {
    let settings = WatchSettings { host: host_name(), ..WatchSettings::default() };
    Ok(watch::dry_run(rules, None, &settings).await?)
}
