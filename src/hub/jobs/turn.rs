//! Work that outlasts a claim: the claim is renewed in the meantime, and the work is abandoned if another process has it.

use std::pin::pin;
use std::time::Duration;

use masv_db::Database;
use tokio::time::{Instant, interval_at};

use crate::clock::now;
use crate::records::jobs::{self, Claim};

/// How often a claim is renewed: several times before it expires.
const RENEWED_EVERY: Duration = Duration::from_secs(2 * 60);

/// Does `work` while `claim` holds; nothing when it was lost, and the work given up.
pub(super) async fn hold<T>(database: &Database, claim: &mut Claim, work: impl Future<Output = T>) -> Option<T> {
    hold_renewed(database, claim, RENEWED_EVERY, work).await
}

async fn hold_renewed<T>(
    database: &Database,
    claim: &mut Claim,
    every: Duration,
    work: impl Future<Output = T>,
) -> Option<T> {
    let mut work = pin!(work);
    let mut ticks = interval_at(Instant::now() + every, every);
    loop {
        tokio::select! {
            outcome = &mut work => return Some(outcome),
            _ = ticks.tick() => match jobs::renew(database, claim).await {
                Ok(true) => {}
                Ok(false) => return None,
                Err(error) if now() < claim.until => {
                    tracing::warn!(%error, "cannot renew the claim of a job, trying again");
                }
                Err(_) => return None,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;

    use masv_db::values;

    use super::*;
    use crate::clock::{before, days};
    use crate::records::Error;
    use crate::records::jobs::Chore;
    use crate::records::tests::{database, only_chore};

    const SOON: Duration = Duration::from_millis(5);

    #[tokio::test]
    async fn a_claim_is_renewed_while_the_work_goes_on_and_the_work_given_up_when_it_was_lost() {
        let (_folder, database, _) = database().await;
        only_chore(&database, Chore::SweepDisk).await;
        let mut claim = jobs::claim_chore(&database).await.unwrap().unwrap().1;
        let until = claim.until;
        let renewed = async {
            loop {
                let sql = "SELECT due_at FROM job WHERE id = 'sweep_disk'";
                let asking = database.query(move |work| Ok::<_, Error>(work.value::<jiff::Timestamp>(sql, values![])?));
                if asking.await.unwrap() > until {
                    return;
                }
                tokio::time::sleep(SOON).await;
            }
        };
        assert_eq!(hold_renewed(&database, &mut claim, SOON, renewed).await, Some(()));
        assert!(claim.until > until);
        // Its lease runs out, as that of a process that stood still, and another takes over.
        let ending = database.transact(|work| {
            work.run("UPDATE job SET due_at = ?1 WHERE id = 'sweep_disk'", values![before(now(), days(1))])?;
            Ok::<_, Error>(())
        });
        ending.await.unwrap();
        assert!(jobs::claim_chore(&database).await.unwrap().is_some());
        assert_eq!(hold_renewed(&database, &mut claim, SOON, pending::<()>()).await, None);
    }
}
