//! Who is told when something is wrong with the agent: the flags `--alert-...`, their variables, and the section `alerts` of the settings file.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use jiff::SignedDuration;
use serde::Deserialize;
use url::Url;

use super::{AgentError, Sources, read_secret, setting};
use crate::alerts::{AlertSettings, Mail, Webhook};
use masv_hub::SmtpConfig;
use masv_rules::own_hub::OwnHub;

/// How long something has to be wrong, if nothing else is said.
const AFTER: Duration = Duration::from_secs(300);

/// The settings of alerts, as written.
#[derive(Debug, Clone, Default, Args, Deserialize)]
#[serde(default, deny_unknown_fields, rename_all = "kebab-case")]
pub struct WrittenAlerts {
    /// Where to POST what is wrong with the agent, such as a full disk or a failing rule: an http or https URL [default: nowhere]
    #[arg(
        id = "alert_webhook",
        long = "alert-webhook",
        value_name = "URL",
        env = "MASV_ALERT_WEBHOOK",
        hide_env_values = true
    )]
    pub webhook: Option<String>,
    /// A file with the secret that signs these messages, which others cannot read.
    #[arg(
        id = "alert_webhook_secret_file",
        long = "alert-webhook-secret-file",
        value_name = "FILE",
        env = "MASV_ALERT_WEBHOOK_SECRET_FILE"
    )]
    pub webhook_secret_file: Option<PathBuf>,
    /// Whom to e-mail the same, by the mail server of --hub-smtp-url, even where the agent sends to another cloud; can be repeated.
    #[arg(
        id = "alert_email",
        long = "alert-email",
        value_name = "ADDRESS",
        value_delimiter = ',',
        env = "MASV_ALERT_EMAIL"
    )]
    pub email: Vec<String>,
    /// How long something has to be wrong before it is told, such as 30s or 10m [default: 5m]
    #[arg(id = "alert_after", long = "alert-after", value_name = "DURATION", env = "MASV_ALERT_AFTER")]
    pub after: Option<String>,
}

/// The settings of alerts, built; the mail server is known when the rules are read.
#[derive(Debug, Clone)]
pub struct Alerting {
    webhook: Option<Webhook>,
    to: Vec<String>,
    after: Duration,
}

/// The settings put together, and the files that they name.
pub(super) fn build(
    given: WrittenAlerts,
    file: WrittenAlerts,
    from: &mut Sources,
) -> Result<(Alerting, Vec<PathBuf>), AgentError> {
    let listed = |addresses: Vec<String>| Some(addresses).filter(|addresses| !addresses.is_empty());
    // An address may hold a secret, as those of chat programs do.
    let host =
        |text: &String| Url::parse(text).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
    let webhook = from.choose("alert-webhook", given.webhook, file.webhook, host, "none");
    let path = |path: &PathBuf| path.display().to_string();
    let secret_file =
        from.choose("alert-webhook-secret-file", given.webhook_secret_file, file.webhook_secret_file, path, "none");
    let to = from.choose("alert-email", listed(given.email), listed(file.email), |all| all.join(","), "none");
    let after = from.choose("alert-after", given.after, file.after, String::clone, "5m");
    let own_files = secret_file.iter().cloned().collect();
    let secret = secret_file.map(|path| read_secret("--alert-webhook-secret-file", &path)).transpose()?;
    let webhook = match webhook {
        Some(text) => Some(Webhook { url: url(&text)?, secret }),
        None if secret.is_some() => {
            return Err(setting(
                "--alert-webhook",
                "is missing: whom is the secret of --alert-webhook-secret-file for?",
            ));
        }
        None => None,
    };
    let to = to.unwrap_or_default();
    if let Some(wrong) = to.iter().find(|address| !plausible(address)) {
        return Err(setting("--alert-email", format!("{wrong:?} is not an e-mail address")));
    }
    let after = after.as_deref().map(duration).transpose()?.unwrap_or(AFTER);
    Ok((Alerting { webhook, to, after }, own_files))
}

impl Alerting {
    /// What it takes to tell; `None` if nobody is to be told. `hub` names the mail server.
    pub(in crate::agent) fn settings(&self, hub: &OwnHub, host: &str) -> Result<Option<AlertSettings>, AgentError> {
        let mail = match (self.to.is_empty(), &hub.smtp) {
            (true, _) => None,
            (false, None) => {
                return Err(setting(
                    "--alert-email",
                    "needs a mail server: name it with --hub-smtp-url, or in `hub: { smtp: ... }` of the rules file",
                ));
            }
            (false, Some(smtp)) => {
                let (username, password) = smtp.login.clone().unzip();
                let server =
                    SmtpConfig { url: smtp.url.to_string(), username, password, authority: smtp.authority.clone() };
                let from = hub.mail_from.clone().unwrap_or_else(|| format!("masv <masv@{}>", domain(host)));
                Some(Mail { server, from, to: self.to.clone() })
            }
        };
        let nobody = mail.is_none() && self.webhook.is_none();
        Ok((!nobody).then(|| AlertSettings { webhook: self.webhook.clone(), mail, after: self.after }))
    }
}

/// A host's name as the domain of an address.
fn domain(host: &str) -> String {
    let kept: String = host.chars().filter(|one| one.is_ascii_alphanumeric() || matches!(one, '-' | '.')).collect();
    if kept.is_empty() { "localhost".to_owned() } else { kept }
}

/// One `@` with something on either side: the mail server knows the rest.
fn plausible(address: &str) -> bool {
    let sound = !address.contains(|one: char| one.is_control() || one.is_whitespace() || matches!(one, '<' | '>'));
    sound
        && address
            .split_once('@')
            .is_some_and(|(name, host)| !name.is_empty() && !host.is_empty() && !host.contains('@'))
}

fn url(text: &str) -> Result<Url, AgentError> {
    let fits = |url: &Url| matches!(url.scheme(), "http" | "https") && url.has_host();
    let wrong = || setting("--alert-webhook", "is not a URL such as https://chat.example.com/hooks/operators");
    Url::parse(text).ok().filter(fits).ok_or_else(wrong)
}

fn duration(text: &str) -> Result<Duration, AgentError> {
    let read = text.parse::<SignedDuration>().ok().and_then(|duration| Duration::try_from(duration).ok());
    read.ok_or_else(|| setting("--alert-after", format!("{text:?} is not a duration such as 30s or 10m")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(alerts: WrittenAlerts) -> Result<Alerting, String> {
        let mut from = Sources::new(super::super::Origins::new(), None);
        build(alerts, WrittenAlerts::default(), &mut from)
            .map(|(alerting, _)| alerting)
            .map_err(|error| error.to_string())
    }

    #[test]
    fn what_could_never_be_told_is_refused_by_its_setting() {
        let written = WrittenAlerts::default;
        for (alerts, named) in [
            (WrittenAlerts { webhook: Some("chat.example.com".into()), ..written() }, "--alert-webhook"),
            (WrittenAlerts { email: vec!["ops".into()], ..written() }, "--alert-email"),
            (WrittenAlerts { email: vec!["a@b\r\nBcc: c@d".into()], ..written() }, "--alert-email"),
            (WrittenAlerts { after: Some("soon".into()), ..written() }, "--alert-after"),
            (WrittenAlerts { after: Some("-5m".into()), ..written() }, "--alert-after"),
        ] {
            let error = built(alerts).unwrap_err();
            assert!(error.contains(named), "{error}");
        }
        let mail = built(WrittenAlerts { email: vec!["ops@example.com".into()], ..written() }).unwrap();
        let error = mail.settings(&OwnHub::default(), "ingest-1").unwrap_err().to_string();
        assert!(error.contains("--hub-smtp-url"), "{error}");
    }

    #[test]
    fn without_receivers_nothing_is_watched() {
        let nobody = built(WrittenAlerts { after: Some("1m 30s".into()), ..WrittenAlerts::default() }).unwrap();
        assert_eq!(nobody.after, Duration::from_secs(90));
        assert!(nobody.settings(&OwnHub::default(), "ingest-1").unwrap().is_none());
    }
}
