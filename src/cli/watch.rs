//! Following uploads until they are done: bars on a terminal, a JSON line whenever something changes otherwise.

use std::collections::HashMap;
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

use super::client::Client;
use super::error::{CliError, Exit};
use super::output::{Output, duration, size};
use super::upload::state;
use crate::api::types::{Transfers, Upload};
use crate::base::UploadId;
use crate::store::State;

/// How often the agent is asked.
const EVERY: Duration = Duration::from_millis(250);

/// Follows one upload, or all that are not complete, until nothing moves by itself any more.
pub(super) async fn follow(id: Option<UploadId>, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    let mut shown = Shown::new(*output);
    let mut followed: Vec<UploadId> = id.into_iter().collect();
    loop {
        let uploads = match id {
            Some(id) => vec![client.get::<Upload>(&format!("/uploads/{id}")).await?],
            None => {
                let mut list: Vec<Upload> = client.get::<Transfers<Upload>>("/uploads?limit=1000").await?.transfers;
                list.retain(|upload| upload.state == State::Transferring || followed.contains(&upload.id));
                list.iter().for_each(|upload| {
                    if !followed.contains(&upload.id) {
                        followed.push(upload.id);
                    }
                });
                list
            }
        };
        uploads.iter().for_each(|upload| shown.show(upload));
        if uploads.iter().all(|upload| upload.state != State::Transferring) {
            return end(&uploads, &shown);
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            _ = tokio::signal::ctrl_c() => {
                shown.clear();
                output.note("No longer following; the upload goes on.");
                return Ok(ExitCode::from(Exit::Interrupted as u8));
            }
        }
    }
}

fn end(uploads: &[Upload], shown: &Shown) -> Result<ExitCode, CliError> {
    shown.finish();
    match uploads.iter().find(|upload| upload.state == State::Error) {
        None => Ok(ExitCode::SUCCESS),
        Some(failed) => {
            let problem = failed.error.as_ref();
            let message = problem.map_or("it failed", |problem| problem.message.as_str());
            let mut error = CliError::new(Exit::EndedInError, format!("{}: {message}", failed.name));
            error.hint = problem.and_then(|problem| problem.hint.clone());
            Err(error)
        }
    }
}

struct Shown {
    output: Output,
    bars: MultiProgress,
    by_id: HashMap<UploadId, ProgressBar>,
    last_line: HashMap<UploadId, (State, u64)>,
}

impl Shown {
    fn new(output: Output) -> Self {
        Self { output, bars: MultiProgress::new(), by_id: HashMap::new(), last_line: HashMap::new() }
    }

    fn show(&mut self, upload: &Upload) {
        if self.output.is_json() {
            let now = (upload.state, upload.progress);
            if self.last_line.insert(upload.id, now) != Some(now) {
                self.output.json_line(upload);
            }
            return;
        }
        let bar = self.by_id.entry(upload.id).or_insert_with(|| {
            let style = ProgressStyle::with_template("{prefix:24!} {bar:28} {percent:>3}%  {msg}");
            let bar = ProgressBar::new(upload.size.max(1));
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ "));
            bar.set_prefix(upload.name.clone());
            self.bars.add(bar)
        });
        bar.set_length(upload.size.max(1));
        let done =
            if upload.state == State::Complete { upload.size.max(1) } else { upload.progress + upload.in_flight };
        bar.set_position(done);
        bar.set_message(message(upload));
    }

    fn finish(&self) {
        self.by_id.values().for_each(|bar| bar.abandon());
    }

    fn clear(&self) {
        // A terminal that is gone needs no clearing.
        let _ = self.bars.clear();
    }
}

fn message(upload: &Upload) -> String {
    let (state, _) = state(upload);
    if upload.state != State::Transferring {
        return format!("{state}, {}", size(upload.size));
    }
    if let Some(error) = &upload.error {
        return format!("{state}: {}", error.message);
    }
    let left = upload.eta_seconds.map(|eta| format!(", {} left", duration(eta))).unwrap_or_default();
    format!("{}/s{left}", size(upload.speed_bps))
}
