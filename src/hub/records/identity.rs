//! Which hub this is: its id, and what only its secret key makes of that. A bucket is known by the id to belong to it; several
//! processes that share the database must have the same key, or links that one made would not open at another. While the key is being changed, the new one and the one before are
//! both in the key file, and whichever is the first makes what is new.

use masv_db::{Database, values};

use super::Error;
use super::ids::new_id;
use crate::clock::now;
use crate::keys::tokens::Keys;

/// The id of the hub whose database this is, which gets one if it has none. A database that is shared is refused with another key.
pub(crate) async fn confirm(database: &Database, keys: &Keys) -> Result<String, Error> {
    let read = "SELECT id, key_check FROM hub WHERE one = 1";
    let reading = database.query(move |work| {
        let known = work.one(read, values![], |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?)))?;
        Ok::<_, Error>(known)
    });
    let known = match reading.await? {
        Some(known) => known,
        None => {
            let id: String = new_id(now())?;
            let check = keys.check_of(&id);
            let making = database.transact(move |work| {
                // Of several that start at the same time one makes it.
                let sql = "INSERT INTO hub (one, id, key_check) VALUES (1, ?1, ?2) ON CONFLICT (one) DO NOTHING";
                work.run(sql, values![id, check])?;
                let known = work.one(read, values![], |row| Ok((row.get::<String>(0)?, row.get::<String>(1)?)))?;
                known.ok_or_else(|| Error::Database(masv_db::DbError::NoRow))
            });
            making.await?
        }
    };
    let (id, check) = known;
    let own_check = keys.check_of(&id);
    if own_check == check {
        return Ok(id);
    }
    if database.is_shared() && !keys.is_check_of(&id, &check) {
        return Err(Error::Invalid(
            "the secret key is not the one of the hub whose database this is: its links and tokens would not hold; give the key file \
             that the other hubs on it have"
                .to_owned(),
        ));
    }
    // Its operator has replaced the key, or has another of several be the first.
    let id_again = id.clone();
    let setting = database.transact(move |work| {
        work.run("UPDATE hub SET key_check = ?1 WHERE id = ?2", values![own_check, id_again])?;
        Ok::<_, Error>(())
    });
    setting.await?;
    Ok(id)
}
