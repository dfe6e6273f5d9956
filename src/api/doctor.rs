//! Checks for problems that keep the agent from working, each with what to do about it. The agent itself checks, because
//! its user, its sandbox and its network are what matters.
//!
//! **In**: observations. **Out**: [`Check`]s. Pure functions do the grading.

use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

use super::about::Limitation;
use super::types::{Check, Grade};
use crate::watch::RuleStatus;
use masv_client::{Cloud, CloudError, Reached};
use masv_platform::{
    FolderError, clock_advice, has_other_writers, keep_watch_limit_advice, let_read_advice, let_write_advice,
    may_enter, may_write, more_descriptors_advice, more_folders_advice, silent_file_system, watch_limits,
};
use masv_rules::{AfterComplete, AfterError, Ready, Rule, RuleSet};

/// With less free space than this for its state, the agent soon stops working.
const LEAST_ROOM: u64 = 100 << 20;
/// With less free space than this, it is time to act.
const LITTLE_ROOM: u64 = 1 << 30;
/// A clock that is off by more than this should be corrected, in seconds.
const CLOCK_OFF: u64 = 30;
/// Storages refuse URLs signed by a clock this far off, in seconds; some refuse earlier.
const CLOCK_WRONG: u64 = 300;

fn check(name: impl Into<String>, grade: Grade, finding: impl Into<String>) -> Check {
    Check { name: name.into(), grade, finding: finding.into(), todo: None }
}

impl Check {
    fn todo(mut self, todo: impl Into<String>) -> Self {
        self.todo = Some(todo.into());
        self
    }
}

/// Checks the cloud.
pub async fn cloud(cloud: &Cloud) -> Vec<Check> {
    let reached = cloud.reach().await;
    let mut checks = vec![reachable(cloud.base().as_str(), &reached)];
    if let Ok(reached) = reached {
        checks.push(clock(reached.ahead));
        checks.push(authorised(&cloud.accepts_us().await));
        checks.extend(hub(&cloud.hub_problems().await));
    }
    checks
}

/// What the hub says that whoever runs it must look at.
fn hub(problems: &[String]) -> Option<Check> {
    if problems.is_empty() {
        return None;
    }
    // What only waits passes by itself.
    let passes =
        problems.iter().all(|problem| matches!(problem.as_str(), "restored" | "clock_doubted" | "check_incomplete"));
    let grade = if passes { Grade::Amber } else { Grade::Red };
    Some(
        check("hub", grade, format!("the hub reports {}", problems.join(", ")))
            .todo("on the hub's machine, `masv hub check` and `masv hub sweep` show what it is and what to do"),
    )
}

fn reachable(base: &str, reached: &Result<Reached, CloudError>) -> Check {
    match reached {
        Ok(reached) => check("cloud", Grade::Green, format!("{base} responds in {} ms", reached.took.as_millis())),
        Err(error @ CloudError::Refused { .. }) => check("cloud", Grade::Amber, format!("{base} responds: {error}"))
            .todo("check that this is the cloud's address; problems of the cloud itself are temporary"),
        Err(error) => check("cloud", Grade::Red, format!("{base}: {error}"))
            .todo("check the address, DNS, firewall and proxy (HTTPS_PROXY); uploads wait and resume automatically"),
    }
}

fn clock(ahead: Option<i64>) -> Check {
    let Some(ahead) = ahead else { return check("clock", Grade::Green, "the cloud does not report its time") };
    let off = ahead.unsigned_abs();
    let finding = match ahead {
        0 => "in sync with the cloud".to_owned(),
        1.. => format!("{off} s behind the cloud's"),
        _ => format!("{off} s ahead of the cloud's"),
    };
    let todo = clock_advice();
    match off {
        off if off <= CLOCK_OFF => check("clock", Grade::Green, finding),
        off if off <= CLOCK_WRONG => check("clock", Grade::Amber, finding).todo(todo),
        _ => check("clock", Grade::Red, format!("{finding}; signed URLs are refused")).todo(todo),
    }
}

fn authorised(answer: &Result<Option<bool>, CloudError>) -> Check {
    let name = "authorisation";
    match answer {
        Ok(Some(true)) => check(name, Grade::Green, "the cloud accepts the key or session"),
        Ok(None) => check(name, Grade::Green, "a key or session is set"),
        Ok(Some(false)) => check(name, Grade::Red, "the cloud rejects the key or session")
            .todo("sign in again with `masv user login`, or pass a valid key with --api-key-file"),
        Err(CloudError::NotSignedIn) => {
            check(name, Grade::Amber, "no key or session: only uploads to portals are possible")
                .todo("sign in with `masv user login`, or pass a key with --api-key-file")
        }
        Err(error @ CloudError::NoTeam { .. }) => {
            check(name, Grade::Amber, error.to_string()).todo("name the team with --team-id")
        }
        Err(error) => check(name, Grade::Amber, error.to_string()).todo("try again"),
    }
}

/// Checks this machine: free space, limits, the rules' folders. Blocks. `folders` says how many subfolders a rule has,
/// if known.
#[must_use]
pub fn machine(data_dir: &Path, rules: &RuleSet, folders: &dyn Fn(&str) -> Option<u64>) -> Vec<Check> {
    let mut checks = vec![room(data_dir)];
    // Without a running agent, the caller may be another user, and the directory may not exist yet.
    checks.extend(data_dir.is_dir().then(|| written(data_dir)));
    let enabled: Vec<&Rule> = rules.rules.iter().map(AsRef::as_ref).filter(|rule| rule.enabled).collect();
    let watched = enabled.iter().map(|rule| folders(&rule.name).unwrap_or(1)).sum();
    checks.extend(watch_limits().map(|limits| watches(limits.folders, watched)));
    checks.extend(masv_platform::descriptors().map(descriptors));
    checks.extend(writers(masv_platform::sees_all_writers(), &unseen_writers(&enabled)));
    checks.extend(enabled.into_iter().map(folder));
    checks.extend(rules.downloads.iter().filter(|rule| rule.enabled).map(|rule| destination(&rule.name, &rule.into)));
    checks
}

/// Errors that the active rules have met.
#[must_use]
pub fn at_work(rules: &[RuleStatus]) -> Vec<Check> {
    let limited = rules.iter().filter(|rule| rule.limited);
    let told = limited.map(|rule| {
        let reason = rule.reason.clone().unwrap_or_default();
        check(format!("watching of {}", rule.name), Grade::Amber, format!("polled: {reason}"))
            .todo(keep_watch_limit_advice())
    });
    let uploads = rules.iter().filter(|rule| rule.failed_uploads > 0).map(|rule| {
        let reason = rule.last_error.as_ref().filter(|error| error.code == "upload").map(|error| error.message.clone());
        let many = if rule.failed_uploads == 1 { "upload has failed" } else { "uploads have failed" };
        let finding = format!("{} {many}: {}", rule.failed_uploads, reason.unwrap_or_else(|| "see each".to_owned()));
        check(format!("uploads of {}", rule.name), Grade::Red, finding)
            .todo("list them with `masv upload ls --states error`; `masv upload status ID` says what to do")
    });
    // Errors of its uploads are listed above, those of its folder with the folder.
    let failing = rules.iter().filter_map(|rule| Some((rule, rule.last_error.as_ref().filter(|error| !error.over)?)));
    let failing = failing.filter(|(_, error)| !matches!(error.code, "upload" | "offline")).map(|(rule, error)| {
        check(format!("rule {}", rule.name), Grade::Red, error.message.clone())
            .todo(format!("`masv rule status {}` shows which files are waiting", rule.name))
    });
    told.chain(uploads).chain(failing).collect()
}

/// The limitations of the deliveries.
#[must_use]
pub fn deliveries(limitations: &[Limitation]) -> Vec<Check> {
    let told = limitations.iter().map(|limitation| {
        check(limitation.of.as_str(), Grade::Amber, limitation.message.clone()).todo(limitation.hint.clone())
    });
    told.collect()
}

/// What it means that the database lacks events that its data directory has seen.
#[must_use]
pub fn older_database(events: u64) -> String {
    format!(
        "agent.db is older than the data directory that it is in, by {events} events: a copy was put in its place. What was sent since \
         the copy was made is not known: it is sent again if it is still in a watched folder"
    )
}

/// The same, as long as the agent runs that was started with it.
#[must_use]
pub fn older(events: u64) -> Check {
    check("database", Grade::Amber, older_database(events)).todo(
        "move out of the watched folders what was sent since, or pause the rules and `masv rule mark-sent` it; this is \
         told until the next start",
    )
}

/// Whether the current rules file is valid.
#[must_use]
pub fn rules_file(problem: Option<&str>) -> Option<Check> {
    let problem = problem?;
    let line = problem.lines().next().unwrap_or_default().to_owned();
    Some(
        check("rules file", Grade::Red, format!("it is not loaded, and the previous rules stay active: {line}"))
            .todo("`masv rule check` shows everything that is wrong with it; it is reloaded when you save it"),
    )
}

/// Bytes written to test the disk: more than file systems store inline.
const PROBE: usize = 8 << 10;

/// Whether the state can be written now. Blocks as long as the disk takes.
///
/// # Errors
/// Why not: a full or read-only disk, or revoked permissions.
fn can_write(data_dir: &Path) -> std::io::Result<()> {
    let mut file = tempfile::tempfile_in(data_dir)?;
    file.write_all(&[1; PROBE])?;
    file.sync_data()
}

/// Whether the state can be written, for callers that may ask often: tested at most once a second.
#[derive(Debug, Default)]
pub struct Probe {
    last: tokio::sync::Mutex<Option<(Instant, bool)>>,
}

impl Probe {
    /// How long a result is valid.
    const HOLDS: Duration = Duration::from_secs(1);

    /// Whether the state can be written now.
    pub async fn can_write(&self, data_dir: &Path) -> bool {
        let mut last = self.last.lock().await;
        if let Some((at, written)) = *last
            && at.elapsed() < Self::HOLDS
        {
            return written;
        }
        let data_dir = data_dir.to_owned();
        let tried = tokio::task::spawn_blocking(move || can_write(&data_dir)).await;
        let written = matches!(tried, Ok(Ok(())));
        *last = Some((Instant::now(), written));
        written
    }
}

fn written(data_dir: &Path) -> Check {
    match can_write(data_dir) {
        Ok(()) => check("state", Grade::Green, format!("{} can be written", data_dir.display())),
        Err(error) => check("state", Grade::Red, format!("{} cannot be written: {error}", data_dir.display())).todo(
            "free space, mount it writable, or make the agent's user its owner; until then no changes are accepted",
        ),
    }
}

fn room(data_dir: &Path) -> Check {
    let name = "disk";
    match masv_platform::free_space(data_dir) {
        Ok(free) => room_left(data_dir, free),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            check(name, Grade::Amber, format!("{} does not exist yet", data_dir.display()))
                .todo("the first start creates it; set another with --data-dir or MASV_DATA_DIR")
        }
        Err(error) => check(name, Grade::Red, format!("{}: {error}", data_dir.display()))
            .todo("make the data directory accessible to the agent's user"),
    }
}

fn room_left(data_dir: &Path, free: u64) -> Check {
    let finding = format!("{} free in {}", bytesize::ByteSize::b(free).display().si(), data_dir.display());
    let grade = match free {
        free if free < LEAST_ROOM => Grade::Red,
        free if free < LITTLE_ROOM => Grade::Amber,
        _ => return check("disk", Grade::Green, finding),
    };
    check("disk", grade, finding).todo("free space: without it nothing can be recorded, so nothing is sent")
}

fn watches(limit: u64, wanted: u64) -> Check {
    let finding = format!("{wanted} folders to watch, {limit} watches allowed");
    // Other programs of the same user watch folders, too.
    let grade = if wanted > limit {
        Grade::Red
    } else if wanted.saturating_mul(4) > limit.saturating_mul(3) {
        Grade::Amber
    } else {
        return check("watches", Grade::Green, finding);
    };
    let enough = wanted.saturating_mul(2).next_power_of_two().max(1 << 19);
    check("watches", grade, finding).todo(format!(
        "{}, and write the same into /etc/sysctl.d; beyond the limit folders are polled",
        more_folders_advice(enough)
    ))
}

/// Folders of which it is not shown who writes there.
#[derive(Debug, Default)]
struct UnseenWriters {
    /// By nothing: the file system does not tell.
    silent: Vec<String>,
    /// By a lease, which is refused for other users' files.
    foreign: Vec<String>,
}

/// The folders whose writers matter: a rule with a marker or a list is told when its files are complete.
fn unseen_writers(rules: &[&Rule]) -> UnseenWriters {
    let mut unseen = UnseenWriters::default();
    for rule in rules.iter().filter(|rule| matches!(rule.ready, Ready::Settled)) {
        let folder = rule.watch.display();
        match silent_file_system(&rule.watch) {
            Some(system) => unseen.silent.push(format!("{folder} ({system})")),
            None if has_other_writers(&rule.watch) => unseen.foreign.push(folder.to_string()),
            None => {}
        }
    }
    unseen
}

/// Whether writers are detected. `all` says whether leases tell of other users' files; `None` where there are none.
fn writers(all: Option<bool>, unseen: &UnseenWriters) -> Option<Check> {
    let foreign = if all == Some(false) { unseen.foreign.as_slice() } else { &[] };
    let (mut findings, mut todo) = (Vec::new(), Vec::new());
    if !unseen.silent.is_empty() {
        findings.push(format!("who writes to a file in {} is not shown", listed(&unseen.silent)));
    }
    if !foreign.is_empty() {
        findings.push(format!(
            "in {}, other users' programs are detected only if they write while the agent runs, not if they opened the file before",
            listed(foreign)
        ));
        todo.push(
            "give the agent CAP_LEASE (`AmbientCapabilities=CAP_LEASE` in its unit), or run it as the writers' user",
        );
    }
    if findings.is_empty() {
        let all = all?;
        let who = if all { "any program has" } else { "programs have" };
        return Some(check("writers", Grade::Green, format!("files that {who} open for writing are detected")));
    }
    todo.push(
        "a pause of a writer looks like its end there: let it write under a temporary name, set `ready` to a marker or a list, or a \
         longer `settle`",
    );
    let finding = format!("{}; such files settle for 30 seconds unless the rule says otherwise", findings.join("; "));
    Some(check("writers", Grade::Amber, finding).todo(todo.join("; ")))
}

/// The first of some folders, and how many more there are.
fn listed(folders: &[String]) -> String {
    const NAMED: usize = 3;
    let more = folders.len().saturating_sub(NAMED);
    let named = folders[..folders.len().min(NAMED)].join(", ");
    if more > 0 { format!("{named} and {more} more") } else { named }
}

/// How many files and connections may be open. An upload has up to sixteen open files, and each worker a connection.
fn descriptors(limit: u64) -> Check {
    let finding = format!("{limit} allowed");
    if limit >= 1024 {
        return check("files", Grade::Green, finding);
    }
    check("files", if limit < masv_platform::FEWEST_DESCRIPTORS { Grade::Red } else { Grade::Amber }, finding)
        .todo(more_descriptors_advice())
}

/// Where a rule downloads to.
fn destination(rule: &str, into: &Path) -> Check {
    let name = format!("folder of {rule}");
    // A missing folder is created; its parent must be writable.
    let there = into.ancestors().find(|folder| folder.exists()).unwrap_or(into);
    match may_write(there) {
        Ok(()) => check(name, Grade::Green, format!("{} can be written", into.display())),
        Err(error) => {
            check(name, Grade::Red, format!("{} cannot be written: {error}", there.display())).todo(let_write_advice())
        }
    }
}

/// The check of a rule's folder.
#[derive(Debug, Clone, Default)]
struct Seen {
    problem: Option<String>,
    missing: bool,
    writable: bool,
    silent: Option<&'static str>,
}

fn folder(rule: &Rule) -> Check {
    let watch = &rule.watch;
    // Of what a link leads to, nothing is said.
    let link = rule.confined.then(|| rule.place().folder().err()).flatten();
    let seen = match (link, std::fs::read_dir(watch)) {
        (Some(link @ FolderError::Symlink(_)), _) => Seen { problem: Some(link.to_string()), ..Seen::default() },
        (_, Ok(_)) => Seen {
            problem: may_enter(watch).err().map(|error| error.to_string()),
            missing: false,
            writable: may_write(watch).is_ok(),
            silent: silent_file_system(watch),
        },
        (_, Err(error)) => Seen {
            missing: error.kind() == std::io::ErrorKind::NotFound,
            problem: Some(error.to_string()),
            ..Seen::default()
        },
    };
    let complete = !matches!(rule.after.complete, AfterComplete::Keep);
    let takes_away = complete || !matches!(rule.after.error, AfterError::Keep);
    judge_folder(&rule.name, watch, rule.create, takes_away, &seen)
}

fn judge_folder(rule: &str, watch: &Path, create: bool, takes_away: bool, seen: &Seen) -> Check {
    let (name, folder) = (format!("folder of {rule}"), watch.display());
    if let Some(problem) = &seen.problem {
        let grade = if seen.missing && create { Grade::Amber } else { Grade::Red };
        let todo = if seen.missing {
            "create it, mount it, or set `create: true` in the rule".to_owned()
        } else {
            let_read_advice(watch)
        };
        return check(name, grade, format!("{folder}: {problem}")).todo(todo);
    }
    if takes_away && !seen.writable {
        return check(name, Grade::Red, format!("{folder} is not writable, and the rule deletes or moves sent files"))
            .todo(let_write_advice());
    }
    if let Some(system) = seen.silent {
        let finding =
            format!("{folder} is readable; it is on {system}, so it is polled, and writers cannot be detected");
        return check(name, Grade::Green, finding);
    }
    check(name, Grade::Green, format!("{folder} is readable"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_hub_has_lost_is_red_and_what_passes_is_not() {
        let grade = |problems: &[&str]| {
            let problems: Vec<String> = problems.iter().map(|problem| (*problem).to_owned()).collect();
            hub(&problems).map(|check| check.grade)
        };
        assert_eq!(grade(&[]), None);
        assert_eq!(grade(&["restored"]), Some(Grade::Amber));
        assert_eq!(grade(&["restored", "content_missing"]), Some(Grade::Red));
    }

    fn bad(check: &Check) -> bool {
        check.grade != Grade::Green
    }

    /// The line was green whatever could be seen.
    #[test]
    fn writers_that_cannot_be_seen_are_told_with_their_folders() {
        let seen = UnseenWriters::default();
        let graded = |all, unseen: &UnseenWriters| writers(all, unseen).map(|check| check.grade);
        assert_eq!(graded(Some(true), &seen), Some(Grade::Green));
        assert_eq!(graded(Some(false), &seen), Some(Grade::Green), "the agent's own user's");
        assert_eq!(graded(None, &seen), None, "no leases, nothing known to be unseen");
        let unseen = |silent: &[&str], foreign: &[&str]| {
            let owned = |folders: &[&str]| folders.iter().map(|folder| (*folder).to_owned()).collect();
            UnseenWriters { silent: owned(silent), foreign: owned(foreign) }
        };
        let share = writers(Some(true), &unseen(&["/mnt/nas (NFS)"], &["/srv/drop"])).unwrap();
        assert_eq!(share.grade, Grade::Amber);
        assert!(share.finding.contains("/mnt/nas (NFS)") && !share.finding.contains("/srv/drop"), "{}", share.finding);
        assert!(!share.todo.unwrap().contains("CAP_LEASE"), "a lease shows nothing of another machine");
        let others = writers(Some(false), &unseen(&[], &["/a", "/b", "/c", "/d", "/e"])).unwrap();
        assert_eq!(others.grade, Grade::Amber);
        assert!(others.finding.contains("/a, /b, /c and 2 more"), "{}", others.finding);
        assert!(others.todo.unwrap().contains("CAP_LEASE"));
        assert_eq!(graded(Some(true), &unseen(&[], &["/a"])), Some(Grade::Green), "a lease shows other users' files");
        assert_eq!(graded(None, &unseen(&["/mnt (SMB)"], &["/a"])), Some(Grade::Amber));
    }

    #[test]
    fn a_clock_may_be_off_a_little() {
        let grades = [Some(0), Some(-30), Some(31), Some(-300), Some(301), None].map(|ahead| clock(ahead).grade);
        let wanted = [Grade::Green, Grade::Green, Grade::Amber, Grade::Amber, Grade::Red, Grade::Green];
        assert_eq!(grades, wanted);
    }

    #[test]
    fn limits_are_compared_with_what_is_wanted() {
        assert!(!bad(&watches(8_192, 6_000)) && !bad(&room_left(Path::new("/d"), 2 << 30)));
        assert_eq!((watches(8_192, 7_000).grade, watches(8_192, 9_000).grade), (Grade::Amber, Grade::Red));
        assert_eq!(room_left(Path::new("/d"), 5).grade, Grade::Red);
        assert_eq!([65_536, 1_000, 64].map(|limit| descriptors(limit).grade), [Grade::Green, Grade::Amber, Grade::Red]);
        let folder = tempfile::tempdir().unwrap();
        assert!(!bad(&destination("in", &folder.path().join("not/yet/there"))));
    }

    /// Case: a disk that is nearly full, a hub that is away and a key that is refused are told, and what is well is told as well.
    #[test]
    fn each_check_is_green_amber_and_red_where_it_can_be() {
        let (call, message) = (masv_client::Call::Limits, "no".to_owned());
        let reached = Reached { ahead: None, took: Duration::from_millis(3) };
        let refused = CloudError::Refused { call, status: 500, code: None, message, retry_after: None };
        let cloud = [Ok(reached), Err(refused), Err(CloudError::Unreachable { call, reason: "refused".into() })];
        let key = [Ok(Some(true)), Err(CloudError::NotSignedIn), Ok(Some(false))];
        let grades = |checks: [Check; 3]| checks.map(|check| check.grade);
        let all = [Grade::Green, Grade::Amber, Grade::Red];
        assert_eq!(grades(cloud.map(|answer| reachable("http://hub", &answer))), all);
        assert_eq!(grades(key.map(|answer| authorised(&answer))), all);
        assert_eq!(grades([2 << 30, 500 << 20, 5].map(|free| room_left(Path::new("/d"), free))), all);
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a-file");
        std::fs::write(&file, "").unwrap();
        assert_eq!(grades([folder.path(), &folder.path().join("no"), &file.join("x")].map(room)), all);
        // The folder of a download rule is red if nothing can be created in it; it is never amber.
        assert_eq!(destination("in", &file.join("x")).grade, Grade::Red);
        assert_eq!(rules_file(Some("line 3: no\nmore")).unwrap().grade, Grade::Red);
        assert!(rules_file(None).is_none());
    }

    #[test]
    fn everything_that_is_bad_says_what_to_do() {
        let watch = Path::new("/srv/drop");
        let missing = Seen { problem: Some("No such file".into()), missing: true, ..Seen::default() };
        let shut = Seen { problem: Some("Permission denied".into()), ..Seen::default() };
        let fine = Seen { writable: true, ..Seen::default() };
        let checks = [
            judge_folder("a", watch, false, false, &missing),
            judge_folder("a", watch, false, false, &shut),
            judge_folder("a", watch, false, true, &Seen::default()),
            authorised(&Err(CloudError::NotSignedIn)),
            authorised(&Ok(Some(false))),
            watches(1, 5),
        ];
        assert!(checks.iter().all(|check| bad(check) && check.todo.is_some()), "{checks:?}");
        assert_eq!(judge_folder("a", watch, true, false, &missing).grade, Grade::Amber);
        assert!(!bad(&judge_folder("a", watch, false, true, &fine)));
    }
}
