//! Lists as tools write them, and lists as they should not be.

use proptest::prelude::*;

use super::checksum::Algorithm;
use super::*;

const MD5: &str = "d41d8cd98f00b204e9800998ecf8427e";

fn mhl(hash: &str) -> Result<Listed, String> {
    let text = format!("<?xml version='1.0' encoding='UTF-8'?><hashlist version='1.1'>{hash}</hashlist>");
    parse(Path::new("A001/A001.mhl"), text.as_bytes()).map(|mut listed| listed.remove(0))
}

fn asc(hash: &str) -> Result<Listed, String> {
    let text = format!(
        "<?xml version='1.0'?><hashlist version='2.0' xmlns='urn:ASC:MHL:v2.0'><creatorinfo/><hashes>{hash}\
         <directoryhash><path>CLIPS</path><content><xxh64>0123456789abcdef</xxh64></content></directoryhash></hashes></hashlist>"
    );
    parse(Path::new("A001/ascmhl/0001_A001.mhl"), text.as_bytes()).map(|mut listed| listed.remove(0))
}

/// Case: MHL 1.x with entities and XXH64, and ASC MHL with XXH128, are read.
#[test]
fn mhl_of_both_generations() {
    let old = "<hash><file>CLIPS/a &amp; b.mov</file><size>5</size><creationdate>x</creationdate>\
               <xxhash64be>0123456789ABCDEF</xxhash64be></hash>";
    let mut expected = Listed::new("A001/CLIPS/a & b.mov".into());
    expected.size = Some(5);
    expected.checksums = vec![Checksum::of(Algorithm::Xxh64, "0123456789abcdef").unwrap()];
    assert_eq!(mhl(old).unwrap(), expected);
    let new = "<hash><path size='5' lastmodificationdate='2026-01-01'>CLIPS/a.mov</path>\
               <xxh128 action='original' hashdate='2026-01-01'>00000000000000000000000000000abc</xxh128></hash>";
    let listed = asc(new).unwrap();
    assert_eq!((listed.path.as_path(), listed.size), (Path::new("A001/CLIPS/a.mov"), Some(5)));
    assert_eq!(listed.checksums, [Checksum::of(Algorithm::Xxh128, "00000000000000000000000000000abc").unwrap()]);
}

/// Checksums of an unknown kind counted as correct: a list with only these verified nothing, and that was not reported.
#[test]
fn a_checksum_that_is_not_understood_is_no_checksum_and_is_told() {
    let file = "<file>a.mov</file><size>5</size>";
    for (element, kind) in [
        ("<md4>0123</md4>".to_owned(), "md4"),
        ("<xxhash>123456</xxhash>".to_owned(), "xxhash"),
        ("<null></null>".to_owned(), "null"),
        ("<md5/>".to_owned(), "md5 ``"),
        ("<md5>not hexadecimal</md5>".to_owned(), "md5 `not hexadecimal`"),
        (format!("<sha1>{MD5}</sha1>"), "sha1 `d41d8cd98f00b204e9800998ecf8427e`"),
    ] {
        let listed = mhl(&format!("<hash>{file}{element}</hash>")).unwrap();
        assert_eq!((listed.checksums.as_slice(), listed.unknown), (&[][..], vec![kind.to_owned()]), "{element}");
    }
    let without = mhl(&format!("<hash>{file}</hash>")).unwrap();
    assert!(without.checksums.is_empty() && without.unknown.is_empty());
    let action = asc(&format!("<hash><path>a.mov</path><md5 action='guessed'>{MD5}</md5></hash>")).unwrap();
    assert_eq!((action.checksums.len(), action.unknown), (0, vec!["md5 with the action `guessed`".to_owned()]));
}

/// Case: SHA-512, C4, a little-endian XXH64 and a checksum in Base64 are compared.
#[test]
fn checksums_in_other_spellings_are_read() {
    let sum = |hash: &str| mhl(&format!("<hash><file>a.mov</file>{hash}</hash>")).unwrap().checksums;
    assert_eq!(sum("<xxhash64>efcdab8967452301</xxhash64>"), sum("<xxhash64be>0123456789abcdef</xxhash64be>"));
    assert_eq!(sum("<md5>1B2M2Y8AsgTpgAmY7PhCfg==</md5>"), sum(&format!("<md5>{MD5}</md5>")));
    let sha512 = "cf83e1357eefb8bdf1542850d66d8007d620e4050b5715dc83f4a921d36ce9ce\
                  47d0d13c5d85f2b0ff8318d2877eec2f63b931bd47417a81a538327af927da3e";
    assert_eq!(sum(&format!("<sha512>{sha512}</sha512>")).len(), 1);
    let c4 = "c459dsjfscH38cYeXXYogktxf4Cd9ibshE3BHUo6a58hBXmRQdZrAkZzsWcbWtDg5oQstpDuni4Hirj75GEmTc1sFT";
    let of_c4 = asc(&format!("<hash><path>a.mov</path><c4 action='original'>{c4}</c4></hash>")).unwrap().checksums;
    assert_eq!(of_c4, sum(&format!("<sha512>{sha512}</sha512>")));
}

/// The checksum of a failed verification is that of the damaged file; it overruled the original one.
#[test]
fn a_failed_verification_is_told_and_its_checksum_is_not_compared() {
    let hash =
        format!("<hash><path>a.mov</path><md5 action='failed' hashdate='2026-11-20T10:00:00+01:00'>{MD5}</md5></hash>");
    let listed = asc(&hash).unwrap();
    assert_eq!((listed.checksums.len(), listed.failed.as_deref()), (0, Some("2026-11-20T10:00:00+01:00")));
}

/// A truncated list was accepted: the copy died or the disk was full, and the clips after the cut were not verified.
#[test]
fn a_list_without_its_end_is_refused_wherever_it_stops() {
    let whole = format!(
        "<?xml version='1.0'?><hashlist version='1.1'><hash><file>a.mov</file><md5>{MD5}</md5></hash>\
         <hash><file>b.mov</file><md5>{MD5}</md5></hash></hashlist>"
    );
    assert_eq!(parse(Path::new("x.mhl"), whole.as_bytes()).unwrap().len(), 2);
    for end in 1..whole.len() {
        let told = parse(Path::new("x.mhl"), &whole.as_bytes()[..end]).unwrap_err();
        assert!(end < 25 || told.contains("is truncated"), "{}: {told}", &whole[..end]);
    }
}

/// Case: a web page, an empty file, text or a hash without a file is no list, and the reason says why.
#[test]
fn what_is_not_a_list_is_told() {
    for (text, why) in [
        ("", "lists no files"),
        ("hello\n", "line 1: does not consist of a checksum and a name"),
        ("<html><body></body></html>", "begins with `<html>`"),
        ("<hashlist version='3.0'></hashlist>", "version `3.0`"),
        ("<hashlist version='1.1'></hashlist>", "lists no files"),
        ("<hashlist version='1.1'><hash><size>5</size></hash></hashlist>", "a hash without a file"),
        ("<hashlist version='1.1'><hash><file>a</file><size>five</size></hash></hashlist>", "not a number"),
        ("<hashlist version='1.1'><hash><file>../a</file></hash></hashlist>", "not below its folder"),
        ("<hashlist version='1.1'><hash><file>/a</file></hash></hashlist>", "not below its folder"),
        ("<hashlist version='1.1'></hash></hashlist>", "not well-formed"),
        ("<hashlist version='1.1'><hash><file>a</file><null/></hash></hashlist>x", "text outside its root"),
        ("<hashlist version='1.1'><hash><file>a</file><null/></hash></hashlist><hashlist/>", "a second root"),
        // A checksum of a file in a place that nobody knows was passed over.
        ("<hashlist version='1.1'><g><hash><file>a</file></hash></g></hashlist>", "`<hash>` inside `<g>`"),
        ("<hashlist version='1.1'><Hash><file>a</file></Hash></hashlist>", "`<Hash>` inside `<hashlist>`"),
        (
            "<hashlist version='2.0' xmlns='urn:ASC:MHL:v2.0'><hash><path>a</path></hash></hashlist>",
            "inside `<hashlist>`",
        ),
        (
            "<hashlist version='2.0' xmlns='urn:ASC:MHL:v2.0'><hashes><hash><path>a</path></hash><directoryhash>\
             <path>d</path><content><md5 action='failed'>x</md5></content></directoryhash></hashes></hashlist>",
            "verifying a folder failed",
        ),
    ] {
        let told = parse(Path::new("card.mhl"), text.as_bytes()).unwrap_err();
        assert!(told.contains(why), "{text}: {told}");
    }
}

/// Two lines for one file, the first one wrong: the last one won.
#[test]
fn two_lines_for_one_file_have_to_agree() {
    let other = MD5.replace('d', "e");
    let twice = |second: &str| parse(Path::new("x.md5"), format!("{MD5}  a.mov\n{second}  ./a.mov\n").as_bytes());
    assert_eq!(twice(MD5).unwrap().len(), 1);
    assert!(twice(&other).unwrap_err().contains("lists `a.mov` twice"));
}

/// Case: a list made by `sha256sum * > SHA256SUMS`, which lists itself, does not wait for itself.
#[test]
fn a_list_does_not_list_itself() {
    let text = format!("{MD5}  MD5SUMS\n{MD5}  a.mov\n");
    let listed = parse(Path::new("A001/MD5SUMS"), text.as_bytes()).unwrap();
    assert_eq!(listed.iter().map(|file| file.path.as_path()).collect::<Vec<_>>(), [Path::new("A001/a.mov")]);
}

/// A file renamed later was looked for under its old name forever.
#[test]
fn earlier_generations_are_read_with_the_view_of_the_later_ones() {
    let file = |path: &str| Listed::new(path.into());
    let renamed = Listed { renamed_from: Some("b".into()), ..file("c") };
    let failed = Listed { failed: Some("today".to_owned()), ..file("d") };
    let first = [file("a"), file("d")];
    let second = [Listed { renamed_from: Some("a".into()), ..file("b") }, failed.clone()];
    let third = [renamed.clone()];
    let paths = |lists: &[Vec<Listed>]| -> Vec<Vec<PathBuf>> {
        lists.iter().map(|files| files.iter().map(|file| file.path.clone()).collect()).collect()
    };
    let all = effective(&[&first, &second, &third]);
    assert_eq!(
        paths(&all),
        [["c", "d"].map(PathBuf::from).to_vec(), ["c", "d"].map(PathBuf::from).to_vec(), vec!["c".into()]]
    );
    assert!(all[1][1].failed.is_some(), "nobody has looked at it again");
    let again = effective(&[&first, &[failed], &[file("d")]]);
    assert_eq!(paths(&again)[1], Vec::<PathBuf>::new(), "the third generation found it right");
}

/// Pieces of which lists are made, and of which they should not be.
const PIECES: [&str; 26] = [
    "<?xml version='1.0' encoding='utf-8'?>",
    "<hashlist version='1.1'>",
    "<hashlist version='2.0' xmlns='urn:ASC:MHL:v2.0'>",
    "</hashlist>",
    "<hashes>",
    "</hashes>",
    "<hash>",
    "</hash>",
    "<file>a.mov</file>",
    "<path size='5'>a.mov</path>",
    "<md5 action='failed'>",
    "</md5>",
    "<size>x</size>",
    "&amp;",
    "&x;",
    "<!--",
    "]]>",
    "%%%% size,md5,filename\n",
    "%%%% size,filename\n",
    "5,",
    "d41d8cd98f00b204e9800998ecf8427e",
    "  a.mov\n",
    "\\",
    "MD5 (",
    ") = ",
    "\u{fc}(",
];

proptest! {
    #[test]
    fn no_list_panics(
        pieces in prop::collection::vec(prop::sample::select(PIECES.to_vec()), 0..12),
        bytes in prop::collection::vec(any::<u8>(), 0..40),
        name in prop::sample::select(vec!["a.md5", "a.sfv", "a.mhl", "ascmhl/0001.mhl", "checksums.txt"]),
    ) {
        let text = pieces.concat();
        let _ = parse(Path::new(name), text.as_bytes());
        let _ = parse(Path::new(name), &[text.as_bytes(), &bytes].concat());
        let _ = parse(Path::new(name), &bytes);
    }
}
