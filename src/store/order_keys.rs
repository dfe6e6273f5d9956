//! Requests with a caller's key: each is carried out once, however often it is repeated.
//!
//! **Guarantees.** The key and its upload are written in one transaction. A key is kept for [`KEPT`], whatever becomes of the
//! upload; afterwards an order with it counts as a new one.

use jiff::SignedDuration;
use rusqlite::{Connection, OptionalExtension, params};

use super::{Store, StoreError, now, uploads};
use crate::model::{OrderKey, UploadId, UploadSpec};

/// How long a key is kept.
const KEPT: SignedDuration = SignedDuration::from_hours(30 * 24);

/// The upload that an order with this key has made.
fn made(connection: &Connection, order: &OrderKey) -> Result<Option<UploadId>, StoreError> {
    let since = now() - i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    let known: Option<(Vec<u8>, UploadId)> = connection
        .prepare_cached("SELECT digest, upload_id FROM order_key WHERE key = ?1 AND at >= ?2")?
        .query_row(params![order.key, since], |row| Ok((row.get(0)?, row.get(1)?)))
        .optional()?;
    match known {
        Some((digest, _)) if digest != order.digest => Err(StoreError::OtherOrder),
        known => Ok(known.map(|(_, upload)| upload)),
    }
}

fn keep(connection: &Connection, order: &OrderKey, id: UploadId) -> Result<(), StoreError> {
    let since = now() - i64::try_from(KEPT.as_millis()).unwrap_or(i64::MAX);
    connection.prepare_cached("DELETE FROM order_key WHERE at < ?1")?.execute([since])?;
    connection
        .prepare_cached("INSERT INTO order_key (key, digest, upload_id, at) VALUES (?1, ?2, ?3, ?4)")?
        .execute(params![order.key, order.digest, id, now()])?;
    Ok(())
}

impl Store {
    /// The upload that this order has made when it came before.
    ///
    /// # Errors
    /// [`StoreError::OtherOrder`] when its key came with another order.
    pub async fn made_before(&self, order: OrderKey) -> Result<Option<UploadId>, StoreError> {
        self.read(move |connection| made(connection, &order)).await
    }

    /// Makes an upload as [`Store::insert_upload`] does, unless the same order has made one: then nothing is made, and that one
    /// is returned.
    ///
    /// # Errors
    /// [`StoreError::AlreadyClaimed`], [`StoreError::OtherOrder`]: nothing was made.
    pub async fn insert_upload_once(
        &self,
        id: UploadId,
        spec: UploadSpec,
        order: OrderKey,
    ) -> Result<UploadId, StoreError> {
        self.change(move |connection| {
            if let Some(before) = made(connection, &order)? {
                return Ok(before);
            }
            uploads::insert(connection, id, spec)?;
            keep(connection, &order, id)?;
            Ok(id)
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tests::{source, spec, store};

    fn files() -> UploadSpec {
        UploadSpec { rule: None, ..spec(vec![source("a", 5, 1)]) }
    }

    #[tokio::test]
    async fn an_order_with_a_key_makes_one_upload_however_often_and_at_once_it_comes() {
        let (_folder, store) = store();
        let order = |digest| OrderKey { key: "order-1".to_owned(), digest: [digest; 32] };
        assert_eq!(store.made_before(order(1)).await.unwrap(), None);
        let at_once = (0..8).map(|_| store.insert_upload_once(UploadId::new(), files(), order(1)));
        let made: Vec<UploadId> =
            futures_util::future::join_all(at_once).await.into_iter().map(Result::unwrap).collect();
        assert!(made.iter().all(|id| *id == made[0]), "{made:?}");
        assert_eq!(store.uploads(Default::default()).await.unwrap().len(), 1);
        assert_eq!(store.made_before(order(1)).await.unwrap(), Some(made[0]));
        let other = store.insert_upload_once(UploadId::new(), files(), order(2)).await;
        assert!(matches!(other, Err(StoreError::OtherOrder)) && store.made_before(order(2)).await.is_err());
        // Whoever removed the upload does not want it sent by a repetition that comes late.
        store.remove_upload(made[0]).await.unwrap();
        assert_eq!(store.insert_upload_once(UploadId::new(), files(), order(1)).await.unwrap(), made[0]);
        assert_eq!(store.uploads(Default::default()).await.unwrap().len(), 0);
    }

    #[tokio::test]
    async fn a_key_is_forgotten_in_the_end() {
        let (_folder, store) = store();
        let order = OrderKey { key: "order-1".to_owned(), digest: [1; 32] };
        let first = store.insert_upload_once(UploadId::new(), files(), order.clone()).await.unwrap();
        let old = now() - i64::try_from(KEPT.as_millis()).unwrap() - 1;
        store.change(move |connection| Ok(connection.execute("UPDATE order_key SET at = ?1", [old])?)).await.unwrap();
        assert_eq!(store.made_before(order.clone()).await.unwrap(), None);
        assert_ne!(store.insert_upload_once(UploadId::new(), files(), order).await.unwrap(), first);
    }
}
