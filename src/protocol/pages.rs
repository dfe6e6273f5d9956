//! Paged lists: `{"metadata": {"total": …}, "records": […]}`. Documented by the service for its `/v1.1` lists.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::lenient;

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
#[schemars(rename = "{T}Page")]
pub struct Page<T> {
    /// Metadata of the whole list.
    #[serde(default, deserialize_with = "lenient::field")]
    pub metadata: PageMetadata,
    /// The entries of this page.
    #[serde(default)]
    pub records: Vec<T>,
}

/// Metadata of a paged list.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct PageMetadata {
    /// How many entries there are on all pages; some servers do not say.
    #[serde(deserialize_with = "lenient::field")]
    pub total: Option<u64>,
}

impl<T> Page<T> {
    /// A page of `records` out of `total`.
    #[must_use]
    pub fn new(total: u64, records: Vec<T>) -> Self {
        Self { metadata: PageMetadata { total: Some(total) }, records }
    }

    /// Whether there is another page after this one, the `number`th (from 1), if `limit` entries per page were requested.
    #[must_use]
    pub fn has_more(&self, number: u64, limit: u64) -> bool {
        let here = self.records.len() as u64;
        match self.metadata.total {
            // A server with smaller pages than requested has also reached the next one by now.
            Some(total) => here > 0 && number.saturating_sub(1).saturating_mul(limit).saturating_add(here) < total,
            None => here >= limit,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pages_end_whether_or_not_the_total_is_told() {
        let page = |records: usize, total| Page { metadata: PageMetadata { total }, records: vec![(); records] };
        assert!(page(100, Some(101)).has_more(1, 100) && !page(1, Some(101)).has_more(2, 100));
        assert!(page(100, None).has_more(1, 100) && !page(99, None).has_more(1, 100));
        assert!(!page(0, Some(500)).has_more(3, 100), "a server that has miscounted");
    }

    #[test]
    fn a_page_is_read_with_and_without_its_total() {
        let read = |text: &str| serde_json::from_str::<Page<u8>>(text).unwrap();
        assert_eq!(read(r#"{"metadata":{"total":3},"records":[1,2]}"#), Page::new(3, vec![1, 2]));
        for text in [r#"{"records":[1]}"#, r#"{"records":[1],"metadata":null}"#, r#"{"records":[1],"metadata":{}}"#] {
            assert_eq!(read(text).metadata.total, None, "{text}");
        }
    }
}
