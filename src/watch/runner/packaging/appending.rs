//! Files that came back changed and belong into a package that waits for somebody to finalize it.
//!
//! **In**: packages that are to be made. **Out**: what is left of them once what belongs elsewhere was appended there. Owns nothing:
//! which packages take files is asked of the store.

use std::path::Path;
use std::sync::Arc;

use jiff::Zoned;

use super::handover::{Submission, book, goes_to_others};
use super::open_packages::taking_files;
use crate::model::UploadId;
use crate::watch::dispatch::{self, Chosen};
use crate::watch::package::top_level;
use crate::watch::runner::context::Context;
use masv_rules::{Finalize, OnChange, Per};

/// With `on_change: append`, adds files that came back changed to a package that waits for somebody to finalize it,
/// where there is one of their group or folder; what is left of the shipments is returned, and whether the ledger has to be read
/// again.
pub(super) async fn append_changed(
    context: &Context,
    shipments: Vec<Submission>,
    clock: &Zoned,
) -> (Vec<Submission>, bool) {
    if context.rule.on_change != OnChange::Append || !matches!(context.rule.finalize, Finalize::Manual) {
        return (shipments, false);
    }
    let (mut left, mut ledger_differs) = (Vec::new(), false);
    for shipment in shipments {
        let (changed, fresh): (Vec<Chosen>, Vec<Chosen>) = Arc::unwrap_or_clone(shipment.files)
            .into_iter()
            .partition(|file| context.shared.desk().came_back_changed(&file.relative));
        let changed = Submission { group: Arc::clone(&shipment.group), files: Arc::new(changed) };
        let fresh = Submission { group: shipment.group, files: Arc::new(fresh) };
        let id = if changed.files.is_empty() { None } else { package_for(context, &changed, clock).await };
        let id = match id {
            Some(id) if goes_to_others(context, id, &changed, clock).await.is_some() => None,
            id => id,
        };
        let appended = match id {
            Some(id) => {
                let sources = dispatch::source_files(&context.rule, &changed.files);
                context.outlet.append(id, sources).await.is_ok().then_some(id)
            }
            None => None,
        };
        match appended {
            Some(id) => {
                ledger_differs |= book(context, &changed, Ok(id)).await;
                left.extend(Some(fresh).filter(|fresh| !fresh.files.is_empty()));
            }
            // There is none, or it was finalized at this very moment.
            None => {
                let mut files = Arc::unwrap_or_clone(fresh.files);
                files.extend(Arc::unwrap_or_clone(changed.files));
                files.sort_by(|one, other| one.relative.cmp(&other.relative));
                left.push(Submission { group: changed.group, files: Arc::new(files) });
            }
        }
    }
    (left, ledger_differs)
}

/// The newest package that takes these files.
async fn package_for(context: &Context, shipment: &Submission, clock: &Zoned) -> Option<UploadId> {
    let first = shipment.files.first()?;
    let belongs = |path: &Path| match context.rule.package.per {
        Per::Folder => top_level(path) == top_level(&first.relative),
        Per::File => path == &*first.relative,
        Per::Batch => {
            let group = dispatch::group_of(&context.rule, &context.surroundings, clock, path, 1);
            group.is_ok_and(|group| *group == *shipment.group)
        }
    };
    let taking = taking_files(&context.store, &context.rule).await.unwrap_or_default();
    taking.into_iter().find(|(_, path)| belongs(path)).map(|(upload, _)| upload.id)
}
