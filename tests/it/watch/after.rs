//! What happens to source files once their package is complete, or failed: nothing that was not sent is ever lost.

use masv_agent::model::{Problem, State};

use super::support::Bench;
use crate::process::Agent;

#[tokio::test(flavor = "multi_thread")]
async fn a_complete_package_s_files_are_moved_with_their_folders_and_the_emptied_ones_go() {
    let keys = "package: { per: folder, quiet: 100ms }\nsettle: 50ms\nafter: { complete: { move: 'sent/{{ date }}' } }";
    let bench = Bench::with(keys).await;
    bench.write("A001/CLIPS/one.mov", "1");
    bench.write("A001/readme.txt", "r");
    bench.packages_when(1).await;
    let upload = bench.uploads().await.remove(0);
    bench.looked_again().await;
    assert!(bench.path("A001/readme.txt").exists(), "nothing moves before the cloud has confirmed");
    bench.complete(&upload).await;
    bench.until("the folder is gone", async || !bench.path("A001").exists()).await;
    let sent = std::fs::read_dir(bench.root.path().join("sent")).unwrap().next().unwrap().unwrap().path();
    assert_eq!(std::fs::read_to_string(sent.join("A001/CLIPS/one.mov")).unwrap(), "1");
    assert_eq!(std::fs::read_to_string(sent.join("A001/readme.txt")).unwrap(), "r");
}

/// R8: a file that changed after it was sent is neither deleted nor moved, but sent as new.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_changed_after_it_was_sent_is_kept_and_sent_anew() {
    let bench = Bench::with("package: file\nsettle: 50ms\nafter: { complete: delete }").await;
    bench.write("keep.mov", "first");
    bench.write("clip.mov", "content");
    bench.packages_when(2).await;
    let uploads = bench.uploads().await;
    for upload in &uploads {
        for file in bench.files(upload).await {
            let checksum = blake3::hash(&std::fs::read(file.source.whole()).unwrap()).to_hex().to_string();
            bench.store.file_done(upload.id, file.number, Some(checksum), None).await.unwrap();
        }
    }
    bench.write("keep.mov", "second, longer");
    for upload in &uploads {
        bench.store.completed(upload.id).await.unwrap();
    }
    bench.until("the unchanged one is gone", async || !bench.path("clip.mov").exists()).await;
    assert_eq!(bench.packages_when(3).await[2], ["keep.mov"]);
    assert_eq!(std::fs::read_to_string(bench.path("keep.mov")).unwrap(), "second, longer");
    bench.complete(&bench.uploads().await[2]).await;
    bench.until("the second one is gone too", async || !bench.path("keep.mov").exists()).await;
}

/// Row "restarting the server can cause repeated file transfers" and "the action will not be retried": the agent
/// dies between the confirmation and the after-action.
#[tokio::test(flavor = "multi_thread")]
async fn an_after_action_that_a_crash_prevented_is_done_at_the_next_start() {
    let keys = "package: file\nsettle: 50ms\nafter: { complete: delete }";
    let mut bench = Bench::with(keys).await;
    bench.write("clip.mov", "content");
    bench.packages_when(1).await;
    bench.stop().await;
    bench.complete(&bench.uploads().await[0]).await;
    assert!(bench.path("clip.mov").exists());
    bench.start(keys).await;
    bench.until("it no longer exists", async || !bench.path("clip.mov").exists()).await;
    assert_eq!(bench.uploads().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn files_moved_within_the_watched_folder_are_not_taken_for_drops() {
    let keys = "package: file\nsettle: 50ms\nafter: { complete: { move: 'drop/{{ rule }}-sent' } }";
    let bench = Bench::with(keys).await;
    for round in 1..=2 {
        bench.write("clip.mov", format!("round {round}"));
        bench.packages_when(round).await;
        bench.complete(&bench.uploads().await[round - 1]).await;
        bench.until("it no longer exists", async || !bench.path("clip.mov").exists()).await;
    }
    bench.looked_again().await;
    bench.looked_again().await;
    assert_eq!(bench.packages().await, [["clip.mov"], ["clip.mov"]]);
    assert_eq!(std::fs::read_to_string(bench.path("dailies-sent/clip.mov")).unwrap(), "round 1");
    assert_eq!(std::fs::read_to_string(bench.path("dailies-sent/clip (2).mov")).unwrap(), "round 2");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_goes_with_the_file_it_made_ready() {
    let keys = "package: file\nsettle: 50ms\nready: { marker: .done }\nafter: { complete: delete }";
    let bench = Bench::with(keys).await;
    bench.write("clip.mov", "content");
    bench
        .until("a reason", async || {
            bench.status().waiting.first().is_some_and(|file| file.reason.contains("clip.mov.done"))
        })
        .await;
    assert!(bench.uploads().await.is_empty());
    bench.write("clip.mov.done", "");
    assert_eq!(bench.packages_when(1).await, [["clip.mov"]]);
    bench.complete(&bench.uploads().await[0]).await;
    bench
        .until("both are gone", async || !bench.path("clip.mov").exists() && !bench.path("clip.mov.done").exists())
        .await;
}

/// Line "across file systems copies with progress": how far it is is told where people look.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_to_another_file_system_tells_how_far_it_is() {
    use std::os::unix::fs::MetadataExt;
    const SIZE: u64 = 32 << 20;
    let (here, other) =
        (tempfile::tempdir().unwrap(), tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap());
    let device = |path: &std::path::Path| std::fs::metadata(path).unwrap().dev();
    if device(other.path()) == device(here.path()) {
        eprintln!("skipped: this machine has one file system only");
        return;
    }
    let sent = other.path().join("sent");
    let rules = format!(
        "rules:\n  - {{ name: dailies, watch: drop, create: true, package: file, settle: 50ms, upload: {{ kind: link }}, \
         after: {{ complete: {{ move: '{}' }} }} }}\n",
        sent.display()
    );
    let mut agent = Agent::prepare_in(here, &rules, &[]);
    // A disk that takes two seconds for it.
    agent.environment = vec![("MASV_SLOW_AT".to_owned(), "copy:60".to_owned())];
    std::fs::create_dir(agent.path("drop")).unwrap();
    // A hole would be none to copy.
    std::fs::write(agent.path("drop/reel.mov"), vec![7; usize::try_from(SIZE).unwrap()]).unwrap();
    agent.go_on();
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let url = format!("{}/api/v1/automations", agent.url());
    let get = async |path: String| client.get(path).send().await.unwrap().json::<serde_json::Value>().await.unwrap();
    let deadline = std::time::Instant::now() + super::support::PATIENCE;
    let (mut seen, mut explained) = (Vec::new(), String::new());
    while agent.path("drop/reel.mov").exists() || !sent.join("reel.mov").exists() {
        assert!(std::time::Instant::now() < deadline, "it is not moved:\n{}", agent.log());
        let status = get(format!("{url}/dailies")).await;
        if let Some(copied) = status["copying"]["copied"].as_u64() {
            assert_eq!((&status["copying"]["size"], &status["copying"]["path"]), (&SIZE.into(), &"reel.mov".into()));
            seen.push(copied);
            if explained.is_empty() && copied > 0 {
                explained =
                    get(format!("{url}/explain?path={}", agent.path("drop/reel.mov").display())).await.to_string();
            }
        }
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    assert!(seen.iter().any(|copied| 0 < *copied && *copied < SIZE), "{seen:?}");
    assert!(seen.is_sorted(), "{seen:?}");
    assert!(explained.contains("was sent in package") && explained.contains("is being moved"), "{explained}");
}

/// The rule was removed, or another name given to it, while a sent file was hidden on its way to being removed: the file stayed hidden
/// for ever.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_has_hidden_comes_back_when_the_rule_is_gone() {
    let mut bench = Bench::new();
    bench.shortest_care = std::time::Duration::from_secs(3_600);
    let keys = "package: file\nsettle: 50ms\nafter: { complete: delete }";
    bench.start(keys).await;
    bench.write("A001/clip.mov", "content");
    bench.packages_when(1).await;
    bench.complete(&bench.uploads().await[0]).await;
    bench.until("it is hidden", async || !bench.path("A001/clip.mov").exists()).await;
    // A rule that is loaded again, changed or not, goes on looking after it.
    bench.watcher().reload(bench.rules(&format!("{keys}\npriority: 7"))).await;
    bench.looked_again().await;
    assert!(!bench.path("A001/clip.mov").exists());
    bench.watcher().reload(bench.rules_file("rules: []")).await;
    bench.until("it is back", async || bench.path("A001/clip.mov").exists()).await;
    assert_eq!(std::fs::read_to_string(bench.path("A001/clip.mov")).unwrap(), "content");
    let names = std::fs::read_dir(bench.path("A001")).unwrap().count();
    bench.until("it is forgotten", async || bench.store.rules_that_took_away().await.unwrap().is_empty()).await;
    assert_eq!((names, bench.uploads().await.len()), (1, 1), "nothing hidden is left, nothing is sent again");
}

/// The same when it is gone at the next start.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_rule_has_hidden_comes_back_at_a_start_without_the_rule() {
    let mut bench = Bench::new();
    bench.shortest_care = std::time::Duration::from_secs(3_600);
    let keys = "package: file\nsettle: 50ms\nafter: { complete: delete }";
    bench.start(keys).await;
    bench.write("clip.mov", "content");
    bench.packages_when(1).await;
    bench.complete(&bench.uploads().await[0]).await;
    bench.until("it is hidden", async || !bench.path("clip.mov").exists()).await;
    bench.stop().await;
    // Disabled is not at work either; and a new file has the name.
    bench.write("clip.mov", "another");
    bench.start(&format!("{keys}\nenabled: false")).await;
    bench.until("it is back", async || bench.path("clip (2).mov").exists()).await;
    assert_eq!(std::fs::read_to_string(bench.path("clip (2).mov")).unwrap(), "content");
    assert_eq!(std::fs::read_to_string(bench.path("clip.mov")).unwrap(), "another");
}

/// Peers: "on failure ... a log file beside it".
#[tokio::test(flavor = "multi_thread")]
async fn a_failed_package_s_files_are_moved_beside_the_reason() {
    let keys = "package: { per: folder, quiet: 100ms }\nsettle: 50ms\nafter: { error: { move: failed } }";
    let bench = Bench::with(keys).await;
    bench.write("A001/clip.mov", "content");
    bench.packages_when(1).await;
    let problem = Problem {
        code: "refused".to_owned(),
        message: "the portal refuses the package".to_owned(),
        retryable: false,
        hint: Some("ask its owner".to_owned()),
    };
    let upload = bench.uploads().await.remove(0);
    bench.store.move_to(upload.id, &[State::Transferring], State::Error, Some(problem)).await.unwrap();
    let failed = bench.root.path().join("failed");
    bench.until("the reason is there", async || failed.join("A001.error.txt").exists()).await;
    bench.until("the folder is gone", async || !bench.path("A001").exists()).await;
    let reason = std::fs::read_to_string(failed.join("A001.error.txt")).unwrap();
    assert!(reason.contains("the portal refuses the package") && reason.contains("ask its owner"), "{reason}");
    assert!(failed.join("A001/clip.mov").exists());
}

/// With `resend`, what was sent, removed and dropped again is sent again; without it, it is not.
#[tokio::test(flavor = "multi_thread")]
async fn the_same_file_dropped_again_is_sent_again_only_where_the_rule_says_so() {
    for (resend, expected) in [("true", 2), ("false", 1)] {
        let keys = format!("package: file\nsettle: 50ms\nafter: {{ complete: delete }}\nresend: {resend}");
        let bench = Bench::with(&keys).await;
        let master = bench.root.path().join("master.mov");
        std::fs::write(&master, "content").unwrap();
        let time = std::fs::metadata(&master).unwrap().modified().unwrap();
        let drop_again = || {
            let copy = bench.root.path().join("copy.mov");
            std::fs::copy(&master, &copy).unwrap();
            std::fs::File::options().write(true).open(&copy).unwrap().set_modified(time).unwrap();
            std::fs::rename(&copy, bench.path("clip.mov")).unwrap();
        };
        drop_again();
        bench.packages_when(1).await;
        bench.complete(&bench.uploads().await[0]).await;
        bench.until("it no longer exists", async || !bench.path("clip.mov").exists()).await;
        bench.looked_again().await;
        drop_again();
        // Without `resend` it is known by its content and removed again.
        let settled = async || bench.uploads().await.len() == 2 || !bench.path("clip.mov").exists();
        bench.until("it is decided", settled).await;
        assert_eq!(bench.uploads().await.len(), expected, "resend: {resend}");
    }
}

/// A removed upload's files are sent again only on request, or if they are dropped again.
#[tokio::test(flavor = "multi_thread")]
async fn files_of_a_removed_upload_are_not_sent_again_by_themselves() {
    let bench = Bench::with("package: file\nsettle: 50ms\nrescan: 1h").await;
    bench.write("clip.mov", "content");
    bench.packages_when(1).await;
    bench.store.remove_upload(bench.uploads().await[0].id).await.unwrap();
    bench.looked_again().await;
    bench.looked_again().await;
    assert!(bench.uploads().await.is_empty());
    let explained = bench.watcher().explain(&bench.path("clip.mov")).await.unwrap();
    let last = explained.rules[0].tests.last().unwrap();
    assert!(last.test == "ledger" && last.detail.contains("cancelled"), "{last:?}");
    let away = bench.root.path().join("away.mov");
    std::fs::rename(bench.path("clip.mov"), &away).unwrap();
    bench
        .until("it is forgotten", async || bench.store.ledger_page("dailies", None, 1).await.unwrap().is_empty())
        .await;
    std::fs::rename(&away, bench.path("clip.mov")).unwrap();
    bench.packages_when(1).await;
}

/// A folder that others may write to: the place that files are moved to was exchanged for a link to a private folder.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_planted_where_files_are_moved_to_is_not_followed() {
    let bench = Bench::with("package: file\nsettle: 50ms\nafter: { complete: { move: 'sent/{{ rule }}' } }").await;
    bench.ready().await;
    let (root, private) = (bench.root.path(), bench.root.path().join("private"));
    std::fs::create_dir(&private).unwrap();
    std::os::unix::fs::symlink(&private, root.join("sent")).unwrap();
    bench.write("clip.mov", "content");
    bench.packages_when(1).await;
    bench.complete(&bench.uploads().await[0]).await;
    let told = async || bench.status().last_error.is_some_and(|error| error.message.contains("is a symbolic link"));
    bench.until("the reason is told", told).await;
    assert_eq!(std::fs::read_dir(&private).unwrap().count(), 0);
    assert_eq!(std::fs::read_to_string(bench.path("clip.mov")).unwrap(), "content");
}

/// The reason for a failure is written beside the files: not through a link that someone has put there.
#[tokio::test(flavor = "multi_thread")]
async fn a_link_planted_where_the_reason_is_written_is_replaced_and_not_followed() {
    let bench = Bench::with("package: file\nsettle: 50ms\nafter: { error: { move: failed } }").await;
    let (failed, victim) = (bench.root.path().join("failed"), bench.root.path().join("victim"));
    std::fs::create_dir(&failed).unwrap();
    std::fs::write(&victim, "mine").unwrap();
    std::os::unix::fs::symlink(&victim, failed.join("clip.mov.error.txt")).unwrap();
    bench.write("clip.mov", "content");
    bench.packages_when(1).await;
    let problem = Problem { code: "refused".into(), message: "no".into(), retryable: false, hint: None };
    let id = bench.uploads().await[0].id;
    bench.store.move_to(id, &[State::Transferring], State::Error, Some(problem)).await.unwrap();
    bench.until("it is moved", async || failed.join("clip.mov").exists()).await;
    assert_eq!(std::fs::read_to_string(&victim).unwrap(), "mine");
    assert!(std::fs::read_to_string(failed.join("clip.mov.error.txt")).unwrap().contains("Code: refused"));
}

/// A move target that leads back into the watched folder over a link used to be sent again and again.
#[tokio::test(flavor = "multi_thread")]
async fn files_moved_into_the_watched_folder_over_a_link_are_not_taken_for_drops() {
    let mut bench = Bench::new();
    std::os::unix::fs::symlink("drop", bench.root.path().join("lin")).unwrap();
    bench.start("package: file\nsettle: 50ms\nafter: { complete: { move: lin/sent } }").await;
    bench.write("clip.mov", "content");
    bench.packages_when(1).await;
    bench.complete(&bench.uploads().await[0]).await;
    bench.until("it is moved", async || bench.path("sent/clip.mov").exists()).await;
    bench.looked_again().await;
    bench.looked_again().await;
    assert_eq!(bench.packages().await, [["clip.mov"]]);
}

/// The upload is complete, the file is deleted, and an undetected program continues writing to it: what it writes used
/// to be lost, though it was told that all went well.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_into_a_deleted_file_is_sent_as_a_new_one() {
    use std::io::Write;
    let mut bench = Bench::new();
    bench.shortest_care = std::time::Duration::from_secs(3);
    bench.start("package: file\nsettle: 50ms\nafter: { complete: delete }").await;
    let mut writer = std::fs::File::create(bench.path("clip.mov")).unwrap();
    writer.write_all(b"first").unwrap();
    drop(writer);
    bench.packages_when(1).await;
    // An undetected way to the file, like that of a program on another machine.
    let unseen = bench.root.path().join("unseen");
    std::fs::hard_link(bench.path("clip.mov"), &unseen).unwrap();
    bench.complete(&bench.uploads().await[0]).await;
    bench.until("it is taken away", async || !bench.path("clip.mov").exists()).await;
    std::fs::File::options().append(true).open(unseen).unwrap().write_all(b" second").unwrap();
    assert_eq!(bench.packages_when(2).await, [["clip.mov"], ["clip.mov"]]);
    assert_eq!(bench.uploads().await[1].totals.bytes, 12);
    assert_eq!(std::fs::read_to_string(bench.path("clip.mov")).unwrap(), "first second");
    let told = bench.status().last_error.unwrap();
    assert!(told.message.contains("was written to after it had been sent"), "{told:?}");
}

/// The same for a file that was moved.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_written_into_a_moved_file_is_sent_as_a_new_one() {
    use std::io::Write;
    let mut bench = Bench::new();
    bench.shortest_care = std::time::Duration::from_secs(3);
    bench.start("package: file\nsettle: 50ms\nafter: { complete: { move: sent } }").await;
    bench.write("card/clip.mov", "first");
    bench.packages_when(1).await;
    bench.complete(&bench.uploads().await[0]).await;
    let moved = bench.root.path().join("sent/card/clip.mov");
    bench.until("it is moved", async || moved.exists()).await;
    std::fs::File::options().append(true).open(&moved).unwrap().write_all(b" second").unwrap();
    assert_eq!(bench.packages_when(2).await, [["card/clip.mov"], ["card/clip.mov"]]);
    assert_eq!(std::fs::read_to_string(bench.path("card/clip.mov")).unwrap(), "first second");
    assert!(!moved.exists());
}

/// Neither a restart nor a crash leaves a file hidden forever.
#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_file_is_removed_by_the_next_start() {
    let keys = "package: file\nsettle: 50ms\nafter: { complete: delete }";
    let mut bench = Bench::new();
    bench.shortest_care = std::time::Duration::from_secs(2);
    bench.start(keys).await;
    bench.write("card/clip.mov", "content");
    bench.packages_when(1).await;
    bench.complete(&bench.uploads().await[0]).await;
    bench.until("it is taken away", async || !bench.path("card/clip.mov").exists()).await;
    bench.stop().await;
    assert_eq!(std::fs::read_dir(bench.path("card")).unwrap().count(), 1, "it is still there, hidden");
    assert!(bench.store.next_taken_away("dailies").await.unwrap().is_some());
    bench.start(keys).await;
    bench.until("it is gone", async || std::fs::read_dir(bench.path("card")).unwrap().count() == 0).await;
    bench.until("and forgotten", async || bench.store.next_taken_away("dailies").await.unwrap().is_none()).await;
    assert_eq!(bench.uploads().await.len(), 1);
}

/// "A full move target": the reason names the disk and that it is full, nothing is lost, and it is moved when there is room.
#[tokio::test(flavor = "multi_thread")]
async fn a_move_to_a_disk_that_is_full_says_so_and_is_done_when_there_is_room() {
    let Some(mut disk) = crate::operations::small_disk() else { return };
    let target = disk.folder();
    let keys = format!("package: file\nsettle: 50ms\nafter: {{ complete: {{ move: '{}' }} }}", target.path().display());
    let bench = Bench::with(&keys).await;
    let content = vec![7; 3 << 20];
    bench.write("clip.mov", &content);
    bench.packages_when(1).await;
    disk.fill(&target.path().join("ballast"));
    bench.complete(&bench.uploads().await[0]).await;
    let told = async || bench.status().last_error.is_some_and(|error| error.message.contains("no space left on"));
    bench.until("it is told that the disk is full", told).await;
    let message = bench.status().last_error.unwrap().message;
    assert!(message.contains(&*target.path().to_string_lossy()), "{message}");
    assert!(std::fs::read(bench.path("clip.mov")).unwrap() == content, "the source is there, whole");
    std::fs::remove_file(target.path().join("ballast")).unwrap();
    // Loaded again it tries at once, and not only a minute later.
    bench.watcher().reload(bench.rules(&format!("{keys}\npriority: 3"))).await;
    bench.until("it is moved", async || !bench.path("clip.mov").exists()).await;
    assert!(std::fs::read(target.path().join("clip.mov")).unwrap() == content);
    assert_eq!(std::fs::read_dir(target.path()).unwrap().count(), 1, "nothing unfinished is left there");
    assert_eq!(bench.uploads().await.len(), 1);
}

/// A `confined` rule was given another folder while a file was hidden in the one before, and a link took the place of that one: the file
/// was removed behind the link.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_confined_rule_has_hidden_is_removed_through_no_link() {
    let mut bench = Bench::new();
    let rules = |bench: &Bench, watch: &str| {
        bench.rules_file(&format!(
            "rules:\n  - {{ name: dailies, watch: {watch}, create: true, confined: true, package: file, settle: 50ms, \
             upload: {{ kind: link }}, after: {{ complete: delete }} }}\n"
        ))
    };
    bench.shortest_care = std::time::Duration::from_secs(3_600);
    bench.start_rules(rules(&bench, "drop")).await;
    bench.write("clip.mov", "content");
    bench.packages_when(1).await;
    bench.complete(&bench.uploads().await[0]).await;
    bench.until("it is taken away", async || !bench.path("clip.mov").exists()).await;
    bench.stop().await;
    let (drop, away) = (bench.path(""), bench.root.path().join("away"));
    std::fs::rename(&drop, &away).unwrap();
    std::os::unix::fs::symlink(&away, bench.root.path().join("drop")).unwrap();
    let hidden = || std::fs::read_dir(&away).unwrap().count();
    assert_eq!(hidden(), 1);
    // An hour ahead is more than it waits now: the file is due.
    bench.shortest_care = std::time::Duration::from_millis(100);
    bench.start_rules(rules(&bench, "other")).await;
    let told = async || bench.status().last_error.is_some_and(|error| error.message.contains("symbolic link"));
    bench.until("it is told of the link", told).await;
    assert_eq!(hidden(), 1, "the file behind the link stays");
    std::fs::remove_file(bench.root.path().join("drop")).unwrap();
    std::fs::rename(&away, bench.root.path().join("drop")).unwrap();
    let emptied = async || std::fs::read_dir(bench.root.path().join("drop")).unwrap().count() == 0;
    bench.until("it is removed from the folder that is back", emptied).await;
}
