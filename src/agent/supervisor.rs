//! The essential parts of the agent: if one of them ends unexpectedly, the agent ends with a clear error, and
//! the service manager restarts it. Nothing is lost by that (see docs/decisions/0002-crash-only.md), and an agent that
//! looks alive but does nothing is worse than one that is known to be down.

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{Id, JoinError, JoinSet};

use super::AgentError;

/// The running parts.
#[derive(Default)]
pub(super) struct Supervisor {
    tasks: JoinSet<Result<(), String>>,
    names: HashMap<Id, &'static str>,
}

impl Supervisor {
    /// Runs a part; `name` is for people.
    pub(super) fn run<E: std::error::Error>(
        &mut self,
        name: &'static str,
        part: impl Future<Output = Result<(), E>> + Send + 'static,
    ) {
        let task = self.tasks.spawn(async move { part.await.map_err(|error| describe(&error)) });
        self.names.insert(task.id(), name);
    }

    /// Supervises something that runs elsewhere, and ends only when that has ended.
    pub(super) fn watch(&mut self, name: &'static str, ended: impl Future<Output = ()> + Send + 'static) {
        let task = self.tasks.spawn(async move {
            ended.await;
            Ok(())
        });
        self.names.insert(task.id(), name);
    }

    /// Waits until a part has ended, which none does unless it is stopped.
    pub(super) async fn failed(&mut self) -> AgentError {
        match self.tasks.join_next_with_id().await {
            Some(ended) => self.error(ended),
            None => std::future::pending().await,
        }
    }

    fn error(&self, ended: Result<(Id, Result<(), String>), JoinError>) -> AgentError {
        let (id, reason) = match ended {
            Ok((id, Ok(()))) => (id, "it stopped".to_owned()),
            Ok((id, Err(reason))) => (id, reason),
            Err(error) => (error.id(), error.to_string()),
        };
        AgentError::PartEnded { part: self.names.get(&id).copied().unwrap_or("a part"), reason }
    }

    /// Waits until all parts that were stopped have ended; mere supervision is dropped.
    pub(super) async fn wind_down(mut self, watched: &[&str]) {
        let watching = self.names.values().filter(|name| watched.contains(name)).count();
        while self.tasks.len() > watching && self.tasks.join_next().await.is_some() {}
    }
}

/// An error and its causes in one line.
fn describe(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn whatever_ends_is_named_with_its_reason() {
        let mut vital = Supervisor::default();
        vital.run("the API", std::future::pending::<Result<(), std::io::Error>>());
        vital.run("the hub", async { Err(std::io::Error::other("no more sockets")) });
        assert_eq!(vital.failed().await.to_string(), "the hub ended unexpectedly: no more sockets");
        vital.watch("the engine", async {});
        assert_eq!(vital.failed().await.to_string(), "the engine ended unexpectedly: it stopped");
        vital.run::<std::io::Error>("the outbox", async { panic!("a bug") });
        let error = vital.failed().await.to_string();
        assert!(error.contains("the outbox ended unexpectedly") && error.contains("panicked"), "{error}");
    }
}
