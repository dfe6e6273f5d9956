//! One verdict for a file, whichever list gave it.

use super::*;
use crate::manifest::measure::measure;
use crate::manifest::parse;

const HELLO: &str = "5d41402abc4b2a76b9719d911017c592";
const WORLD: &str = "7d793037a0760186574b0282f2f435e7";
const POLICY: Policy = Policy { sends_unlisted: false, per_folder: true };

/// A folder of small files, and the lists in it.
#[derive(Default)]
struct Card {
    listing: Listing,
    files: BTreeMap<PathBuf, (Presence, &'static [u8])>,
    lists: Vec<(Arc<Path>, ListState)>,
    next: u64,
}

impl Card {
    fn identity(&mut self) -> FileIdentity {
        self.next += 1;
        FileIdentity { size: 5, mtime_ns: 0, ctime_ns: 0, device: 1, inode: self.next }
    }

    fn file(&mut self, path: &str, content: &'static [u8]) {
        let identity = FileIdentity { size: content.len() as u64, ..self.identity() };
        self.files.insert(path.into(), (Presence::Whole(identity), content));
    }

    fn list(&mut self, path: &str, text: &str) {
        let (identity, path) = (self.identity(), Arc::from(Path::new(path)));
        self.lists.retain(|(list, _)| *list != path);
        self.lists.push((Arc::clone(&path), ListState::Whole(identity)));
        self.listing.take(&path, identity, parse(&path, text.as_bytes()));
    }

    /// Reads what has to be read, and looks how the lists stand.
    fn settled(&mut self) {
        let files = self.files.clone();
        let presence = |path: &Path, _| files.get(path).map_or(Presence::Absent, |(presence, _)| *presence);
        for (path, identity, algorithms) in self.listing.to_measure(&presence) {
            let digests = measure(files[&path].1, algorithms).unwrap();
            self.listing.measured(&path, identity, Ok(digests));
        }
        self.listing.refresh(&self.lists, &presence);
    }

    fn reason(&mut self, path: &str) -> Option<String> {
        self.reason_by(path, POLICY)
    }

    fn reason_by(&mut self, path: &str, policy: Policy) -> Option<String> {
        self.settled();
        let presence = |path: &Path, _| self.files.get(path).map_or(Presence::Absent, |(presence, _)| *presence);
        let ready = self.listing.is_ready(Path::new(path), policy);
        (!ready).then(|| self.listing.reason(Path::new(path), policy, &presence))
    }
}

fn says(reason: Option<String>, words: &[&str]) {
    let reason = reason.expect("it is ready");
    assert!(words.iter().all(|word| reason.contains(word)), "{reason}");
}

/// The last list that was read won: with the wrong list first and the right one second a bad card was sent.
/// Cases: a wrong list and a right one in either order; a corrected list helps.
#[test]
fn every_list_that_speaks_of_a_file_has_to_agree() {
    for (wrong, right) in [("A/a.md5", "A/b.md5"), ("A/b.md5", "A/a.md5")] {
        let mut card = Card::default();
        card.file("A/one.mov", b"hello");
        card.list(wrong, &format!("{WORLD}  one.mov\n"));
        card.list(right, &format!("{HELLO}  one.mov\n"));
        says(card.reason("A/one.mov"), &[wrong, "one.mov", HELLO, WORLD]);
        assert_eq!(card.listing.problems().len(), 1);
        // A corrected list helps at once, without another look at the file.
        card.list(wrong, &format!("{HELLO}  one.mov\n"));
        assert_eq!(card.reason("A/one.mov"), None);
        assert_eq!(card.listing.problems(), [""; 0]);
    }
}

/// A list that came, or was replaced, while the folder gathered was not held against files that another had verified.
/// Cases: a second, wrong list arrives; the list is replaced by a wrong one.
#[test]
fn a_list_that_comes_later_or_is_replaced_counts() {
    let mut card = Card::default();
    card.file("A/one.mov", b"hello");
    card.list("A/a.md5", &format!("{HELLO}  one.mov\n"));
    assert_eq!(card.reason("A/one.mov"), None);
    card.list("A/zz.md5", &format!("{WORLD}  one.mov\n"));
    says(card.reason("A/one.mov"), &["A/zz.md5"]);
    card.list("A/zz.md5", &format!("{HELLO}  one.mov\n"));
    card.list("A/a.md5", &format!("{WORLD}  one.mov\n"));
    says(card.reason("A/one.mov"), &["A/a.md5"]);
    // And one that is there in a state that was not read yet holds what it may speak of.
    card.list("A/a.md5", &format!("{HELLO}  one.mov\n"));
    card.lists[0].1 = ListState::NotWhole;
    says(card.reason("A/one.mov"), &["A/zz.md5", "is not complete yet"]);
    assert_eq!(card.listing.problems(), [""; 0]);
    card.lists[0].1 = ListState::Unreadable("the agent has no permission to read it".to_owned());
    says(card.reason("A/one.mov"), &["A/zz.md5", "cannot be read: the agent has no permission to read it"]);
    assert_eq!(card.listing.problems().len(), 1);
}

/// Case: a later list of another kind is compared with a file that was right by the first one.
#[test]
fn other_algorithms_of_a_later_list_are_computed() {
    let mut card = Card::default();
    card.file("A/one.mov", b"hello");
    card.list("A/a.md5", &format!("{HELLO}  one.mov\n"));
    assert_eq!(card.reason("A/one.mov"), None);
    card.list("A/a.sha1", "aaf4c61ddcc5e8a2dabede0f3b482cd9aea9434e  one.mov\n");
    says(card.reason("A/one.mov"), &["A/a.sha1", "SHA-1"]);
}

/// Case: XXH128 and BLAKE3 in a list whose name does not say so are compared, not taken for MD5 or SHA-256.
#[test]
fn a_bare_checksum_is_right_under_any_algorithm_of_its_length() {
    let mut card = Card::default();
    card.file("A/one.mov", b"hello");
    card.list("A/checksums.txt", "b5e9c1ad071b3e7fc779cfaa5e523818  one.mov\n");
    assert_eq!(card.reason("A/one.mov"), None, "XXH128");
    card.list("A/checksums.txt", "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a67200f  one.mov\n");
    assert_eq!(card.reason("A/one.mov"), None, "BLAKE3");
    card.list("A/checksums.txt", "ea8f163db38682925e4491c5e58d4bb3506ef8c14eb78a86e908c5624a672000  one.mov\n");
    says(card.reason("A/one.mov"), &["the SHA-256 checksum"]);
}

/// Case: a listed file that is absent or not whole holds the card; one that is there but not sent by the rule does not.
#[test]
fn absent_not_whole_not_sent_and_whole_are_four_things() {
    let mut card = Card::default();
    card.file("A/one.mov", b"hello");
    let list = format!("{HELLO}  one.mov\n{WORLD}  two.mov\n");
    card.list("A/a.md5", &list);
    says(card.reason("A/one.mov"), &["`A/two.mov` is listed but does not exist"]);
    card.files.insert("A/two.mov".into(), (Presence::NotWhole, b""));
    says(card.reason("A/one.mov"), &["`A/two.mov` is listed but not complete yet"]);
    for counts in [Presence::NotSent, Presence::Sent] {
        card.files.insert("A/two.mov".into(), (counts, b""));
        assert_eq!(card.reason("A/one.mov"), None, "{counts:?}");
    }
}

/// Case: a list that cannot be read is the reason that each clip beside it gives, and a problem of the rule.
#[test]
fn a_list_that_cannot_be_read_is_told_on_every_file_beside_it() {
    let mut card = Card::default();
    card.file("A/one.mov", b"hello");
    card.file("A/deep/two.mov", b"world");
    card.list("A/a.md5", &format!("{HELLO}  one.mov\n"));
    card.list("A/b.md5", "nonsense");
    for path in ["A/one.mov", "A/deep/two.mov"] {
        says(card.reason(path), &["A/b.md5", "line 1: does not consist of a checksum and a name"]);
    }
    let told = "the list `A/b.md5` is not understood in line 1: does not consist of a checksum and a name";
    assert_eq!(card.listing.problems(), [told]);
}

/// In a batch, a file that one list had found right was sent beside a list that stops in the middle, which may say that it is
/// wrong; so was one whose ASC MHL history ends in a generation that stops in the middle.
#[test]
fn a_list_that_is_not_understood_holds_what_it_may_speak_of_in_a_batch_too() {
    let batch = Policy { per_folder: false, ..POLICY };
    let history = |end: &str| {
        format!(
            "<hashlist version='2.0' xmlns='urn:ASC:MHL:v2.0'><hashes><hash><path size='5'>one.mov</path>\
             <md5 action='original'>{HELLO}</md5></hash>{end}"
        )
    };
    let cut = format!("<hashlist version='1.1'><hash><file>one.mov</file><md5>{WORLD}");
    for (good, list, bad) in [
        ("A/a.md5", format!("{HELLO}  one.mov\n"), ("A/b.mhl", cut)),
        ("A/ascmhl/0001_A.mhl", history("</hashes></hashlist>"), ("A/ascmhl/0002_A.mhl", history(""))),
        ("A/a.md5", format!("{HELLO}  one.mov\n"), ("all.md5", "nonsense".to_owned())),
    ] {
        let mut card = Card::default();
        card.file("A/one.mov", b"hello");
        card.list(good, &list);
        assert_eq!(card.reason_by("A/one.mov", batch), None);
        card.list(bad.0, &bad.1);
        for path in ["A/one.mov", good] {
            says(card.reason_by(path, batch), &["waits for the list", bad.0]);
        }
        card.file("B/two.mov", b"hello");
        card.list("B/b.md5", &format!("{HELLO}  two.mov\n"));
        assert_eq!(card.reason_by("B/two.mov", batch).is_some(), bad.0 == "all.md5", "only what it may speak of");
    }
}

/// A bare number that no supported kind gives was told as damage of the media.
#[test]
fn a_bare_checksum_that_nothing_gives_may_be_of_another_kind_and_the_reason_says_so() {
    let mut card = Card::default();
    card.file("A/one.mov", b"hello");
    // SHA3-256 of the file, under a name that says nothing, and under names that say so.
    let sha3 = "3338be694f50c5f338814986cdf0686453a888b84f424d792af4b9202398f392";
    card.list("A/list.txt", &format!("{sha3}  one.mov\n"));
    says(card.reason("A/one.mov"), &["the SHA-256 checksum", "BLAKE3", "may be of a kind that is not supported"]);
    card.lists.clear();
    card.listing.remove(Path::new("A/list.txt"));
    for name in ["A/manifest-sha3-256.txt", "A/SHA3SUMS", "A/card.sha3"] {
        card.list(name, &format!("{sha3}  one.mov\n"));
        let reason = card.reason("A/one.mov").unwrap();
        assert!(reason.contains("only checksums that are not supported (sha3"), "{reason}");
        card.lists.clear();
        card.listing.remove(Path::new(name));
    }
    // `xxhsum --little-endian` does not say so beside the number.
    for (name, digits) in [("A/c.xxh", "a36d9f887d82c726"), ("A/c.xxh128", "1838525eaacf79c77f3e1b07adc1e9b5")] {
        card.list(name, &format!("{digits}  one.mov\n"));
        assert_eq!(card.reason("A/one.mov"), None, "{name}");
        card.lists.clear();
        card.listing.remove(Path::new(name));
    }
}

/// Case: an unlisted file beside a card waits, or goes with the card if the rule says so.
#[test]
fn an_unlisted_file_waits_or_goes_with_the_lists_around_it() {
    let mut card = Card::default();
    card.file("A/one.mov", b"hello");
    card.file("A/report.pdf", b"world");
    says(card.reason("A/report.pdf"), &["waits for a checksum list that contains it"]);
    card.list("A/a.md5", &format!("{HELLO}  one.mov\n"));
    says(card.reason("A/report.pdf"), &["is not in any checksum list", "unlisted: send"]);
    let sends = Policy { sends_unlisted: true, ..POLICY };
    assert_eq!(card.reason_by("A/report.pdf", sends), None);
    card.list("A/a.md5", &format!("{WORLD}  one.mov\n"));
    says(card.reason_by("A/report.pdf", sends), &["A/a.md5", "one.mov"]);
    says(card.reason_by("B/other.pdf", sends), &["waits for a checksum list"]);
}

/// No card with an ASC MHL history was ever sent: its chain file is in no list.
#[test]
fn the_chain_file_goes_with_its_history() {
    let mut card = Card::default();
    card.file("A/one.mov", b"hello");
    let list = format!(
        "<hashlist version='2.0' xmlns='urn:ASC:MHL:v2.0'><hashes><hash><path size='5'>one.mov</path>\
         <md5 action='original'>{HELLO}</md5></hash></hashes></hashlist>"
    );
    says(card.reason("A/ascmhl/ascmhl_chain.xml"), &["waits for a checksum list"]);
    card.list("A/ascmhl/0001_A.mhl", &list);
    for path in ["A/one.mov", "A/ascmhl/0001_A.mhl", "A/ascmhl/ascmhl_chain.xml"] {
        assert_eq!(card.reason(path), None, "{path}");
    }
    card.file("A/one.mov", b"hullo");
    says(card.reason("A/ascmhl/ascmhl_chain.xml"), &["one.mov"]);
}

/// As a batch, the list of an older generation went before the newer one, which waited for a file: what arrived first was a history that
/// ends too early.
#[test]
fn the_generations_of_a_history_go_together() {
    let mut card = Card::default();
    card.file("A/one.mov", b"hello");
    let list = |names: &[&str]| {
        let hash = |name: &&str| format!("<hash><path>{name}</path><md5 action='original'>{HELLO}</md5></hash>");
        let hashes: String = names.iter().map(hash).collect();
        format!("<hashlist version='2.0' xmlns='urn:ASC:MHL:v2.0'><hashes>{hashes}</hashes></hashlist>")
    };
    card.list("A/ascmhl/0001_A.mhl", &list(&["one.mov"]));
    card.list("A/ascmhl/0002_A.mhl", &list(&["one.mov", "two.mov"]));
    let batch = Policy { sends_unlisted: false, per_folder: false };
    let all = ["A/ascmhl/0001_A.mhl", "A/ascmhl/0002_A.mhl", "A/ascmhl/ascmhl_chain.xml", "A/one.mov"];
    for path in all {
        says(card.reason_by(path, batch), &["two.mov", "does not exist"]);
    }
    card.file("A/two.mov", b"hello");
    for path in all {
        assert_eq!(card.reason_by(path, batch), None, "{path}");
    }
}

/// A card with a history in a folder of it was never sent: that of the card lists no files of its own, and refers to that one.
#[test]
fn a_history_may_refer_to_those_of_folders_below() {
    let mut card = Card::default();
    card.file("A/CLIPS/one.mov", b"hello");
    let around = |hashes: &str, more: &str| {
        format!("<hashlist version='2.0' xmlns='urn:ASC:MHL:v2.0'><hashes>{hashes}</hashes>{more}</hashlist>")
    };
    let refers = "<references><hashlistreference><path>CLIPS/ascmhl/0001_CLIPS.mhl</path><c4>c4x</c4></hashlistreference></references>";
    card.list("A/ascmhl/0001_A.mhl", &around("", refers));
    says(card.reason("A/CLIPS/one.mov"), &["is not in any checksum list"]);
    let inner = |sum: &str| around(&format!("<hash><path>one.mov</path><md5 action='original'>{sum}</md5></hash>"), "");
    card.list("A/CLIPS/ascmhl/0001_CLIPS.mhl", &inner(HELLO));
    for path in
        ["A/CLIPS/one.mov", "A/ascmhl/0001_A.mhl", "A/ascmhl/ascmhl_chain.xml", "A/CLIPS/ascmhl/ascmhl_chain.xml"]
    {
        assert_eq!(card.reason(path), None, "{path}");
    }
    card.list("A/CLIPS/ascmhl/0001_CLIPS.mhl", &inner(WORLD));
    says(card.reason("A/CLIPS/one.mov"), &["A/CLIPS/ascmhl/0001_CLIPS.mhl"]);
    card.list("A/CLIPS/ascmhl/0001_CLIPS.mhl", &inner(HELLO));
    card.list("A/ascmhl/0001_A.mhl", &around("", ""));
    says(card.reason("A/CLIPS/one.mov"), &["lists no files"]);
}

/// Case: a clip with only an unknown checksum, only a size, or a failed verification in its history is held, and the reason names
/// the list.
#[test]
fn what_a_list_does_not_verify_is_held_with_its_reason() {
    let mut card = Card::default();
    card.file("A/one.mov", b"hello");
    let mhl = |hash: &str| format!("<hashlist version='1.1'><hash><file>one.mov</file>{hash}</hash></hashlist>");
    card.list("A/a.mhl", &mhl("<md4>ab</md4>"));
    says(card.reason("A/one.mov"), &["A/a.mhl", "`A/one.mov` has only checksums that are not supported (md4)"]);
    card.list("A/a.mhl", &mhl("<size>5</size>"));
    says(card.reason("A/one.mov"), &["listed without a checksum"]);
    card.list("A/a.mhl", &mhl("<size>6</size><null/>"));
    says(card.reason("A/one.mov"), &["has 5 bytes, the list says 6"]);
    let failed = format!(
        "<hashlist version='2.0' xmlns='urn:ASC:MHL:v2.0'><hashes><hash><path>one.mov</path>\
         <md5 action='failed' hashdate='2026-11-20'>{HELLO}</md5></hash></hashes></hashlist>"
    );
    card.list("A/ascmhl/0002_A.mhl", &failed);
    card.list("A/a.mhl", &mhl(&format!("<md5>{HELLO}</md5>")));
    says(card.reason("A/one.mov"), &["its history says that verifying `A/one.mov` failed on 2026-11-20"]);
}
