//! Loading a job into launchd, also in place of one that is there.
//!
//! **In**: a way to call launchctl. **Out**: the job is loaded, or launchctl's complaint.
//!
//! launchd forgets a job only after its process has ended, and until then refuses another of the same name with an input/output error.

use std::time::{Duration, Instant};

use super::Which;
use crate::cli::error::CliError;
use masv_platform::own_user;

/// A job may take as long to end as its property list says (30 s), and is then killed.
const FORGET_LIMIT: Duration = Duration::from_secs(40);
/// launchd may refuse a job for so long after it has forgotten one of the same name.
const LOAD_LIMIT: Duration = Duration::from_secs(10);
/// How often launchd is asked.
const ASK_EVERY: Duration = Duration::from_millis(250);

/// Calls launchctl with these arguments.
type Call<'a> = &'a dyn Fn(&[&str]) -> Result<String, CliError>;

/// Where jobs of this user, or of the system, are kept. Somebody who has come by ssh alone has no domain of a desktop.
pub(super) fn domain(which: &Which, call: Call<'_>) -> String {
    if !which.user {
        return "system".to_owned();
    }
    let (desktop, user) = (format!("gui/{}", own_user()), format!("user/{}", own_user()));
    if call(&["print", &desktop]).is_ok() { desktop } else { user }
}

/// Takes the job out, if it is loaded, and loads it from its file.
pub(super) fn load(domain: &str, name: &str, file: &str, call: Call<'_>) -> Result<(), CliError> {
    load_within(domain, name, file, call, [FORGET_LIMIT, LOAD_LIMIT])
}

fn load_within(
    domain: &str,
    name: &str,
    file: &str,
    call: Call<'_>,
    [forget, load]: [Duration; 2],
) -> Result<(), CliError> {
    let job = format!("{domain}/{name}");
    if call(&["print", &job]).is_ok() {
        // Whether it has worked is seen by what is loaded afterwards.
        let _ = call(&["bootout", &job]);
        let gone = repeat_until(forget, || call(&["print", &job]).is_err());
        if !gone {
            return Err(CliError::failed(format!(
                "{name} is still loaded {} s after it was told to end",
                forget.as_secs()
            ))
            .hint(format!("`launchctl print {job}` shows it; once it is gone, do this again")));
        }
    }
    // A job that somebody has disabled would be refused.
    call(&["enable", &job])?;
    let mut outcome = Ok(());
    repeat_until(load, || {
        outcome = call(&["bootstrap", domain, file]).map(drop);
        outcome.is_ok()
    });
    outcome
}

/// Whether it has come true in time; tried once at least.
fn repeat_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let begun = Instant::now();
    loop {
        if done() {
            return true;
        }
        if begun.elapsed() >= limit {
            return false;
        }
        std::thread::sleep(ASK_EVERY.min(limit));
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use super::*;

    /// launchd with a job that needs some looks to end, and refuses the first loads.
    struct Launchd {
        loaded: Cell<u32>,
        refused: Cell<u32>,
        said: RefCell<Vec<String>>,
    }

    impl Launchd {
        fn call(&self, arguments: &[&str]) -> Result<String, CliError> {
            self.said.borrow_mut().push(arguments[0].to_owned());
            let count = |cell: &Cell<u32>| cell.replace(cell.get().saturating_sub(1)) > 0;
            let failed = match arguments[0] {
                "print" => !count(&self.loaded),
                "bootstrap" => self.loaded.get() > 0 || count(&self.refused),
                _ => false,
            };
            if failed { Err(CliError::failed("5: Input/output error")) } else { Ok(String::new()) }
        }

        fn load(&self) -> Result<(), CliError> {
            let limits = [Duration::from_millis(60), Duration::from_millis(60)];
            load_within("system", "io.masv.agent", "/x.plist", &|arguments| self.call(arguments), limits)
        }
    }

    fn launchd(loaded: u32, refused: u32) -> Launchd {
        Launchd { loaded: Cell::new(loaded), refused: Cell::new(refused), said: RefCell::default() }
    }

    /// Loading came right after unloading, while launchd still had the job: "Input/output error", and no service.
    #[test]
    fn a_job_is_loaded_once_launchd_has_forgotten_the_one_before() {
        let there = launchd(2, 1);
        there.load().unwrap();
        assert_eq!(there.said.take(), ["print", "bootout", "print", "print", "enable", "bootstrap", "bootstrap"]);
        let new = launchd(0, 0);
        new.load().unwrap();
        assert_eq!(new.said.take(), ["print", "enable", "bootstrap"]);
    }

    #[test]
    fn what_does_not_end_and_what_is_refused_is_told() {
        let error = launchd(u32::MAX, 0).load().unwrap_err();
        assert!(error.message.contains("still loaded"), "{}", error.message);
        let error = launchd(0, u32::MAX).load().unwrap_err();
        assert!(error.message.contains("Input/output"), "{}", error.message);
    }

    #[test]
    fn a_user_without_a_desktop_has_a_domain_as_well() {
        let which = |user| Which { user, hub: false, instance: None, root: None };
        let refuse = |_: &[&str]| Err(CliError::failed("113: Could not find domain"));
        let accept = |_: &[&str]| Ok(String::new());
        assert_eq!(domain(&which(false), &refuse), "system");
        assert_eq!(domain(&which(true), &refuse), format!("user/{}", own_user()));
        assert_eq!(domain(&which(true), &accept), format!("gui/{}", own_user()));
    }
}
