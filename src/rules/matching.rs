//! Which files belong to a rule: ordered tests, each with an outcome that can be reported.

use std::ffi::OsStr;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;

use super::junk::{Junk, unfinished};
use super::model::Rule;
use super::pattern::Patterns;
use super::settings::{Finalize, Ready};

/// The compiled patterns of a rule.
#[derive(Debug, Clone)]
pub(super) struct Matcher {
    pub include: Patterns,
    pub exclude: Patterns,
    pub junk: Junk,
}

impl Matcher {
    pub(super) fn new<'a>(
        include: impl IntoIterator<Item = &'a str>,
        exclude: impl IntoIterator<Item = &'a str>,
        ignore_case: bool,
        junk: Junk,
    ) -> Self {
        Self { include: Patterns::new(include, ignore_case), exclude: Patterns::new(exclude, ignore_case), junk }
    }
}

/// One test of a file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TestOutcome {
    /// Which test: `name`, `recursive`, `hidden`, `junk`, `unfinished`, `marker`, `exclude`, `include`, `size`.
    pub test: &'static str,
    /// Whether the file passed.
    pub passed: bool,
    /// Why, for people.
    pub detail: String,
}

impl TestOutcome {
    fn new(test: &'static str, failure: Option<String>, success: impl FnOnce() -> String) -> Self {
        Self { test, passed: failure.is_none(), detail: failure.unwrap_or_else(success) }
    }
}

/// The prefix of the agent's own files and folders; they are never sent and never scanned.
pub const OWN_PREFIX: &str = ".masv";

fn names(relative: &Path) -> impl Iterator<Item = &OsStr> {
    relative.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name),
        _ => None,
    })
}

fn begins(name: &OsStr, with: &str) -> bool {
    name.as_encoded_bytes().starts_with(with.as_bytes())
}

impl Rule {
    /// Whether a regular file of this size, at this path relative to the watched folder, belongs to the rule.
    #[must_use]
    pub fn matches(&self, relative: &Path, size: u64) -> bool {
        self.failure_of_name(relative).is_none()
            && self.failure_of_recursion(relative).is_none()
            && self.failure_of_hidden(relative).is_none()
            && self.failure_of_junk(relative).is_none()
            && self.failure_of_unfinished(relative).is_none()
            && self.failure_of_marker(relative).is_none()
            && !self.matcher.exclude.matches(relative)
            && self.matcher.include.matches(relative)
            && self.failure_of_size(size).is_none()
    }

    /// The same as [`Rule::matches`], test by test; it matches if all have passed.
    #[must_use]
    pub fn explain(&self, relative: &Path, size: u64) -> Vec<TestOutcome> {
        let excluded = self.matcher.exclude.first_match(relative).map(|by| format!("excluded by `{by}`"));
        let included = self.matcher.include.first_match(relative);
        let not_included = included.is_none().then(|| {
            let patterns: Vec<String> = self.matcher.include.written().map(|text| format!("`{text}`")).collect();
            format!("none of {} matches", patterns.join(", "))
        });
        vec![
            TestOutcome::new("name", self.failure_of_name(relative), || "is a path below the watched folder".into()),
            TestOutcome::new("recursive", self.failure_of_recursion(relative), || "is not too deep".into()),
            TestOutcome::new("hidden", self.failure_of_hidden(relative), || "is not hidden".into()),
            TestOutcome::new("junk", self.failure_of_junk(relative), || "is not a system file".into()),
            TestOutcome::new("unfinished", self.failure_of_unfinished(relative), || {
                "is not named like an unfinished file".into()
            }),
            TestOutcome::new("marker", self.failure_of_marker(relative), || "is not a marker".into()),
            TestOutcome::new("exclude", excluded, || "no exclude pattern matches".into()),
            TestOutcome::new("include", not_included, || format!("included by `{}`", included.unwrap_or_default())),
            TestOutcome::new("size", self.failure_of_size(size), || format!("{size} bytes are within the limits")),
        ]
    }

    /// What is sent, as written.
    #[must_use]
    pub fn include(&self) -> &Patterns {
        &self.matcher.include
    }

    /// What is not sent, as written.
    #[must_use]
    pub fn exclude(&self) -> &Patterns {
        &self.matcher.exclude
    }

    /// Whether the folder at this relative path may contain files of the rule, so that a scan has to descend into it.
    /// The empty path is the watched folder itself.
    #[must_use]
    pub fn may_contain(&self, relative_dir: &Path) -> bool {
        let mut names = names(relative_dir).peekable();
        if names.peek().is_none() {
            return true;
        }
        self.recursive
            && names.all(|name| {
                !begins(name, OWN_PREFIX)
                    && self.matcher.junk.first_match(name).is_none()
                    && (self.hidden || !begins(name, "."))
            })
    }

    fn failure_of_name(&self, relative: &Path) -> Option<String> {
        let inside = relative.components().all(|component| matches!(component, Component::Normal(_)));
        if !inside || relative.file_name().is_none() {
            return Some("is not a path below the watched folder".to_owned());
        }
        let own = names(relative).any(|name| begins(name, OWN_PREFIX));
        own.then(|| "belongs to the agent itself".to_owned())
    }

    fn failure_of_recursion(&self, relative: &Path) -> Option<String> {
        let deep = names(relative).nth(1).is_some();
        (!self.recursive && deep).then(|| "is in a subfolder, and `recursive` is false".to_owned())
    }

    fn failure_of_hidden(&self, relative: &Path) -> Option<String> {
        if self.hidden {
            return None;
        }
        let hidden = names(relative).find(|name| begins(name, "."))?;
        Some(format!("`{}` is hidden, and `hidden` is false", hidden.to_string_lossy()))
    }

    fn failure_of_junk(&self, relative: &Path) -> Option<String> {
        let (name, pattern) = names(relative).find_map(|name| Some((name, self.matcher.junk.first_match(name)?)))?;
        let name = name.to_string_lossy();
        Some(format!("`{}` is junk by the pattern `{}`", name.escape_debug(), pattern.escape_debug()))
    }

    fn failure_of_unfinished(&self, relative: &Path) -> Option<String> {
        if self.temporary {
            return None;
        }
        // Safari downloads into a folder with such a name, and renderers into others.
        let count = names(relative).count();
        let (name, pattern) =
            names(relative).enumerate().find_map(|(place, name)| Some((name, unfinished(name, place + 1 < count)?)))?;
        let name = name.to_string_lossy();
        Some(format!("`{name}` is a name of unfinished files (`{pattern}`), and `temporary` is false"))
    }

    fn failure_of_marker(&self, relative: &Path) -> Option<String> {
        let name = relative.file_name()?;
        let closes = match &self.finalize {
            Finalize::Open(when) => when.marker.as_deref(),
            _ => None,
        };
        let in_root = names(relative).nth(1).is_none();
        if in_root && closes.is_some_and(|marker| name == marker) {
            return Some("is the marker that closes the package".to_owned());
        }
        self.ready.is_marker(relative).then(|| "is a ready marker, which is not sent".to_owned())
    }

    fn failure_of_size(&self, size: u64) -> Option<String> {
        if let Some(least) = self.min_size.filter(|least| size < *least) {
            return Some(format!("{size} bytes are fewer than `min_size` ({least})"));
        }
        let most = self.max_size.filter(|most| size > *most)?;
        Some(format!("{size} bytes are more than `max_size` ({most})"))
    }
}

impl Ready {
    /// The places, relative to the watched folder, where a marker makes this file ready; any one is enough: beside
    /// the file with the marker's name appended to its own, and inside each folder on the way to it.
    #[must_use]
    pub fn markers_of(&self, relative: &Path) -> Vec<PathBuf> {
        let Self::Marker { name } = self else { return Vec::new() };
        let mut beside = relative.as_os_str().to_owned();
        beside.push(appended(name));
        let inside = relative.ancestors().skip(1).filter(|folder| folder.file_name().is_some());
        std::iter::once(PathBuf::from(beside)).chain(inside.map(|folder| folder.join(name))).collect()
    }

    /// Whether the path is that of a marker.
    #[must_use]
    pub fn is_marker(&self, relative: &Path) -> bool {
        let Self::Marker { name } = self else { return false };
        let file = relative.file_name().unwrap_or_default();
        file == name.as_str() || file.as_encoded_bytes().ends_with(appended(name).as_bytes())
    }
}

/// The suffix that a marker adds to another name: `clip.mov` has `clip.mov.done` beside it for the
/// markers `.done` and `done` alike.
fn appended(name: &str) -> String {
    if name.starts_with(|first: char| first.is_alphanumeric()) { format!(".{name}") } else { name.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::rule;
    use masv_platform::bytes_to_path;

    fn sent<'a>(keys: &str, names: &[&'a str]) -> Vec<&'a str> {
        let rule = rule(keys);
        names.iter().copied().filter(|name| rule.matches(Path::new(name), 100)).collect()
    }

    #[test]
    fn a_pattern_without_a_slash_is_about_the_name_at_any_depth() {
        let names = ["a.mov", "x/a.mov", "x/y/a.mov", "a.MOV", "a.mov.txt", "mov"];
        assert_eq!(sent("include: [\"*.mov\"]", &names), ["a.mov", "x/a.mov", "x/y/a.mov"]);
        assert_eq!(sent("include: [\"*.mov\"]\nignore_case: true", &names), ["a.mov", "x/a.mov", "x/y/a.mov", "a.MOV"]);
    }

    #[test]
    fn a_pattern_with_a_slash_is_about_the_whole_path_and_a_star_stops_at_slashes() {
        let names = ["raw/a.mov", "raw/x/a.mov", "x/raw/a.mov", "raw", "a.mov"];
        assert_eq!(sent("include: [\"raw/*.mov\"]", &names), ["raw/a.mov"]);
        assert_eq!(sent("include: [\"raw/**\"]", &names), ["raw/a.mov", "raw/x/a.mov"]);
        assert_eq!(sent("include: [\"**/raw/*\"]", &names), ["raw/a.mov", "x/raw/a.mov"]);
        assert_eq!(sent("include: [\"/*.mov\"]", &names), ["a.mov"]);
        assert_eq!(sent("include: [\"./raw/*\"]", &names), ["raw/a.mov"]);
        assert_eq!(sent("include: [\"**/*\"]", &names), names);
        assert_eq!(sent("include: [\"**\"]", &names), names);
        assert_eq!(sent("include: [\"{raw,x}/**\"]", &names), ["raw/a.mov", "raw/x/a.mov", "x/raw/a.mov"]);
    }

    #[test]
    fn exclude_wins() {
        let names = ["a.mov", "proxies/a.mov", "b.txt"];
        assert_eq!(sent("exclude: [\"proxies/**\", \"*.txt\"]\ninclude: [\"**/*\", \"b.txt\"]", &names), ["a.mov"]);
        assert_eq!(sent("exclude: \"*.mov\"", &names), ["b.txt"]);
    }

    /// Case: the names of unfinished files of download managers and transfer programs are not sent.
    #[test]
    fn what_is_not_sent_and_what_only_on_demand() {
        let junk = ["desktop.ini", "x/.DS_Store", "THUMBS.DB", "~$letter.docx", ".fcpcache/a", ".masv-tmp/a"];
        assert_eq!(sent("hidden: true\ntemporary: true", &junk), [""; 0]);
        let hidden = [".a", "x/.b/c.mov"];
        assert_eq!(sent("", &hidden), [""; 0]);
        assert_eq!(sent("hidden: true", &hidden), hidden);
        let unfinished = ["a.tmp", "a.PART", "x/a.partial", "a.crdownload", "a.download", "a.filepart"];
        assert_eq!(sent("", &unfinished), [""; 0]);
        assert_eq!(sent("temporary: true", &unfinished), unfinished);
        // Of download managers and transfer programs, by name; and what lies in a folder that is not finished.
        let others = [
            "a.mov.!qB",
            "a.mov.!ut",
            "a.mov.bc!",
            "a.mov.!sync",
            "a.mov.opdownload",
            "a.mov.ytdl",
            "a.mov.aspera-ckpt",
            "a.mov.aria2",
            "a.mov.crswap",
            "a.mov.inprogress",
            "m.mov.sb-1a2b3c4d-AbCdEf",
            "saf.mov.download/saf.mov",
            "shot.tmp/f.0001.exr",
        ];
        assert_eq!(sent("", &others), [""; 0]);
        let finished = ["aria2", "part.mov", "m.mov.sb-1a2b3c4d-AbCdE", "m.mov.sb-1a2b3c4x-AbCdEf", "tmp/a.mov"];
        assert_eq!(sent("", &finished), finished);
        assert_eq!(sent("", &["tmp", "part.mov", "a.part.mov"]), ["tmp", "part.mov", "a.part.mov"]);
    }

    /// A server's trash and system folders were delivered, and so were files that programs had not finished.
    /// Cases: the recycle bin and snapshots of a NAS, at the root and inside a card; `@eaDir`, `ehthumbs.db` and `__MACOSX`;
    /// unfinished names of download managers, browsers and editors.
    #[test]
    fn what_systems_leave_and_what_is_unfinished_stays_at_any_depth() {
        let system = [
            "#recycle",
            "@Recycle",
            "$RECYCLE.BIN",
            "RECYCLER",
            "#snapshot",
            "~snapshot",
            "@eaDir",
            "@tmp",
            "System Volume Information",
            "lost+found",
            "Temporary Items",
            "__MACOSX",
            ".Trashes",
            ".Trash-1000",
            ".snapshot",
            "@Recently-Snapshot",
        ];
        for name in system {
            for path in [format!("{name}/wrong_client.mov"), format!("A001/{name}/CLIPS/a.mov"), format!("A001/{name}")]
            {
                let rule = rule("hidden: true\ntemporary: true");
                assert!(!rule.matches(Path::new(&path), 1), "{path}");
                let told = rule.explain(Path::new(&path), 1);
                assert!(
                    told.iter().any(|test| test.test == "junk" && !test.passed && test.detail.contains(name)),
                    "{path}"
                );
            }
            assert!(!rule("hidden: true").may_contain(Path::new(name)), "{name}");
        }
        assert_eq!(sent("", &["Icon\r", "A/Icon\u{f00d}", "A/ehthumbs.db", "A/Thumbs.db"]), [""; 0]);
        let unfinished = [
            "a.mov.!qB",
            "a.mov.!ut",
            "a.mov.bc!",
            "a.mov.!sync",
            "a.mov.opdownload",
            "a.mov.ytdl",
            "a.mov.aspera-ckpt",
            "a.mov.aria2",
            "a.mov.crswap",
            "a.mov.inprogress",
            "e.mov~",
            "m.mov.sb-1a2b3c4d-AbCdEf",
            "4913",
            "saf.mov.download/saf.mov",
            "saf.mov.download/Info.plist",
            "A001/x.part/a.mov",
        ];
        assert_eq!(sent("", &unfinished), [""; 0]);
        assert_eq!(sent("temporary: true", &unfinished), unfinished);
        let meant =
            ["4913/0001.dpx", "icon", "recycler.mov", "tmp/a.mov", "~a.mov", "snapshot/a.mov", "Downloads/a.mov"];
        assert_eq!(sent("", &meant), meant);
    }

    /// Case: a rule adds names to the list of junk, keeps some, or does without it.
    #[test]
    fn a_rule_may_add_to_the_list_keep_names_of_it_or_do_without() {
        let names = ["@tmp/a", "Thumbs.db", "cache/a", "b.bak", "x"];
        assert_eq!(sent("junk: { add: [\"*.bak\", cache] }", &names), ["x"]);
        assert_eq!(sent("junk: { keep: \"@tmp\" }", &names), ["@tmp/a", "cache/a", "b.bak", "x"]);
        assert_eq!(sent("junk: false", &names), names);
        assert_eq!(sent("junk: true", &names), ["cache/a", "b.bak", "x"]);
    }

    #[test]
    fn a_name_that_is_not_utf8_matches_like_any_other() {
        let rule = rule("include: [\"clip*.mov\"]");
        assert!(rule.matches(&bytes_to_path(b"day\xff/clip\xff\xfe.mov"), 1));
        assert!(!rule.matches(&bytes_to_path(b"clip\xff.mxf"), 1));
        assert!(rule.explain(&bytes_to_path(b"clip\xff.mov"), 1).iter().all(|test| test.passed));
        let rule = super::super::tests::rule("include: [\"clip?.mov\"]");
        assert!(
            rule.matches(&bytes_to_path(b"clip\xff.mov"), 1) && !rule.matches(&bytes_to_path(b"clip\xff\xfe.mov"), 1)
        );
    }

    /// A character is one character to `?` and in brackets, whatever its alphabet, its form on disk and its case.
    #[test]
    fn a_question_mark_is_one_character_of_any_alphabet() {
        let names =
            ["Kr\u{fc}ger.mov", "Kru\u{308}ger.mov", "Kruger.mov", "KR\u{dc}GER.MOV", "Kr\u{6771}ger.mov", "Krger.mov"];
        let sent = |pattern: &str, keys: &str| sent(&format!("include: ['{pattern}']\n{keys}"), &names);
        assert_eq!(sent("Kr?ger.mov", ""), [names[0], names[1], names[2], names[4]]);
        assert_eq!(sent("Kr[\u{fc}\u{6771}]ger.mov", ""), [names[0], names[1], names[4]]);
        assert_eq!(sent("Kr[\u{e0}-\u{ff}]ger.mov", ""), names[..2]);
        assert_eq!(sent("Kr[!\u{fc}]ger.mov", ""), [names[2], names[4]]);
        assert_eq!(sent("{kr\u{fc}ger,x}.mov", "ignore_case: true"), [names[0], names[1], names[3]]);
        assert_eq!(sent("Kr??ger.mov", ""), [""; 0]);
        assert_eq!(sent("*\u{fc}*", ""), names[..2]);
    }

    #[test]
    fn what_means_something_in_expressions_means_itself_in_patterns() {
        let names = ["a+b (1).mov", "a.b", "axb", "a\\xc3", "c\u{301}$^|.mov", "line\nbreak.mov"];
        let sent = |pattern: &str| sent(&format!("include: ['{pattern}']"), &names);
        assert_eq!(sent("a+b (1).mov"), names[..1]);
        assert_eq!(sent("a.b"), names[1..2]);
        assert_eq!(sent("a\\\\xc3"), names[3..4]);
        assert_eq!(sent("*$^|.mov"), names[4..5]);
        assert_eq!(sent("line?break.mov"), names[5..]);
    }

    /// Names in NFC and NFD: what a person sees as the same matches the same.
    #[test]
    fn a_pattern_matches_composed_and_decomposed_names() {
        let names = ["Caf\u{e9}/\u{fc}.mov", "Cafe\u{301}/u\u{308}.mov", "Cafe/u.mov"];
        assert_eq!(sent("include: [\"Caf\u{e9}/*\"]", &names), names[..2]);
        assert_eq!(sent("include: [\"u\u{308}.mov\"]", &names), names[..2]);
    }

    #[test]
    fn a_path_that_leaves_the_folder_never_matches() {
        assert_eq!(sent("", &["../a", "/a", "", "a/../b", "."]), [""; 0]);
    }

    #[test]
    fn sizes_and_depth() {
        let rule = rule("min_size: 1kB\nmax_size: 2kB\nrecursive: false");
        let sizes = [999, 1000, 2000, 2001].map(|size| rule.matches(Path::new("a"), size));
        assert_eq!(sizes, [false, true, true, false]);
        assert!(!rule.matches(Path::new("x/a"), 1500));
    }

    #[test]
    fn which_folders_are_looked_into() {
        let looks = |keys: &str, folder: &str| rule(keys).may_contain(Path::new(folder));
        assert!(looks("", "") && looks("", "a/b"));
        assert!(!looks("", ".hidden") && !looks("", "a/.hidden/b") && looks("hidden: true", ".hidden"));
        assert!(!looks("hidden: true", ".fcpcache") && !looks("hidden: true", ".masv/x"));
        assert!(looks("recursive: false", "") && !looks("recursive: false", "a"));
    }

    #[test]
    fn markers_are_found_beside_and_above_and_are_not_sent() {
        let rule = rule("ready: { marker: .done }\nhidden: true");
        let places: Vec<PathBuf> = ["A/B/clip.mov.done", "A/B/.done", "A/.done"].map(PathBuf::from).into();
        assert_eq!(rule.ready.markers_of(Path::new("A/B/clip.mov")), places);
        assert_eq!(rule.ready.markers_of(Path::new("clip.mov")), [PathBuf::from("clip.mov.done")]);
        assert!(!rule.matches(Path::new("A/B/clip.mov.done"), 0) && !rule.matches(Path::new("A/.done"), 0));
        assert!(rule.matches(Path::new("done"), 0));
    }

    #[test]
    fn a_marker_that_is_a_word_stands_behind_a_dot() {
        let rule = rule("ready: { marker: ready }");
        assert_eq!(
            rule.ready.markers_of(Path::new("A/b.mov")),
            [PathBuf::from("A/b.mov.ready"), PathBuf::from("A/ready")]
        );
        assert!(rule.matches(Path::new("already"), 0));
        assert!(!rule.matches(Path::new("b.mov.ready"), 0) && !rule.matches(Path::new("A/ready"), 0));
    }

    #[test]
    fn the_marker_that_closes_a_package_is_not_sent() {
        let keys = "finalize: { marker: SEND }";
        assert_eq!(sent(keys, &["SEND", "x/SEND", "SEND.mov"]), ["x/SEND", "SEND.mov"]);
    }

    #[test]
    fn an_explanation_names_the_test_that_failed() {
        let rule = rule("include: [\"*.mov\"]\nexclude: [\"proxies/**\"]\nmin_size: 1kB");
        let tests = rule.explain(Path::new("proxies/a.mov.part"), 10);
        let failed: Vec<&str> = tests.iter().filter(|test| !test.passed).map(|test| test.test).collect();
        assert_eq!(failed, ["unfinished", "exclude", "include", "size"]);
        assert_eq!(tests.iter().find(|test| test.test == "exclude").unwrap().detail, "excluded by `proxies/**`");
    }
}
