//! `ready: { manifest: ... }`: complete and right, or not at all.

use super::support::Bench;

const HELLO: &str = "5d41402abc4b2a76b9719d911017c592";
const WORLD: &str = "7d793037a0760186574b0282f2f435e7";

/// Case: a card of which a listed clip is not there yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_card_is_sent_when_all_that_its_manifest_lists_is_there() {
    let bench = Bench::with("settle: 50ms\npackage: { per: folder, quiet: 100ms }\nready: { manifest: '*.md5' }").await;
    bench.write("A001/one.mov", "hello");
    bench.write("A001/card.md5", format!("{HELLO}  one.mov\n{WORLD}  CLIPS/two.mov\n"));
    bench
        .until("a reason", async || {
            bench
                .status()
                .waiting
                .iter()
                .any(|file| file.reason.contains("CLIPS/two.mov` is listed but does not exist"))
        })
        .await;
    assert!(bench.uploads().await.is_empty());
    bench.write("A001/CLIPS/two.mov", "world");
    assert_eq!(bench.packages_when(1).await, [["A001/CLIPS/two.mov", "A001/card.md5", "A001/one.mov"]]);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_differs_from_its_manifest_is_not_sent_until_it_is_right() {
    let bench = Bench::with("settle: 50ms\npackage: { per: folder, quiet: 100ms }\nready: { manifest: '*.md5' }").await;
    bench.write("A001/one.mov", "hullo");
    bench.write("A001/card.md5", format!("{HELLO}  one.mov\n"));
    bench
        .until("a reason", async || bench.status().waiting.iter().any(|file| file.reason.contains("the list says")))
        .await;
    assert!(bench.uploads().await.is_empty());
    bench.write("A001/one.mov", "hello");
    bench.packages_when(1).await;
}

/// Case: with `package: file`, the list is a package of its own.
#[tokio::test(flavor = "multi_thread")]
async fn what_no_manifest_lists_waits_for_one() {
    let bench = Bench::with("settle: 50ms\npackage: file\nready: { manifest: '*.mhl' }").await;
    bench.write("one.mov", "hello");
    bench
        .until("a reason", async || {
            bench.status().waiting.iter().any(|file| file.reason.contains("a checksum list that contains it"))
        })
        .await;
    let text =
        format!("<hashlist version='1.1'><hash><file>one.mov</file><size>5</size><md5>{HELLO}</md5></hash></hashlist>");
    bench.write("all.mhl", text);
    assert_eq!(bench.packages_when(2).await, [["all.mhl"], ["one.mov"]]);
}

const CARDS: &str = "settle: 50ms\npackage: { per: folder, quiet: 100ms }\nready: { manifest: ['*.mhl', '*.md5'] }";

async fn waits(bench: &Bench, path: &str, words: &[&str]) {
    bench
        .until(format!("{path}: {words:?}"), async || {
            let status = bench.status();
            let file = status.waiting.iter().find(|file| file.path == std::path::Path::new(path));
            file.is_some_and(|file| words.iter().all(|word| file.reason.contains(word)))
        })
        .await;
}

fn mhl(hashes: &str) -> String {
    format!("<?xml version='1.0'?><hashlist version='1.1'>{hashes}</hashlist>")
}

/// Checksums that are not understood, and a list that stops in the middle, counted as right.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_proves_nothing_holds_its_card_and_says_so() {
    let bench = Bench::with(CARDS).await;
    bench.write("A001/one.mov", "hello");
    let list = |sum: &str| mhl(&format!("<hash><file>one.mov</file><size>5</size>{sum}</hash>"));
    bench.write("A001/card.mhl", list("<md4>ab</md4>"));
    waits(&bench, "A001/one.mov", &["A001/card.mhl", "checksums that are not supported (md4)"]).await;
    let whole = list(&format!("<md5>{HELLO}</md5>"));
    bench.write("A001/card.mhl", &whole[..whole.len() - 8]);
    waits(&bench, "A001/one.mov", &["A001/card.mhl", "is truncated"]).await;
    let error = bench.status().last_error.unwrap();
    assert!(error.code == "manifest" && error.message.contains("A001/card.mhl") && !error.over, "{error:?}");
    // Each was told to whoever is notified of the rule's errors.
    for words in ["not supported (md4)", "A001/card.mhl` is truncated"] {
        let told = async || {
            let events = bench.store.events_after(0, 1_000).await.unwrap();
            let mut errors = events.iter().filter(|event| event.kind == "rule.error");
            errors.any(|event| event.rule.as_deref() == Some("dailies") && event.body.to_string().contains(words))
        };
        bench.until(format!("an event: {words}"), told).await;
    }
    assert!(bench.uploads().await.is_empty());
    // A corrected list is enough.
    bench.write("A001/card.mhl", whole);
    bench.packages_when(1).await;
    bench.until("the problem to be over", async || bench.status().last_error.unwrap().over).await;
}

/// What is sent is compared with what its lists were compared with: the order says what that was.
#[tokio::test(flavor = "multi_thread")]
async fn an_order_knows_what_was_compared_with_its_list() {
    let bench = Bench::with(CARDS).await;
    bench.write("A001/one.mov", "hello");
    bench.write("A001/card.md5", format!("{HELLO}  one.mov\n"));
    bench.packages_when(1).await;
    let upload = bench.uploads().await.remove(0);
    let files = bench.store.files(upload.id, None, 10).await.unwrap();
    let verified: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.verified.clone())).collect();
    let hello = blake3::hash(b"hello").to_hex().to_string();
    assert_eq!(verified, [("A001/card.md5", None), ("A001/one.mov", Some(hello))]);
}

/// The list that was read last won, and a corrected one never helped until the agent was started again.
#[tokio::test(flavor = "multi_thread")]
async fn lists_have_to_agree_and_a_corrected_one_heals() {
    let bench = Bench::with(CARDS).await;
    bench.write("A001/one.mov", "hello");
    bench.write("A001/a.md5", format!("{WORLD}  one.mov\n"));
    bench.write("A001/b.mhl", mhl(&format!("<hash><file>one.mov</file><md5>{HELLO}</md5></hash>")));
    waits(&bench, "A001/one.mov", &["A001/a.md5", "the list says", WORLD]).await;
    bench.looked_again().await;
    assert!(bench.uploads().await.is_empty());
    bench.write("A001/a.md5", format!("{HELLO}  one.mov\n"));
    assert_eq!(bench.packages_when(1).await, [["A001/a.md5", "A001/b.mhl", "A001/one.mov"]]);
}

/// While a folder gathered, a wrong list that came or took the place of the right one was sent with it.
#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_list_that_comes_while_the_folder_gathers_holds_it() {
    let bench = Bench::with("settle: 50ms\npackage: { per: folder, quiet: 3s }\nready: { manifest: '*.md5' }").await;
    for card in ["A001", "A002"] {
        bench.write(format!("{card}/one.mov"), "hello");
        bench.write(format!("{card}/card.md5"), format!("{HELLO}  one.mov\n"));
    }
    waits(&bench, "A001/one.mov", &["is complete and waits for its package"]).await;
    waits(&bench, "A002/one.mov", &["is complete and waits for its package"]).await;
    bench.write("A001/zz.md5", format!("{WORLD}  one.mov\n"));
    bench.write("A002/card.md5", format!("{WORLD}  one.mov\n"));
    waits(&bench, "A001/one.mov", &["A001/zz.md5", "the list says"]).await;
    waits(&bench, "A002/one.mov", &["A002/card.md5", "the list says"]).await;
    assert!(bench.uploads().await.is_empty());
}

/// Listed names that the rule does not send, hidden and temporary ones and those the filters leave out, held their card for
/// ever as "not there"; a list that the filters left out was never read.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_rule_does_not_send_blocks_nothing_and_lists_are_read_whatever_the_filters_say() {
    let keys = "settle: 50ms\npackage: { per: folder, quiet: 100ms }\nready: { manifest: '*.md5' }\n\
                include: ['*.mov']\nexclude: ['*.md5']";
    let bench = Bench::with(keys).await;
    for name in ["one.mov", "._one.mov", "notes.tmp", "notes.txt"] {
        bench.write(format!("A001/{name}"), "hello");
    }
    bench.write(
        "A001/.card.md5",
        format!("{HELLO}  one.mov\n{WORLD}  ._one.mov\n{WORLD}  notes.tmp\n{WORLD}  notes.txt\n"),
    );
    assert_eq!(bench.packages_when(1).await, [["A001/one.mov"]]);
    bench.write("A002/one.mov", "hullo");
    bench.write("A002/.card.md5", format!("{HELLO}  one.mov\n"));
    waits(&bench, "A002/one.mov", &["A002/.card.md5", "the list says"]).await;
    assert_eq!(bench.uploads().await.len(), 1);
}

/// Case: the list is smaller than the rule's `min_size`, so that the rule does not send it. It is read all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_list_that_is_too_small_to_be_sent_is_read_all_the_same() {
    let keys = "settle: 50ms\npackage: { per: folder, quiet: 100ms }\nready: { manifest: '*.md5' }\nmin_size: 1kB";
    let bench = Bench::with(keys).await;
    bench.write("A001/one.mov", "x".repeat(2_000));
    bench.write("A001/card.md5", "6284398f25b31fbdd31e5c6cc04af9ad  one.mov\n");
    assert_eq!(bench.packages_when(1).await, [["A001/one.mov"]]);
}

/// No card with an ASC MHL history was sent, for its chain file is in no list; an unlisted file beside a card waited
/// without a word about it on the clips.
#[tokio::test(flavor = "multi_thread")]
async fn a_card_goes_with_its_history_and_an_unlisted_file_is_named_on_every_clip() {
    let bench = Bench::with(CARDS).await;
    let generation = |hashes: &str| {
        format!(
            "<?xml version='1.0'?><hashlist version='2.0' xmlns='urn:ASC:MHL:v2.0'><hashes>{hashes}</hashes></hashlist>"
        )
    };
    let hash = |more: &str| format!("<hash><path size='5'>{more}</hash>");
    bench.write("A001/two.mov", "hello");
    bench.write(
        "A001/ascmhl/0001_A001.mhl",
        generation(&hash(&format!("one.mov</path><md5 action='original'>{HELLO}</md5>"))),
    );
    let second = format!("two.mov</path><md5 action='verified'>{HELLO}</md5><previousPath>one.mov</previousPath>");
    bench.write("A001/ascmhl/0002_A001.mhl", generation(&hash(&second)));
    bench.write("A001/ascmhl/ascmhl_chain.xml", "<ascmhldirectory/>");
    bench.write("A001/report.pdf", "report");
    waits(&bench, "A001/two.mov", &["A001/report.pdf", "is not in any checksum list"]).await;
    waits(&bench, "A001/report.pdf", &["unlisted: send"]).await;
    let explained = bench.watcher().explain(&bench.path("A001/two.mov")).await.unwrap();
    let last = explained.rules[0].tests.last().unwrap();
    assert!(last.detail.contains("waits for `A001/report.pdf` in the same folder"), "{last:?}");
    std::fs::remove_file(bench.path("A001/report.pdf")).unwrap();
    let sent =
        ["A001/ascmhl/0001_A001.mhl", "A001/ascmhl/0002_A001.mhl", "A001/ascmhl/ascmhl_chain.xml", "A001/two.mov"];
    assert_eq!(bench.packages_when(1).await, [sent]);
}

/// Case: an offload report beside a card is sent along with it where the rule says `unlisted: send`.
#[tokio::test(flavor = "multi_thread")]
async fn unlisted_files_go_with_their_card_where_the_rule_says_so() {
    let keys = "settle: 50ms\npackage: { per: folder, quiet: 100ms }\nready: { manifest: '*.md5', unlisted: send }";
    let bench = Bench::with(keys).await;
    bench.write("A001/report.pdf", "report");
    bench.write("A001/one.mov", "hullo");
    bench.write("A001/card.md5", format!("{HELLO}  one.mov\n"));
    waits(&bench, "A001/report.pdf", &["A001/card.md5", "the list says"]).await;
    bench.write("A001/one.mov", "hello");
    assert_eq!(bench.packages_when(1).await, [["A001/card.md5", "A001/one.mov", "A001/report.pdf"]]);
}

/// A rehearsal said "would send" of a card with a wrong sum, and nothing about not having looked.
#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_says_that_it_compares_no_checksums() {
    let bench = Bench::new();
    bench.write("A001/one.mov", "hullo");
    bench.write("A001/card.md5", format!("{HELLO}  one.mov\n"));
    let rules = bench.rules("package: { per: folder, quiet: 100ms }\nready: { manifest: '*.md5' }");
    let run = masv_agent::watch::dry_run(&rules, None, &masv_agent::watch::WatchSettings::default()).await.unwrap();
    assert_eq!((run[0].packages.len(), run[0].uncompared), (1, 1), "{run:?}");
}
