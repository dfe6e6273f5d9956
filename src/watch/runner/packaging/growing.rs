//! Packages with files that were sent while they were written: once all of it is complete, the upload that was begun takes the rest.
//!
//! **In**: packages that are to be made. **Out**: those that nothing was begun of.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::handover::{Refusal, Submission, book};
use crate::model::{SourceFiles, UploadId};
use crate::watch::dispatch::{self, Chosen};
use crate::watch::runner::context::Context;
use crate::watch::runner::growing::give_up;

/// Completes the uploads that were begun with files of these packages; returns the other packages.
pub(super) async fn finish_grown(
    context: &Context,
    shipments: Vec<Submission>,
    ledger_differs: &mut bool,
) -> Vec<Submission> {
    let mut others = Vec::with_capacity(shipments.len());
    for shipment in shipments {
        let begun: BTreeSet<UploadId> = {
            let desk = context.shared.desk();
            shipment.files.iter().filter_map(|file| desk.growing_in(&file.relative)).collect()
        };
        let Some(upload) = begun.first().copied() else {
            others.push(shipment);
            continue;
        };
        let (grown, more): (Vec<Chosen>, Vec<Chosen>) = {
            let desk = context.shared.desk();
            shipment.files.iter().cloned().partition(|file| desk.growing_in(&file.relative) == Some(upload))
        };
        let is_all = context.shared.desk().growing_files_of(upload) == grown.len();
        if begun.len() > 1 || !is_all {
            // Its package was divided: what was begun does not fit it any more.
            for upload in begun {
                let path = shipment.files.first().map(|file| file.relative.clone());
                if let Some(path) = path {
                    give_up(context, upload, &path, "its package was divided").await;
                }
            }
            *ledger_differs = true;
            continue;
        }
        let (sources, more) = (source_files(context, grown), source_files(context, more));
        let settled = context.outlet.growing_settled(upload, sources, more).await;
        *ledger_differs |= book(context, &shipment, settled.map(|()| upload).map_err(Refusal::from)).await;
    }
    others
}

fn source_files(context: &Context, files: Vec<Chosen>) -> SourceFiles {
    dispatch::source_files(&context.rule, &Arc::new(files))
}
