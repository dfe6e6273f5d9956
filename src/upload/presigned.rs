//! Where the parts of one file go: URLs that the cloud presigns and that expire.
//!
//! They are requested in small windows, just before they are used, so that a file of ten thousand parts costs few
//! calls and no URL is old when its turn comes. One that is old anyway (a slow line, a night's sleep of the
//! machine) is not used, and one that was refused is not used again: its window is requested again.
//!
//! Nothing is stored: after a pause or a crash every URL is new.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use tokio::sync::OnceCell;

use masv_client::CloudError;
use masv_protocol::Blueprint;

/// Parts whose URLs are requested at once.
const WINDOW: u32 = 8;
/// The maximum age of a URL: clouds keep them valid for minutes at least.
const OLD: SignedDuration = SignedDuration::from_mins(5);
/// How many windows are remembered. Parts are sent in order, so the first ones are used up long before.
const REMEMBERED: usize = 40;

/// The URLs of one file's parts, as far as they are known.
pub(crate) struct PresignedUrls {
    /// Parts of the file.
    parts: u32,
    windows: Mutex<BTreeMap<u32, Arc<Window>>>,
}

type Window = OnceCell<Asked>;

struct Asked {
    /// By wall-clock time, which continues while the machine sleeps.
    at: Timestamp,
    blueprints: Vec<Blueprint>,
}

impl Asked {
    /// A clock that was set says nothing about the URL: request it again.
    fn is_old(&self, now: Timestamp) -> bool {
        now.duration_since(self.at).abs() > OLD
    }
}

/// A URL and where it came from.
pub(crate) struct Address {
    pub(crate) blueprint: Blueprint,
    key: u32,
    window: Arc<Window>,
}

impl PresignedUrls {
    /// For a file of `parts` parts.
    pub(crate) fn new(parts: u32) -> Self {
        Self { parts, windows: Mutex::default() }
    }

    /// The same, of which the cloud has told the address of the only part already.
    pub(crate) fn of_only_part(address: Blueprint) -> Self {
        let addresses = Self::new(1);
        let asked = Asked { at: Timestamp::now(), blueprints: vec![address] };
        addresses.windows().insert(0, Arc::new(Window::new_with(Some(asked))));
        addresses
    }

    fn windows(&self) -> MutexGuard<'_, BTreeMap<u32, Arc<Window>>> {
        self.windows.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The URL of part `number` (from 1). `ask` is called with the first part and how many URLs are wanted,
    /// if they are not known; callers that need the same window share one response.
    pub(crate) async fn of<F>(&self, number: u32, mut ask: impl FnMut(u32, u32) -> F) -> Result<Address, CloudError>
    where
        F: Future<Output = Result<Vec<Blueprint>, CloudError>>,
    {
        let key = number.saturating_sub(1) / WINDOW;
        let first = key * WINDOW + 1;
        let count = WINDOW.min(self.parts.saturating_sub(first - 1)).max(1);
        loop {
            let window = self.window(key);
            let asked = window
                .get_or_try_init(|| {
                    let answer = ask(first, count);
                    async { Ok::<_, CloudError>(Asked { at: Timestamp::now(), blueprints: answer.await? }) }
                })
                .await?;
            match asked.blueprints.get((number - first) as usize) {
                Some(blueprint) if !asked.is_old(Timestamp::now()) => {
                    return Ok(Address { blueprint: blueprint.clone(), key, window: Arc::clone(&window) });
                }
                _ => self.forget_window(key, &window),
            }
        }
    }

    /// Whether the URL of part `number` is known.
    pub(crate) fn knows(&self, number: u32) -> bool {
        self.windows().get(&(number.saturating_sub(1) / WINDOW)).is_some_and(|window| window.initialized())
    }

    /// The URL was refused: it and those that came with it are requested again.
    pub(crate) fn forget(&self, address: &Address) {
        self.forget_window(address.key, &address.window);
    }

    fn window(&self, key: u32) -> Arc<Window> {
        let mut windows = self.windows();
        let window = Arc::clone(windows.entry(key).or_default());
        while windows.len() > REMEMBERED {
            windows.pop_first();
        }
        window
    }

    /// Unless it was already replaced.
    fn forget_window(&self, key: u32, window: &Arc<Window>) {
        let mut windows = self.windows();
        if windows.get(&key).is_some_and(|known| Arc::ptr_eq(known, window)) {
            windows.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use masv_client::Call;
    use std::sync::Mutex;

    /// A cloud that counts requests.
    #[derive(Default)]
    struct Asking(Mutex<Vec<(u32, u32)>>);

    impl Asking {
        async fn answer(&self, first: u32, count: u32) -> Result<Vec<Blueprint>, CloudError> {
            self.0.lock().unwrap().push((first, count));
            tokio::task::yield_now().await;
            let round = self.0.lock().unwrap().len();
            let address = |number| Blueprint::new("PUT", format!("http://storage{round}.example:{number}/"));
            Ok((first..first + count).map(address).collect())
        }

        fn asked(&self) -> Vec<(u32, u32)> {
            self.0.lock().unwrap().clone()
        }
    }

    async fn host(addresses: &PresignedUrls, asking: &Asking, number: u32) -> String {
        let address = addresses.of(number, |first, count| asking.answer(first, count)).await.unwrap();
        masv_client::storage_host(&address.blueprint.url)
    }

    #[tokio::test]
    async fn a_window_is_asked_for_once_and_each_part_gets_its_own() {
        let (addresses, asking) = (PresignedUrls::new(11), Asking::default());
        let all = (1..=11).map(|number| host(&addresses, &asking, number));
        let hosts = futures_util::future::join_all(all).await;
        assert_eq!(asking.asked(), [(1, 8), (9, 3)]);
        let ports: Vec<_> = hosts.iter().map(|host| host.rsplit(':').next().unwrap().to_owned()).collect();
        assert_eq!(ports, (1..=11).map(|number| number.to_string()).collect::<Vec<_>>());
    }

    #[tokio::test]
    async fn a_refused_address_is_asked_for_anew_once() {
        let (addresses, asking) = (PresignedUrls::new(4), Asking::default());
        let refused = addresses.of(1, |first, count| asking.answer(first, count)).await.unwrap();
        let also = addresses.of(2, |first, count| asking.answer(first, count)).await.unwrap();
        addresses.forget(&refused);
        assert!(host(&addresses, &asking, 1).await.starts_with("storage2"));
        addresses.forget(&also);
        assert!(host(&addresses, &asking, 2).await.starts_with("storage2"), "what replaced it is not forgotten");
        assert_eq!(asking.asked().len(), 2);
    }

    #[tokio::test]
    async fn an_old_address_is_not_used() {
        let (addresses, asking) = (PresignedUrls::new(1), Asking::default());
        for at in [Timestamp::now() - SignedDuration::from_hours(9), Timestamp::now() + SignedDuration::from_hours(9)] {
            let window = Window::new();
            let blueprints = asking.answer(1, 1).await.unwrap();
            assert!(window.set(Asked { at, blueprints }).is_ok());
            addresses.windows().insert(0, Arc::new(window));
            let before = asking.asked().len();
            host(&addresses, &asking, 1).await;
            assert_eq!(asking.asked().len(), before + 1, "asked at {at}");
        }
    }

    #[tokio::test]
    async fn a_failed_call_is_made_again_by_the_next_who_needs_it() {
        let (addresses, asking) = (PresignedUrls::new(1), Asking::default());
        let failed = addresses
            .of(1, |_, _| {
                std::future::ready(Err(CloudError::Unreachable { call: Call::PartAddresses, reason: String::new() }))
            })
            .await;
        assert!(failed.is_err());
        host(&addresses, &asking, 1).await;
        assert_eq!(asking.asked(), [(1, 1)]);
    }
}
