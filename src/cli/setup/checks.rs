//! Checks that the answers work against the real port, mail server and cloud.

use std::net::TcpListener;

use super::answers::{Answers, Destination};
use crate::api::doctor;
use crate::api::types::{Check, Grade};
use crate::cli::error::CliError;
use masv_client::{Cloud, CloudSettings};
use masv_hub::SmtpConfig;
use masv_rules::own_hub::OwnHub;

/// Everything that failed.
pub(super) async fn run(answers: &Answers) -> Vec<CliError> {
    match &answers.destination {
        Destination::OwnHub(hub, _) => own_hub(hub).await,
        Destination::Cloud { url, key } => {
            let settings = CloudSettings {
                base: url.clone(),
                name: None,
                api_key: key.as_ref().map(|key| key.value().clone()),
                team_id: None,
            };
            match Cloud::new(settings) {
                Ok(cloud) => doctor::cloud(&cloud).await.into_iter().filter_map(problem).collect(),
                Err(error) => vec![CliError::usage(error.to_string())],
            }
        }
    }
}

/// A finding that keeps the agent from sending.
fn problem(check: Check) -> Option<CliError> {
    (check.grade == Grade::Red).then(|| {
        let problem = CliError::failed(check.finding);
        match check.todo {
            Some(todo) => problem.hint(todo),
            None => problem,
        }
    })
}

async fn own_hub(hub: &OwnHub) -> Vec<CliError> {
    let mut problems = Vec::new();
    if let Err(problem) = hub.reached_at() {
        problems.push(CliError::usage(problem.to_string()));
    }
    if let Some(listen) = hub.listen
        && let Err(error) = TcpListener::bind(listen)
    {
        problems.push(
            CliError::failed(format!("cannot listen on {listen}: {error}"))
                .hint("choose another port, or an address of this machine (`ip address`)"),
        );
    }
    if let Some(smtp) = &hub.smtp {
        let (username, password) = smtp.login.clone().unzip();
        let config = SmtpConfig { url: smtp.url.to_string(), username, password, authority: smtp.authority.clone() };
        if let Err(error) = masv_hub::try_mail_server(&config, hub.mail_from.as_deref()).await {
            problems.push(
                CliError::failed(format!("the mail server {}: {error}", smtp.url))
                    .hint("check the host, port, encryption, user name and password"),
            );
        }
    }
    problems
}
