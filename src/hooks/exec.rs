//! One run of a program with a message on its standard input: no shell, a clean environment, a time limit.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::time::timeout;

use crate::store::Telling;
use masv_platform::end_group;

/// How long a program may run.
const LIMIT: Duration = Duration::from_secs(60);
/// How long to wait for its output after it has ended: something it left running may hold the output open.
const OUTPUT_LIMIT: Duration = Duration::from_millis(500);
/// How many bytes of its output are logged.
const LOGGED: usize = 4096;
/// Variables that it inherits from our environment.
const PASSED: [&str; 3] = ["PATH", "HOME", "LANG"];

/// Ends a program and everything that it has started, when it is given up.
struct Group(Option<u32>);

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(group) = self.0 {
            end_group(group);
        }
    }
}

/// Runs the program in `folder`; returns why it did not succeed.
pub(super) async fn run(
    program: &str,
    arguments: &[String],
    folder: Option<&Path>,
    telling: &Telling,
) -> Result<(), String> {
    run_within(LIMIT, program, arguments, folder, telling).await
}

async fn run_within(
    limit: Duration,
    program: &str,
    arguments: &[String],
    folder: Option<&Path>,
    telling: &Telling,
) -> Result<(), String> {
    let mut command = Command::new(program);
    command.args(arguments).env_clear().envs(environment(telling));
    if let Some(folder) = folder {
        command.current_dir(folder);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| format!("it cannot be started: {error}"))?;
    let mut group = Group(child.id());
    if let Some(mut input) = child.stdin.take() {
        let message = telling.message.to_string();
        tokio::spawn(async move {
            // It need not read its input.
            let _ = input.write_all(message.as_bytes()).await;
        });
    }
    let output = [
        child.stdout.take().map(|pipe| tokio::spawn(beginning(pipe))),
        child.stderr.take().map(|pipe| tokio::spawn(beginning(pipe))),
    ];
    let ended = timeout(limit, child.wait()).await;
    if ended.is_ok() {
        // What it left running on purpose continues.
        group.0 = None;
    }
    drop(group);
    for output in output.into_iter().flatten() {
        if let Ok(Ok(text)) = timeout(OUTPUT_LIMIT, output).await
            && !text.is_empty()
        {
            tracing::debug!(program, output = %String::from_utf8_lossy(&text), "output of a notified program");
        }
    }
    match ended {
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(Ok(status)) => Err(format!("it ended with {status}")),
        Ok(Err(error)) => Err(error.to_string()),
        Err(_) => Err(format!("it did not end within {} s and was killed", limit.as_secs())),
    }
}

fn environment(telling: &Telling) -> Vec<(&'static str, String)> {
    let mut variables: Vec<(&str, String)> =
        PASSED.into_iter().filter_map(|name| std::env::var(name).ok().map(|value| (name, value))).collect();
    let upload = &telling.message["upload"];
    let download = &telling.message["download"];
    let text = |value: &serde_json::Value| match value {
        serde_json::Value::Null => String::new(),
        serde_json::Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    // A name may contain what a variable cannot.
    let named = |value: &serde_json::Value| text(value).replace('\0', "");
    variables.push(("MASV_EVENT", telling.event.clone()));
    variables.push(("MASV_DELIVERY", telling.delivery.clone()));
    variables.push(("MASV_RULE", telling.rule.clone()));
    variables.push(("MASV_UPLOAD_ID", text(&upload["id"])));
    variables.push(("MASV_UPLOAD_NAME", named(&upload["name"])));
    variables.push(("MASV_UPLOAD_FILES", text(&upload["files"])));
    variables.push(("MASV_UPLOAD_BYTES", text(&upload["bytes"])));
    variables.push(("MASV_LINK", named(&upload["link"])));
    variables.push(("MASV_PACKAGE_ID", named(&upload["package_id"])));
    variables.push(("MASV_DOWNLOAD_ID", text(&download["id"])));
    variables.push(("MASV_DOWNLOAD_NAME", named(&download["name"])));
    variables.push(("MASV_DOWNLOAD_FILES", text(&download["files"])));
    variables.push(("MASV_DOWNLOAD_BYTES", text(&download["bytes"])));
    variables.push(("MASV_PORTAL", named(&download["portal"])));
    variables.push(("MASV_DESTINATION", named(&download["destination"])));
    variables.push(("MASV_ERROR", named(&telling.message["error"]["message"])));
    variables
}

/// The first bytes of the output; the rest is read and discarded, so that the writer never blocks.
async fn beginning(mut pipe: impl AsyncRead + Unpin) -> Vec<u8> {
    let (mut kept, mut block) = (Vec::new(), [0; 4096]);
    while let Ok(read @ 1..) = pipe.read(&mut block).await {
        let room = LOGGED - kept.len();
        kept.extend(block.iter().take(read.min(room)));
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_program_that_does_not_end_is_killed_with_what_it_started() {
        let folder = tempfile::tempdir().unwrap();
        let telling = Telling {
            delivery: "1".into(),
            rule: "dailies".into(),
            target: "x".into(),
            event: "upload.complete".into(),
            message: serde_json::json!({}),
        };
        // The program's child writes if it is not killed with it.
        let script = "(sleep 2; touch late) & echo started > begun; wait";
        let outcome = run_within(
            Duration::from_millis(700),
            "/bin/sh",
            &["-c".to_owned(), script.to_owned()],
            Some(folder.path()),
            &telling,
        )
        .await;
        let reason = outcome.unwrap_err();
        assert!(reason.contains("was killed"), "{reason}");
        assert!(folder.path().join("begun").exists());
        tokio::time::sleep(Duration::from_secs(2)).await;
        assert!(!folder.path().join("late").exists());
    }
}
