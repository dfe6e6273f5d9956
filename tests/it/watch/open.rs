//! Open packages, groups, schedules: when packages are made and closed.

use std::time::Duration;

use masv_agent::model::{State, UploadFilter};

use super::support::Bench;

async fn closed(bench: &Bench, place: usize) -> bool {
    bench.uploads().await.get(place).is_some_and(|upload| upload.auto_finalize)
}

#[tokio::test(flavor = "multi_thread")]
async fn later_drops_go_into_the_open_package_until_it_is_quiet() {
    let bench = Bench::with("settle: 50ms\nfinalize: { quiet: 1s }").await;
    bench.write("one.mov", "1");
    bench.packages_when(1).await;
    bench.write("two.mov", "2");
    bench.until("both are in", async || bench.packages().await == [["one.mov", "two.mov"]]).await;
    assert!(!closed(&bench, 0).await);
    bench.until("it is closed", async || closed(&bench, 0).await).await;
    bench.write("three.mov", "3");
    assert_eq!(bench.packages_when(2).await, [vec!["one.mov", "two.mov"], vec!["three.mov"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_marker_closes_the_open_package_once_and_is_taken_away() {
    let bench = Bench::with("settle: 50ms\nfinalize: { marker: SEND }").await;
    bench.write("one.mov", "1");
    bench.packages_when(1).await;
    bench.write("two.mov", "2");
    bench.write("SEND", "");
    bench.until("it is closed", async || closed(&bench, 0).await).await;
    assert_eq!(bench.packages().await, [["one.mov", "two.mov"]]);
    bench.until("the marker is gone", async || !bench.path("SEND").exists()).await;
    bench.write("three.mov", "3");
    bench.packages_when(2).await;
    bench.looked_again().await;
    assert!(!closed(&bench, 1).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn enough_files_close_the_open_package() {
    let bench = Bench::with("settle: 50ms\nfinalize: { files: 2 }").await;
    bench.write("one.mov", "1");
    bench.packages_when(1).await;
    bench.write("two.mov", "2");
    bench.until("it is closed", async || closed(&bench, 0).await).await;
}

/// What is renamed while its package is not complete is a drop under its new name: that package may never be finalized, and
/// twice is better than never.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_renamed_before_its_package_is_complete_is_a_drop_under_its_new_name() {
    let keys = "package: { per: batch, quiet: 100ms }\nsettle: 50ms\nrescan: 1h";
    let bench = Bench::with(keys).await;
    bench.write("one.mov", "1");
    bench.packages_when(1).await;
    let upload = bench.uploads().await.remove(0);
    bench.store.file_done(upload.id, 0, None, None).await.unwrap();
    std::fs::rename(bench.path("one.mov"), bench.path("renamed.mov")).unwrap();
    assert_eq!(bench.packages_when(2).await, [["one.mov"], ["renamed.mov"]]);
}

/// A drop at the very moment of finalizing goes into the next package.
#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_takes_no_more_is_followed_by_a_new_one() {
    let bench = Bench::with("settle: 50ms\nfinalize: { quiet: 1h }").await;
    bench.write("one.mov", "1");
    bench.packages_when(1).await;
    bench.complete(&bench.uploads().await[0]).await;
    bench.write("two.mov", "2");
    assert_eq!(bench.packages_when(2).await, [["one.mov"], ["two.mov"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn groups_have_open_packages_of_their_own_and_a_restart_finds_them_again() {
    let keys = "settle: 50ms\nfinalize: { quiet: 1h }\ngroup_by: '{{ path[0] }}'";
    let mut bench = Bench::with(keys).await;
    bench.write("A/one.mov", "1");
    bench.write("B/one.mov", "1");
    bench.packages_when(2).await;
    bench.stop().await;
    bench.write("A/two.mov", "2");
    bench.write("B/two.mov", "2");
    bench.start(keys).await;
    bench.until("all are in", async || bench.packages().await.iter().map(Vec::len).sum::<usize>() == 4).await;
    let mut packages = bench.packages().await;
    packages.sort();
    assert_eq!(packages, [["A/one.mov", "A/two.mov"], ["B/one.mov", "B/two.mov"]]);
    assert_eq!(bench.status().open.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn outside_its_window_a_rule_waits_and_says_until_when() {
    // A window of one minute, half a day away from now.
    let now = jiff::Zoned::now().with_time_zone(jiff::tz::TimeZone::UTC);
    let (from, to) = (now.hour() + 12, now.hour() + 12);
    let window = format!("{:02}:00-{:02}:01", from % 24, to % 24);
    let keys = format!("settle: 50ms\npackage: file\nschedule: {{ between: '{window}' }}");
    let bench = Bench::new();
    let mut bench = bench;
    bench.start(&keys).await;
    bench.write("clip.mov", "x");
    bench
        .until("it is whole", async || bench.status().waiting.first().is_some_and(|f| f.reason.contains("complete")))
        .await;
    assert!(bench.uploads().await.is_empty());
    let explained = bench.watcher().explain(&bench.path("clip.mov")).await.unwrap();
    let last = explained.rules[0].tests.last().unwrap();
    assert!((last.test, last.passed) == ("schedule", false) && last.until.is_some(), "{last:?}");
    bench.watcher().run_now("dailies").await.unwrap();
    bench.packages_when(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_moment_packages_what_is_there_and_one_that_was_missed_is_made_up_for() {
    let keys = "settle: 50ms\nschedule: '* * * * * *'";
    let bench = Bench::with(keys).await;
    bench.write("one.mov", "1");
    bench.write("two.mov", "2");
    assert_eq!(bench.packages_when(1).await, [["one.mov", "two.mov"]]);

    // The moment lies between the last run and now: an hourly rule that was down meanwhile.
    let mut bench = Bench::new();
    bench.store.rule_seen("dailies", None).await.unwrap();
    let yesterday = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(25);
    bench.store.set_rule_run("dailies", yesterday).await.unwrap();
    bench.write("one.mov", "1");
    bench.start("settle: 50ms\nschedule: '@daily'").await;
    bench.packages_when(1).await;
    bench
        .until("the run is noted", async || {
            let record = bench.store.rule_record("dailies").await.unwrap().unwrap();
            record.last_run_at.is_some_and(|at| at > yesterday)
        })
        .await;
    bench.write("two.mov", "2");
    bench.looked_again_without_packaging().await;
    assert_eq!(bench.packages().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_there_at_the_first_start_can_count_as_sent() {
    let keys = "settle: 50ms\npackage: file\nexisting: skip";
    let mut bench = Bench::new();
    bench.write("old.mov", "x");
    bench.start(keys).await;
    bench.ready().await;
    bench.write("new.mov", "x");
    assert_eq!(bench.packages_when(1).await, [["new.mov"]]);
    bench.stop().await;
    bench.write("newer.mov", "x");
    bench.start(keys).await;
    assert_eq!(bench.packages_when(2).await, [["new.mov"], ["newer.mov"]]);
    assert_eq!(bench.watcher().forget("dailies", Some("old.mov".as_ref())).await.unwrap(), 1);
    assert_eq!(bench.packages_when(3).await[2], ["old.mov"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn marking_as_sent_keeps_files_from_being_sent() {
    let bench = Bench::with("settle: 300ms\npackage: file").await;
    bench.write("a.mov", "x");
    bench.until("it is seen", async || bench.status().waiting_count == 1).await;
    assert_eq!(bench.watcher().mark_sent("dailies", None).await.unwrap(), 1);
    bench.until("nothing waits", async || bench.status().waiting_count == 0).await;
    bench.looked_again().await;
    assert!(bench.uploads().await.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_paused_rule_makes_nothing_over_restarts() {
    let keys = "settle: 50ms\npackage: file";
    let mut bench = Bench::with(keys).await;
    bench.ready().await;
    bench.watcher().pause("dailies").await.unwrap();
    bench
        .until("it is kept", async || {
            bench.store.rule_record("dailies").await.unwrap().is_some_and(|record| record.paused)
        })
        .await;
    bench.stop().await;
    bench.write("clip.mov", "x");
    bench.start(keys).await;
    bench
        .until("it is whole", async || bench.status().waiting.first().is_some_and(|f| f.reason.contains("complete")))
        .await;
    assert!(bench.uploads().await.is_empty());
    bench.watcher().resume("dailies").await.unwrap();
    bench.packages_when(1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reload_restarts_only_what_differs() {
    let file = |settle: &str| {
        format!(
            "rules:\n  - {{ name: one, watch: drop/one, create: true, package: file, settle: 50ms, upload: {{ kind: link }} }}\n  \
             - {{ name: two, watch: drop/two, create: true, package: file, settle: {settle}, upload: {{ kind: link }} }}\n"
        )
    };
    let mut bench = Bench::new();
    bench.start_rules(bench.rules_file(&file("50ms"))).await;
    let scanned = async |name: &str| bench.watcher().rule_status(name).unwrap().last_scan;
    bench.until("both looked", async || scanned("one").await.is_some() && scanned("two").await.is_some()).await;
    let (one, two) = (scanned("one").await, scanned("two").await);
    bench.watcher().reload(bench.rules_file(&file("60ms"))).await;
    bench
        .until("two looked again", async || {
            let now = scanned("two").await;
            now.is_some() && now != two
        })
        .await;
    assert_eq!(scanned("one").await, one);
    bench.write("two/clip.mov", "x");
    bench.packages_when(1).await;
}

/// "A file belongs to the first rule in file order that matches."
#[tokio::test(flavor = "multi_thread")]
async fn overlapping_rules_share_without_sending_twice() {
    let mut bench = Bench::new();
    let rules = bench.rules_file(
        "rules:\n  - { name: movies, watch: drop, include: ['*.mov'], package: file, settle: 50ms, upload: { kind: link } }\n  \
         - { name: rest, watch: drop, package: file, settle: 50ms, upload: { kind: link } }\n",
    );
    bench.start_rules(rules).await;
    bench.write("clip.mov", "x");
    bench.write("clip.xml", "x");
    bench.packages_when(2).await;
    let explained = bench.watcher().explain(&bench.path("clip.mov")).await.unwrap();
    assert_eq!(explained.rule.as_deref(), Some("movies"));
    let refused = explained.rules[1].tests.last().unwrap();
    assert!(refused.test == "owner" && refused.detail.contains("movies"), "{refused:?}");
    for name in ["movies", "rest"] {
        let filter = UploadFilter { rule: Some(name.to_owned()), ..UploadFilter::default() };
        let uploads = bench.store.uploads(filter).await.unwrap();
        assert_eq!((uploads.len(), uploads[0].state), (1, State::Transferring));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_shows_what_would_be_sent_and_sends_nothing() {
    let mut bench = Bench::new();
    bench.write("A001/one.mov", "12345");
    bench.write("A001/two.mov", "67890");
    bench.write("half.part", "x");
    let rules = bench.rules_file(
        "rules:\n  - { name: dailies, watch: drop, package: folder, upload: { kind: email, emails: [a@example.com], \
         name: '{{ item }} {{ bytes | filesize }}' } }\n",
    );
    bench.start("enabled: false").await;
    let runs = bench.watcher().dry_run(&rules).await.unwrap();
    let package = &runs[0].packages[0];
    assert_eq!(package.name.as_deref(), Some("A001 10 B"));
    assert_eq!(package.recipients, ["a@example.com"]);
    assert_eq!(package.files.len(), 2);
    assert!(bench.uploads().await.is_empty());
}

/// R7: a bad template stops only its packages, and says why.
#[tokio::test(flavor = "multi_thread")]
async fn a_template_that_fails_for_some_files_stops_only_those() {
    let mut bench = Bench::new();
    let rules = bench.rules_file(
        "rules:\n  - { name: dailies, watch: drop, package: file, settle: 50ms, upload: { kind: link, \
         name: '{{ path[0] | upper }}' } }\n",
    );
    bench.start_rules(rules).await;
    bench.write("loose.mov", "x");
    bench.write("A001/clip.mov", "x");
    assert_eq!(bench.packages_when(1).await, [["A001/clip.mov"]]);
    bench.until("a reason", async || bench.status().waiting.first().is_some_and(|f| f.reason.contains("name:"))).await;
    let events = bench.store.events_after(0, 100).await.unwrap();
    assert!(events.iter().any(|event| event.kind == "rule.error" && event.rule.as_deref() == Some("dailies")));
}

/// R7: a full disk is waited out; the time is simulated.
#[tokio::test(start_paused = true)]
async fn orders_that_could_not_be_kept_are_given_again_and_not_twice() {
    let mut bench = Bench::new();
    bench.refuses.store(3, std::sync::atomic::Ordering::Relaxed);
    bench.write("one.mov", "x");
    bench.start("package: file\nsettle: 5s").await;
    bench
        .until("a reason", async || {
            bench.status().waiting.first().is_some_and(|file| file.reason.contains("no space left"))
        })
        .await;
    assert!(bench.status().last_error.is_some_and(|error| error.code == "queue" && !error.over));
    assert_eq!(bench.packages_when(1).await, [["one.mov"]]);
    bench.until("it is over", async || bench.status().last_error.is_some_and(|error| error.over)).await;
    tokio::time::sleep(Duration::from_secs(3600)).await;
    assert_eq!(bench.uploads().await.len(), 1);
}

/// Row "uses all the CPU of a production machine": idle, offline and paused rules do nothing but look by their clock: an
/// hour of each, simulated.
#[tokio::test(start_paused = true)]
async fn waiting_costs_nothing() {
    let looks = async |bench: &Bench| {
        let before = bench.status().looks;
        tokio::time::sleep(Duration::from_secs(3600)).await;
        bench.status().looks - before
    };
    let mut bench = Bench::with("package: file\nsettle: 5s\nrescan: 10m").await;
    bench.ready().await;
    assert!(looks(&bench).await <= 7, "idle");
    bench.watcher().pause("dailies").await.unwrap();
    bench.write("clip.mov", "x");
    assert!(looks(&bench).await <= 9, "paused");
    std::fs::remove_dir_all(bench.path("")).unwrap();
    assert!(looks(&bench).await <= 130, "offline: every 30 seconds");
    bench.stop().await;
}

/// `on_change: append`: a file that comes back changed is added to a package that is waiting to be finalized.
#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_is_added_to_a_package_that_waits_for_somebody() {
    for (on_change, expected) in [("append", 2), ("new_package", 3)] {
        let keys =
            format!("settle: 50ms\npackage: {{ per: batch, quiet: 100ms }}\nfinalize: manual\non_change: {on_change}");
        let bench = Bench::with(&keys).await;
        bench.write("one.mov", "1");
        bench.packages_when(1).await;
        bench.complete(&bench.uploads().await[0]).await;
        bench.write("two.mov", "2");
        bench.packages_when(2).await;
        bench.write("one.mov", "changed");
        let there = async || bench.packages().await.iter().flatten().filter(|path| *path == "one.mov").count() == 2;
        bench.until("the changed one is in a package", there).await;
        assert_eq!(bench.uploads().await.len(), expected, "{on_change}");
    }
}

/// "Ledger and open packages follow a rule by its name": its folder moves while its package is open.
#[tokio::test(flavor = "multi_thread")]
async fn an_open_package_follows_its_rule_to_another_folder() {
    let file = |folder: &str| {
        format!(
            "rules:\n  - {{ name: dailies, watch: {folder}, create: true, settle: 50ms, finalize: {{ files: 2 }}, \
             upload: {{ kind: link }} }}\n"
        )
    };
    let mut bench = Bench::new();
    bench.start_rules(bench.rules_file(&file("drop"))).await;
    bench.write("one.mov", "1");
    bench.packages_when(1).await;
    bench.watcher().reload(bench.rules_file(&file("elsewhere"))).await;
    std::fs::create_dir_all(bench.root.path().join("elsewhere")).unwrap();
    std::fs::write(bench.root.path().join("elsewhere/two.mov"), "2").unwrap();
    bench.until("it is closed", async || closed(&bench, 0).await).await;
    assert_eq!(bench.packages().await, [["one.mov", "two.mov"]]);
}
