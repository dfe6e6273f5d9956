//! What is dropped is sent: once, completely, in the right packages.

use std::io::Write;
use std::time::Duration;

use super::support::{Bench, PATIENCE};

#[tokio::test(flavor = "multi_thread")]
async fn a_file_dropped_becomes_a_package_once() {
    let bench = Bench::with("package: file\nsettle: 100ms").await;
    bench.ready().await;
    bench.write("clip.mov", "content");
    assert_eq!(bench.packages_when(1).await, [["clip.mov"]]);
    bench.looked_again().await;
    assert_eq!(bench.packages().await.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_folder_is_one_package_and_a_loose_file_another() {
    let bench = Bench::with("package: { per: folder, quiet: 200ms }\nsettle: 100ms").await;
    bench.write("A001/CLIPS/one.mov", "1");
    bench.write("A001/CLIPS/two.mov", "2");
    bench.write("A001/readme.txt", "r");
    bench.write("loose.mov", "l");
    let packages = bench.packages_when(2).await;
    assert_eq!(packages, [vec!["A001/CLIPS/one.mov", "A001/CLIPS/two.mov", "A001/readme.txt"], vec!["loose.mov"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_gets_ready_together_is_one_batch() {
    let bench = Bench::with("package: { per: batch, quiet: 300ms }\nsettle: 100ms").await;
    for number in 0..5 {
        bench.write(format!("clip{number}.mov"), "x");
    }
    assert_eq!(bench.packages_when(1).await[0].len(), 5);
}

/// Row "half-written file sent" and "CLOSE_WRITE is not done": the writer closes and opens again and again, with
/// pauses shorter than the settle time.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_closed_and_opened_again_is_sent_only_when_it_is_over() {
    let bench = Bench::with("package: file\nsettle: 400ms").await;
    bench.ready().await;
    for piece in 0..6 {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(bench.path("scan.pdf")).unwrap();
        write!(file, "piece {piece};").unwrap();
        drop(file);
        tokio::time::sleep(Duration::from_millis(150)).await;
        assert!(bench.uploads().await.is_empty(), "sent before it was whole");
    }
    bench.packages_when(1).await;
    let upload = bench.uploads().await.remove(0);
    assert_eq!(upload.totals.bytes, 6 * 8);
}

/// Case: a program that pauses with the file open is named as the reason for waiting.
#[cfg(target_os = "linux")]
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_held_open_for_writing_waits_and_says_for_whom() {
    let bench = Bench::with("package: file\nsettle: 50ms").await;
    let mut file = std::fs::File::create(bench.path("render.mov")).unwrap();
    file.write_all(b"first half").unwrap();
    bench
        .until("a reason", async || {
            bench.status().waiting.first().is_some_and(|file| file.reason.contains("held open for writing by"))
        })
        .await;
    assert!(bench.uploads().await.is_empty());
    file.write_all(b", second half").unwrap();
    drop(file);
    bench.packages_when(1).await;
    assert_eq!(bench.uploads().await[0].totals.bytes, 23);
}

/// Row "mtime is not the arrival time": the modification time lies years back, or in the future.
#[tokio::test(flavor = "multi_thread")]
async fn old_and_future_modification_times_prove_nothing() {
    let bench = Bench::with("package: file\nsettle: 300ms").await;
    bench.ready().await;
    for (name, shift) in [("old.mov", -100_000_000_i64), ("future.mov", 100_000_000)] {
        bench.write(name, "x");
        let now = std::time::SystemTime::now();
        let step = Duration::from_secs(shift.unsigned_abs());
        let at = if shift < 0 { now - step } else { now + step };
        std::fs::File::open(bench.path(name)).unwrap().set_modified(at).unwrap();
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert!(bench.uploads().await.is_empty(), "taken for whole by its modification time");
    bench.packages_when(2).await;
}

/// Dates before 1970 and beyond what 32 bits hold, of files and of the folders around them, literally: they are sent once, and keep their
/// dates when they are moved.
#[tokio::test(flavor = "multi_thread")]
async fn files_and_folders_of_1969_and_2413_are_sent_and_keep_their_dates() {
    let keys = "settle: 100ms\npackage: { per: folder, quiet: 200ms }\nafter: { complete: { move: sent } }";
    let bench = Bench::with(keys).await;
    let moon = std::time::UNIX_EPOCH - Duration::from_secs(14_182_940); // 20 July 1969
    let later = std::time::UNIX_EPOCH + Duration::from_secs(13_992_825_600); // 1 June 2413
    for (card, date) in [("A1969", moon), ("A2413", later)] {
        let made = bench.root.path().join(card);
        std::fs::create_dir_all(made.join("CLIPS")).unwrap();
        std::fs::write(made.join("CLIPS/clip.mov"), card).unwrap();
        for path in ["CLIPS/clip.mov", "CLIPS", ""] {
            std::fs::File::open(made.join(path)).unwrap().set_modified(date).unwrap();
        }
        assert_eq!(std::fs::metadata(made.join("CLIPS")).unwrap().modified().unwrap(), date);
        std::fs::rename(made, bench.path(card)).unwrap();
    }
    let mut packages = bench.packages_when(2).await;
    packages.sort();
    assert_eq!(packages, [["A1969/CLIPS/clip.mov"], ["A2413/CLIPS/clip.mov"]]);
    for upload in bench.uploads().await {
        bench.complete(&upload).await;
    }
    for (card, date) in [("A1969", moon), ("A2413", later)] {
        let moved = bench.root.path().join("sent").join(card).join("CLIPS/clip.mov");
        bench.until(format!("{card} is moved"), async || moved.exists() && !bench.path(card).exists()).await;
        assert_eq!(std::fs::metadata(moved).unwrap().modified().unwrap(), date);
    }
    bench.looked_again().await;
    assert_eq!(bench.uploads().await.len(), 2, "nothing is sent again");
}

/// Row "new-directory race": folders are made and filled at once, deep.
#[tokio::test(flavor = "multi_thread")]
async fn files_in_folders_made_this_moment_are_found() {
    let bench = Bench::with("package: file\nsettle: 50ms\nrescan: 1h").await;
    bench.ready().await;
    for number in 0..50 {
        bench.write(format!("a{number}/b/c/clip.mov"), "x");
    }
    bench.packages_when(50).await;
}

/// Rows "events missed ..., folder moved in is not seen" and "atomic save / rename into place".
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_moved_in_whole_and_a_file_renamed_into_place_are_found() {
    let bench = Bench::with("package: file\nsettle: 50ms\nrescan: 1h").await;
    bench.ready().await;
    let outside = bench.root.path().join("outside");
    std::fs::create_dir_all(outside.join("deep/er")).unwrap();
    std::fs::write(outside.join("deep/er/clip.mov"), "x").unwrap();
    std::fs::rename(&outside, bench.path("card")).unwrap();
    bench.packages_when(1).await;
    bench.write(".clip.mov.Ab3x", "y");
    std::fs::rename(bench.path(".clip.mov.Ab3x"), bench.path("clip.mov")).unwrap();
    assert_eq!(bench.packages_when(2).await[1], ["clip.mov"]);
}

/// Row "events missed while the daemon was down".
#[tokio::test(flavor = "multi_thread")]
async fn what_was_dropped_while_the_agent_was_down_is_sent_and_what_was_sent_is_not_sent_again() {
    let keys = "package: file\nsettle: 50ms";
    let mut bench = Bench::with(keys).await;
    bench.write("one.mov", "1");
    bench.packages_when(1).await;
    bench.stop().await;
    bench.write("two.mov", "2");
    bench.start(keys).await;
    assert_eq!(bench.packages_when(2).await, [["one.mov"], ["two.mov"]]);
    bench.complete(&bench.uploads().await[0]).await;
    bench.stop().await;
    bench.start(keys).await;
    bench.ready().await;
    bench.looked_again().await;
    assert_eq!(bench.packages().await.len(), 2);
}

/// Row "network share: no events, no error": everything is found by looking alone.
#[tokio::test(flavor = "multi_thread")]
async fn without_any_events_polling_finds_everything() {
    let bench = Bench::with("package: file\nsettle: 50ms\npoll: 100ms").await;
    bench.ready().await;
    bench.write("a/clip.mov", "x");
    bench.packages_when(1).await;
    bench.write("b/clip.mov", "x");
    bench.packages_when(2).await;
    assert!(bench.status().reason.is_some_and(|reason| reason.contains("the rule requires it")));
}

/// Row "gave up and never tried again": what cannot be read waits, with a reason, and is sent when it can be read.
#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_can_not_be_read_waits_and_stops_only_itself() {
    use std::os::unix::fs::PermissionsExt;
    if rustix::process::geteuid().is_root() {
        return; // Everything can be read by root.
    }
    let bench = Bench::with("package: file\nsettle: 50ms").await;
    bench.write("closed.mov", "x");
    std::fs::set_permissions(bench.path("closed.mov"), std::fs::Permissions::from_mode(0o0)).unwrap();
    bench.write("fine.mov", "x");
    assert_eq!(bench.packages_when(1).await, [["fine.mov"]]);
    bench.until("a reason", async || bench.status().waiting[0].reason.contains("cannot be read")).await;
    std::fs::set_permissions(bench.path("closed.mov"), std::fs::Permissions::from_mode(0o644)).unwrap();
    bench.packages_when(2).await;
}

/// Row "poller dies when the share goes away": missing is not deleted, and it comes back by itself.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_that_goes_away_and_comes_back_loses_and_repeats_nothing() {
    let bench = Bench::with("package: file\nsettle: 50ms\nresend: true").await;
    bench.write("one.mov", "1");
    bench.packages_when(1).await;
    bench.complete(&bench.uploads().await[0]).await;
    bench.looked_again().await;
    let away = bench.root.path().join("away");
    std::fs::rename(bench.path(""), &away).unwrap();
    bench.until("offline", async || bench.status().reason.is_some_and(|reason| reason.contains("not exist"))).await;
    std::fs::write(away.join("two.mov"), "2").unwrap();
    std::fs::rename(&away, bench.path("")).unwrap();
    assert_eq!(bench.packages_when(2).await, [["one.mov"], ["two.mov"]]);
    bench.write("three.mov", "3");
    bench.packages_when(3).await;
}

/// Row "poller dies when the share goes away", while an upload was at work: it has failed, and resumes automatically once all
/// that it could not read is back, whether the folder was away or only files of it.
#[tokio::test(flavor = "multi_thread")]
async fn an_upload_that_failed_for_want_of_its_files_goes_on_when_they_are_back() {
    use masv_agent::model::{FileState, Problem, State};
    let bench = Bench::with("package: { per: batch, quiet: 100ms }\nsettle: 50ms\nrescan: 1h").await;
    for (round, whole_folder) in [(1, true), (2, false)] {
        bench.write(format!("one{round}.mov"), "1");
        bench.write(format!("two{round}.mov"), "2");
        bench.packages_when(round).await;
        let upload = bench.uploads().await.remove(round - 1);
        let (inside, away) = match whole_folder {
            true => (vec![bench.path("")], vec![bench.root.path().join("away")]),
            false => ["one2.mov", "two2.mov"]
                .map(|name| (bench.path(name), bench.root.path().join(name)))
                .into_iter()
                .unzip(),
        };
        for (inside, away) in inside.iter().zip(&away) {
            std::fs::rename(inside, away).unwrap();
        }
        let problem = |code: &str| Problem { code: code.into(), message: "x".into(), retryable: true, hint: None };
        for (number, (code, state)) in
            [("source_gone", FileState::Gone), ("source_unreadable", FileState::Error)].into_iter().enumerate()
        {
            let number = u32::try_from(number).unwrap();
            bench.store.file_failed(upload.id, number, state, problem(code)).await.unwrap();
        }
        bench
            .store
            .move_to(upload.id, &[State::Transferring], State::Error, Some(problem("source_gone")))
            .await
            .unwrap();
        let state = async || bench.store.upload(upload.id).await.unwrap().state;
        // One of two is not enough.
        let last = inside.len() - 1;
        for (inside, away) in inside.iter().zip(&away).take(last) {
            std::fs::rename(away, inside).unwrap();
            bench.looked_again().await;
            bench.looked_again().await;
        }
        assert_eq!(state().await, State::Error);
        std::fs::rename(&away[last], &inside[last]).unwrap();
        bench.until("it goes on", async || state().await == State::Transferring).await;
        bench.complete(&upload).await;
        bench.looked_again().await;
        assert_eq!(bench.uploads().await.len(), round);
    }
}

/// Row "inotify queue overflow loses events silently": far more changes than the queue holds.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_files_arrives_whole() {
    let bench = Bench::with("package: { per: batch, quiet: 300ms }\nsettle: 100ms\nrescan: 1h").await;
    bench.ready().await;
    // The long form is FILES=100000.
    let count: u64 = std::env::var("FILES").ok().and_then(|text| text.parse().ok()).unwrap_or(3_000);
    for number in 0..count {
        let path = bench.path(format!("frame{number:06}.dpx"));
        for _ in 0..3 {
            std::fs::OpenOptions::new().create(true).append(true).open(&path).unwrap().write_all(b"x").unwrap();
        }
    }
    let began = std::time::Instant::now();
    let mut sent = 0;
    while sent < count && began.elapsed() < PATIENCE * 10 {
        tokio::time::sleep(Duration::from_millis(50)).await;
        sent = bench.uploads().await.iter().map(|upload| upload.totals.files).sum();
    }
    assert_eq!(sent, count);
}

/// Case: names with line breaks, quotes, or bytes that are no UTF-8 are sent; hidden and unfinished ones are not.
#[tokio::test(flavor = "multi_thread")]
async fn nasty_names_are_sent_and_hidden_and_unfinished_ones_are_not() {
    use std::os::unix::ffi::OsStrExt;
    let bench = Bench::with("package: { per: batch, quiet: 300ms }\nsettle: 50ms").await;
    let nasty: [&[u8]; 6] = [
        b"not-\xff-utf8.mov",
        b"line\nbreak.mov",
        b"quote'\".mov",
        " spaces ".as_bytes(),
        "東京.mxf".as_bytes(),
        b"-rf",
    ];
    for name in nasty {
        bench.write(std::ffi::OsStr::from_bytes(name), "x");
    }
    for name in [".hidden", "half.mov.part", ".DS_Store", "~$word.docx"] {
        bench.write(name, "x");
    }
    let packages = bench.packages_when(1).await;
    assert_eq!(packages[0].len(), nasty.len(), "{packages:?}");
}

/// Row "symlink loops", and R9: nothing outside is reached.
#[tokio::test(flavor = "multi_thread")]
async fn links_are_not_followed_out_of_the_folder_nor_in_circles() {
    use std::os::unix::fs::symlink;
    let bench = Bench::with("package: { per: batch, quiet: 200ms }\nsettle: 50ms\nsymlinks: within").await;
    let outside = bench.root.path().join("secret");
    std::fs::create_dir(&outside).unwrap();
    std::fs::write(outside.join("key"), "x").unwrap();
    bench.write("folder/clip.mov", "x");
    symlink(&outside, bench.path("out")).unwrap();
    symlink(outside.join("key"), bench.path("key")).unwrap();
    symlink(bench.path(""), bench.path("folder/loop")).unwrap();
    symlink("folder/clip.mov", bench.path("alias.mov")).unwrap();
    assert_eq!(bench.packages_when(1).await[0], ["alias.mov", "folder/clip.mov"]);
    let files = bench.files(&bench.uploads().await[0]).await;
    assert!(files[0].source.whole().ends_with("folder/clip.mov"), "the link's target is what is read");
}

/// Feature "ledger that survives restart, move and rename": a folder that was sent and is then renamed is not sent again.
#[tokio::test(flavor = "multi_thread")]
async fn what_was_sent_and_then_renamed_is_not_sent_again() {
    let keys = "package: file\nsettle: 50ms\nrescan: 1h";
    let mut bench = Bench::with(keys).await;
    bench.write("A001/clip.mov", "1");
    bench.packages_when(1).await;
    bench.complete(&bench.uploads().await[0]).await;
    bench.looked_again().await;
    std::fs::rename(bench.path("A001"), bench.path("A001 sent")).unwrap();
    bench.write("other.mov", "2");
    bench.packages_when(2).await;
    bench.complete(&bench.uploads().await[1]).await;
    bench.stop().await;
    std::fs::rename(bench.path("other.mov"), bench.path("another.mov")).unwrap();
    bench.start(keys).await;
    bench.write("third.mov", "3");
    assert_eq!(bench.packages_when(3).await, [["A001/clip.mov"], ["other.mov"], ["third.mov"]]);
    bench.looked_again().await;
    assert_eq!(bench.packages().await.len(), 3);
}

/// Row "file identity: inode reuse": another file of the same size at the same path, which often gets the inode of
/// the one before it.
#[tokio::test(flavor = "multi_thread")]
async fn another_file_under_the_same_name_is_sent_though_size_and_inode_may_be_the_same() {
    let bench = Bench::with("package: file\nsettle: 50ms").await;
    for round in 1..=3 {
        bench.write("clip.mov", format!("round {round}"));
        bench.packages_when(round).await;
        bench.complete(&bench.uploads().await[round - 1]).await;
        std::fs::remove_file(bench.path("clip.mov")).unwrap();
    }
    bench.looked_again().await;
    assert_eq!(bench.packages().await.len(), 3);
}

/// Row "too long a fixed delay": a rule with a short settle time notices, waits and packages within it and little more.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_settle_time_is_a_short_wait() {
    let bench = Bench::with("package: file\nsettle: 100ms\nrescan: 1h").await;
    bench.ready().await;
    let began = std::time::Instant::now();
    bench.write("clip.mov", "x");
    bench.packages_when(1).await;
    assert!(began.elapsed() < Duration::from_millis(1500), "{:?}", began.elapsed());
}

/// Of a symbolic link, a pipe and a socket it was said that the rule takes them; they are never sent.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_file_is_explained_as_what_it_is() {
    let bench = Bench::with("package: file\nsettle: 50ms").await;
    bench.write("clip.mov", "x");
    std::os::unix::fs::symlink(bench.path("clip.mov"), bench.path("link.mov")).unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(bench.path("socket.mov")).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(bench.path("pipe.mov")).status().unwrap().success());
    bench.packages_when(1).await;
    for (name, kind) in [("link.mov", "a symbolic link"), ("socket.mov", "a socket"), ("pipe.mov", "a named pipe")] {
        let explained = bench.watcher().explain(&bench.path(name)).await.unwrap();
        let last = explained.rules[0].tests.last().unwrap();
        assert!(!last.passed && last.test == "kind" && last.detail.contains(kind), "{name}: {last:?}");
        assert_eq!(explained.rule, None, "{name}");
    }
    assert_eq!(bench.packages().await, [["clip.mov"]]);
}
