//! Finalizing a file: whether the parts that its sender lists are the stored ones. Pure.

use std::collections::{BTreeMap, HashMap};

use masv_protocol::ListedPart;

use super::Error;
use crate::stored::StoredPart;

/// The bytes of the listed parts, which must be exactly those from 1 on, each stored under its tag. `stored` is in the
/// order of the numbers and may have more.
pub(crate) fn compare(listed: &mut [ListedPart], stored: &[StoredPart]) -> Result<u64, Error> {
    if listed.is_empty() {
        return Err(Error::InvalidPart("no parts are listed".to_owned()));
    }
    listed.sort_by_key(|part| part.number);
    let mut total = 0_u64;
    for (number, (index, listed)) in (1..).zip(listed.iter().enumerate()) {
        let stored = stored.get(index).filter(|stored| stored.number == number && listed.number == number);
        let stored = stored
            .ok_or_else(|| Error::InvalidPart(format!("part {number} is missing, or listed twice or out of order")))?;
        if !same_etag(&listed.etag, &stored.etag) {
            return Err(Error::InvalidPart(format!("part {number} does not have the listed ETag")));
        }
        total = total.saturating_add(stored.size);
    }
    Ok(total)
}

/// One part for each number, in order. Some servers (SeaweedFS 4.48) still list a part that was replaced by another with
/// the same number: of those, the one that the sender lists.
pub(crate) fn one_of_each(listed: &[ListedPart], stored: Vec<StoredPart>) -> Vec<StoredPart> {
    let wanted: HashMap<u32, &str> = listed.iter().map(|part| (part.number, part.etag.as_str())).collect();
    let mut parts: BTreeMap<u32, StoredPart> = BTreeMap::new();
    for part in stored {
        let meant = wanted.get(&part.number).is_some_and(|etag| same_etag(etag, &part.etag));
        if meant || !parts.contains_key(&part.number) {
            parts.insert(part.number, part);
        }
    }
    parts.into_values().collect()
}

/// Refuses a file that is not as large as was said.
pub(crate) fn check_size(total: u64, said: u64) -> Result<(), Error> {
    if total == said { Ok(()) } else { Err(Error::InvalidSize { total, said }) }
}

/// Whether two ETags are the same, with or without quotes, in any case.
fn same_etag(one: &str, other: &str) -> bool {
    let bare = |etag: &str| etag.trim().trim_start_matches("W/").trim_matches('"').to_ascii_lowercase();
    let one = bare(one);
    !one.is_empty() && one == bare(other)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn etags_compare_whatever_their_dress() {
        let bare = "ab".repeat(16);
        for etag in [bare.clone(), format!("\"{bare}\""), bare.to_uppercase(), format!(" \"{bare}\" ")] {
            assert!(same_etag(&etag, &bare) && same_etag(&bare, &etag), "{etag}");
        }
        assert!(!same_etag("", ""));
        assert!(!same_etag(&bare[2..], &bare));
    }

    #[test]
    fn of_parts_that_replaced_each_other_the_listed_one_counts() {
        let part = |number, size, etag: &str| StoredPart { number, size, etag: etag.to_owned() };
        let stored = vec![part(2, 5, "x"), part(1, 1, "old"), part(1, 2, "new"), part(1, 3, "older")];
        let mut listed =
            vec![ListedPart { number: 1, etag: "\"NEW\"".into() }, ListedPart { number: 2, etag: "x".into() }];
        let parts = one_of_each(&listed, stored);
        assert_eq!(parts.iter().map(|part| part.size).collect::<Vec<_>>(), [2, 5]);
        assert_eq!(compare(&mut listed, &parts).ok(), Some(7));
    }

    #[test]
    fn only_parts_in_a_row_with_their_tags_make_a_file() {
        let stored: Vec<StoredPart> =
            [1, 2, 4].map(|number| StoredPart { number, size: 10, etag: format!("\"tag{number}\"") }).into();
        let compared = |parts: &[(u32, &str)]| {
            let mut listed: Vec<ListedPart> =
                parts.iter().map(|(number, etag)| ListedPart { number: *number, etag: (*etag).to_owned() }).collect();
            compare(&mut listed, &stored).ok()
        };
        assert_eq!(compared(&[(1, "tag1")]), Some(10));
        assert_eq!(compared(&[(2, "\"TAG2\""), (1, "tag1")]), Some(20));
        for wrong in [
            &[][..],
            &[(2, "tag2")],
            &[(1, "tag1"), (1, "tag1")],
            &[(1, "tag1"), (2, "tag1")],
            &[(1, "tag1"), (2, "tag2"), (3, "tag3")],
            &[(1, "tag1"), (2, "tag2"), (4, "tag4")],
            &[(0, "tag1")],
        ] {
            assert!(compared(wrong).is_none(), "{wrong:?}");
        }
    }
}
