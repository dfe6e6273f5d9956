//! Whether the folder that is at a rule's path is the one that the rule knows, or something else lies there: a disk that is not
//! mounted leaves an empty folder of another file system, and what is not in that has not been removed.
//!
//! **In**: how the places compare, what the ledger says about what is there. **Out**: whether to take the folder as the rule's own, and
//! what that may not mean. Pure.
//!
//! **Guarantees.** Another file system is taken only where nothing can be lost by it: no file of an unfinished upload is missing from
//! it, and what the ledger knows of the other one is kept. One that is empty is not taken at all, as long as it is known to be another
//! one: nothing could be sent from it, and a disk that is missing is to be told.

use crate::store::FolderEvidence;
use masv_platform::Sameness;

/// How a folder is taken that was not recognised by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Taking {
    /// Nothing is known of the one before: the rule starts for the first time here.
    pub anew: bool,
    /// What was known of the one before stays known, though it is not there.
    pub keeps: bool,
}

/// How to take a folder that lies elsewhere than the one before; `None` when it is not to be taken.
#[must_use]
pub fn takes(sameness: Sameness, evidence: &FolderEvidence, is_empty: bool) -> Option<Taking> {
    match sameness {
        Sameness::Same | Sameness::Ended => Some(Taking::default()),
        Sameness::Other if !evidence.known => Some(Taking { anew: true, keeps: false }),
        Sameness::Unknown if !evidence.known || evidence.recognised => Some(Taking::default()),
        _ if evidence.unsent > 0 => None,
        Sameness::Other if is_empty => None,
        Sameness::Unknown if is_empty && evidence.missing > 0 => None,
        _ => Some(Taking { anew: false, keeps: true }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SENT: FolderEvidence = FolderEvidence { known: true, recognised: false, missing: 0, unsent: 0 };

    #[test]
    fn the_folder_of_before_is_taken_whatever_is_missing_from_it() {
        let missing = FolderEvidence { missing: 5, unsent: 5, ..SENT };
        for sameness in [Sameness::Same, Sameness::Ended] {
            assert_eq!(takes(sameness, &missing, true), Some(Taking::default()), "{sameness:?}");
        }
        let recognised = FolderEvidence { recognised: true, ..missing };
        assert_eq!(takes(Sameness::Unknown, &recognised, false), Some(Taking::default()));
    }

    #[test]
    fn an_empty_one_elsewhere_is_not_taken_and_one_with_files_keeps_what_was_known() {
        assert_eq!(takes(Sameness::Other, &SENT, true), None);
        assert_eq!(takes(Sameness::Other, &SENT, false), Some(Taking { anew: false, keeps: true }));
        let resend = FolderEvidence { missing: 5, ..SENT };
        assert_eq!(takes(Sameness::Other, &resend, false), Some(Taking { anew: false, keeps: true }));
        assert_eq!(takes(Sameness::Unknown, &resend, true), None);
        assert_eq!(takes(Sameness::Unknown, &SENT, true), Some(Taking { anew: false, keeps: true }));
    }

    #[test]
    fn what_an_upload_still_needs_is_waited_for() {
        let unsent = FolderEvidence { unsent: 1, ..SENT };
        for (sameness, is_empty) in [(Sameness::Other, true), (Sameness::Other, false), (Sameness::Unknown, false)] {
            assert_eq!(takes(sameness, &unsent, is_empty), None, "{sameness:?}, empty: {is_empty}");
        }
    }

    #[test]
    fn a_rule_that_has_seen_nothing_starts_anew_on_another_file_system_and_only_there() {
        let nothing = FolderEvidence::default();
        assert_eq!(takes(Sameness::Other, &nothing, false), Some(Taking { anew: true, keeps: false }));
        assert_eq!(takes(Sameness::Unknown, &nothing, false), Some(Taking::default()));
    }
}
