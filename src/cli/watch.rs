//! Following uploads until they are done: progress bars on a terminal, otherwise a JSON line for each change.

use std::collections::{BTreeMap, HashMap};
use std::process::ExitCode;
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar};

use super::bars::Bars;
use super::client::Client;
use super::error::{CliError, Exit};
use super::interrupt::Interrupt;
use super::output::{Output, duration, size, visible};
use super::transfers::Transfer;
use crate::api::types::{Transfers, Upload};
use crate::model::UploadId;
use crate::model::{Activity, State};

/// How often the agent is polled.
const EVERY: Duration = Duration::from_millis(250);

/// Follows one upload, or all that are not complete, until all are complete, paused or failed.
pub(super) async fn follow(id: Option<UploadId>, client: &Client, output: &Output) -> Result<ExitCode, CliError> {
    let mut interrupt = Interrupt::listen();
    let mut shown = Shown::new(*output);
    let mut followed: BTreeMap<UploadId, Upload> = BTreeMap::new();
    loop {
        let moving = look(id, &mut followed, client).await?;
        followed.values().for_each(|upload| shown.show(upload));
        shown.forget_others(&followed);
        if !moving {
            return end(followed.values(), &shown);
        }
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = interrupt.pressed() => {
                shown.clear();
                output.note("No longer following; the upload continues.");
                return Ok(ExitCode::from(Exit::Interrupted as u8));
            }
        }
    }
}

/// Polls the followed uploads and those started since; returns whether any is active.
async fn look(
    id: Option<UploadId>,
    followed: &mut BTreeMap<UploadId, Upload>,
    client: &Client,
) -> Result<bool, CliError> {
    if let Some(id) = id {
        let upload: Upload = client.get(&format!("/uploads/{id}")).await?;
        let moves = upload.state == State::Transferring;
        followed.insert(id, upload);
        return Ok(moves);
    }
    let moving = client.get::<Transfers<Upload>>("/uploads?states=transferring").await?.transfers;
    let moved = followed.values().filter(|upload| upload.state == State::Transferring).map(|upload| upload.id);
    let stopped: Vec<UploadId> = moved.filter(|id| !moving.iter().any(|upload| upload.id == *id)).collect();
    for id in stopped {
        match client.get(&format!("/uploads/{id}")).await {
            Ok(upload) => drop(followed.insert(id, upload)),
            // It was removed.
            Err(error) if error.exit == Exit::NotFound => drop(followed.remove(&id)),
            Err(error) => return Err(error),
        }
    }
    let moves = !moving.is_empty();
    followed.extend(moving.into_iter().map(|upload| (upload.id, upload)));
    Ok(moves)
}

fn end<'a>(mut uploads: impl Iterator<Item = &'a Upload>, shown: &Shown) -> Result<ExitCode, CliError> {
    shown.finish();
    match uploads.find(|upload| upload.state == State::Error) {
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

/// What is compared to decide whether to print a line.
#[derive(PartialEq)]
struct Seen {
    state: State,
    activity: Option<Activity>,
    progress: u64,
    files_done: u64,
    size: u64,
    problem: Option<String>,
}

impl Seen {
    fn of(upload: &Upload) -> Self {
        Self {
            state: upload.state,
            activity: upload.activity,
            progress: upload.progress,
            files_done: upload.files_done,
            size: upload.size,
            problem: upload.error.as_ref().map(|problem| problem.message.clone()),
        }
    }
}

struct Shown {
    output: Output,
    bars: MultiProgress,
    looks: Bars,
    by_id: HashMap<UploadId, ProgressBar>,
    last_line: HashMap<UploadId, Seen>,
}

impl Shown {
    fn new(output: Output) -> Self {
        Self {
            output,
            bars: MultiProgress::new(),
            looks: Bars::now(),
            by_id: HashMap::new(),
            last_line: HashMap::new(),
        }
    }

    fn show(&mut self, upload: &Upload) {
        if self.output.is_json() {
            let now = Seen::of(upload);
            if self.last_line.get(&upload.id) != Some(&now) {
                self.output.json_line(upload);
                self.last_line.insert(upload.id, now);
            }
            return;
        }
        let looks = Bars::now();
        if looks != self.looks {
            self.looks = looks;
            self.by_id.values().for_each(|bar| bar.set_style(looks.style()));
        }
        let bar = self.by_id.entry(upload.id).or_insert_with(|| {
            // Added before it gets a message: a bar on its own would draw an extra line.
            let bar = self.bars.add(ProgressBar::new(upload.size.max(1)));
            bar.set_style(self.looks.style());
            bar.set_prefix(visible(&upload.name));
            bar
        });
        bar.set_length(upload.size.max(1));
        let done =
            if upload.state == State::Complete { upload.size.max(1) } else { upload.progress + upload.in_flight };
        bar.set_position(done);
        bar.set_message(visible(&message(upload)));
    }

    /// Removes the bars of removed uploads.
    fn forget_others(&mut self, followed: &BTreeMap<UploadId, Upload>) {
        let Self { by_id, bars, .. } = self;
        by_id.retain(|id, bar| {
            let stays = followed.contains_key(id);
            if !stays {
                bars.remove(bar);
            }
            stays
        });
    }

    fn finish(&self) {
        self.by_id.values().for_each(|bar| bar.abandon());
    }

    fn clear(&self) {
        // If the terminal is gone there is nothing to clear.
        let _ = self.bars.clear();
    }
}

fn message(upload: &Upload) -> String {
    let (state, _) = upload.state();
    if upload.state != State::Transferring {
        return format!("{state}, {}", size(upload.size));
    }
    if let Some(error) = &upload.error {
        return format!("{state}: {}", error.message);
    }
    let left = upload.eta_seconds.map(|eta| format!(", {} left", duration(eta))).unwrap_or_default();
    format!("{}/s{left}", size(upload.speed_bps))
}
