//! What is valid but probably not intended, found by checking the built rules together.

use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use super::super::fields::At;
use super::super::junk::unfinished;
use super::super::model::{DownloadRule, Rule};
use super::super::reader::Reader;
use super::super::schema_table::RULE;
use super::super::settings::{AfterComplete, AfterError, Finalize, OnChange, Per, Ready};
use super::super::yaml::Node;

/// An enabled rule, its position, and its folder in a comparable form.
struct Checked<'r, 'a> {
    rule: &'r Rule,
    at: &'r At<'a>,
    watch: PathBuf,
}

pub(super) fn run(rules: &[(Arc<Rule>, At<'_>)], downloads: &[(Arc<DownloadRule>, At<'_>)], reader: &Reader<'_>) {
    let enabled = rules.iter().filter(|(rule, _)| rule.enabled);
    let enabled: Vec<Checked<'_, '_>> =
        enabled.map(|(rule, at)| Checked { rule, at, watch: normal(&rule.watch) }).collect();
    for (index, later) in enabled.iter().enumerate() {
        overlap(&enabled[..index], later, reader);
        move_targets(&enabled, later, reader);
        patterns(later, reader);
        never_open(later, reader);
        shallow_folders(later, reader);
        sends_nothing(later, reader);
        missing_folder(later, reader);
        unseen_writers(later, reader);
    }
    for (download, at) in downloads.iter().filter(|(download, _)| download.enabled) {
        downloads_into(&enabled, download, at, reader);
    }
}

/// What is downloaded into a watched folder is sent again.
fn downloads_into(rules: &[Checked<'_, '_>], download: &DownloadRule, at: &At<'_>, reader: &Reader<'_>) {
    let folder = normal(&download.into);
    for rule in rules.iter().filter(|rule| reaches(rule, &folder)) {
        let message =
            format!("files are downloaded into the watched folder of rule `{}`, which will send them", rule.rule.name);
        let help = "download to another folder, or exclude this one in that rule".to_owned();
        reader.warn(&place(at, &["into"]), message, Some(help));
    }
}

/// The position of a key's value if the rule itself has it, otherwise of the rule.
fn place<'a>(at: &At<'a>, names: &[&str]) -> At<'a> {
    let mut place = at.clone();
    for name in names {
        let found = place.pairs().iter().find(|(key, _): &&(Node, Node)| key.text() == Some(*name));
        let Some((_, value)) = found else { break };
        place = place.child(name, value, RULE.iter().find(|key| key.name == *name));
    }
    place
}

/// The real path, for comparison; if that cannot be determined, the path with `..` resolved lexically.
fn normal(path: &Path) -> PathBuf {
    if let Ok(real) = masv_platform::real_path(path) {
        return real;
    }
    let mut result = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => drop(result.pop()),
            other => result.push(other),
        }
    }
    result
}

/// Whether the rule may find files in that folder, given in the same form.
fn reaches(outer: &Checked<'_, '_>, inner: &Path) -> bool {
    inner.strip_prefix(&outer.watch).is_ok_and(|relative| {
        outer.rule.may_contain(relative) && !outer.rule.matcher.exclude.matches(&relative.join("file"))
    })
}

fn overlap(earlier: &[Checked<'_, '_>], later: &Checked<'_, '_>, reader: &Reader<'_>) {
    for other in earlier {
        if reaches(other, &later.watch) || reaches(later, &other.watch) {
            let message = format!("overlaps with the watched folder of rule `{}`", other.rule.name);
            let help = "a file belongs to the first matching rule in the file; exclude what this rule should not get"
                .to_owned();
            reader.warn(&place(later.at, &["watch"]), message, Some(help));
        }
    }
}

fn move_targets(rules: &[Checked<'_, '_>], Checked { rule, at, .. }: &Checked<'_, '_>, reader: &Reader<'_>) {
    let complete = match &rule.after.complete {
        AfterComplete::Move(target) => Some((target, "complete")),
        _ => None,
    };
    let error = match &rule.after.error {
        AfterError::Move(target) => Some((target, "error")),
        AfterError::Keep => None,
    };
    for (target, key) in complete.into_iter().chain(error) {
        let Some(folder) = target.fixed_part() else { continue };
        let folder = normal(&folder);
        for other in rules.iter().filter(|other| reaches(other, &folder)) {
            let message = format!(
                "files are moved into the watched folder of rule `{}`, which will find them there",
                other.rule.name
            );
            let help = "move them elsewhere, or exclude that folder, like `exclude: [\"sent/**\"]`".to_owned();
            reader.warn(&place(at, &["after", key, "move"]), message, Some(help));
        }
    }
}

fn patterns(Checked { rule, at, .. }: &Checked<'_, '_>, reader: &Reader<'_>) {
    for (key, patterns) in [("include", &rule.matcher.include), ("exclude", &rule.matcher.exclude)] {
        let place = place(at, &[key]);
        for (item, written) in place.items().iter().zip(patterns.written()) {
            if let Some((why, help)) = never_matches(written, key, rule) {
                reader.warn(item, format!("`{written}` can never match: {why}"), Some(help.to_owned()));
            } else if let Some((what, help)) = hardly_meant(written, key == "include") {
                reader.warn(item, format!("`{written}` {what}"), Some(help.to_owned()));
            }
        }
    }
    if let Ready::Manifest { patterns, .. } = &rule.ready {
        let place = place(at, &["ready", "manifest"]);
        for (item, written) in place.items().iter().zip(patterns.written()) {
            if let Some((what, help)) = hardly_meant(written, true) {
                reader.warn(item, format!("`{written}` {what}"), Some(help.to_owned()));
            }
        }
    }
    if rule.watch.to_string_lossy().contains(['*', '{']) {
        let help = "patterns belong in `include`".to_owned();
        reader.warn(&place(at, &["watch"]), "`watch` is a single folder, not a pattern", Some(help));
    }
}

fn never_matches(written: &str, key: &str, rule: &Rule) -> Option<(&'static str, &'static str)> {
    let include = key == "include";
    let name = written.rsplit('/').next().unwrap_or(written);
    if written.ends_with('/') {
        return Some(("it ends with a slash, but folders are not matched", "write `folder/**`"));
    }
    if written.starts_with(&*rule.watch.to_string_lossy()) {
        return Some(("patterns are relative to `watch`", "omit the watched folder"));
    }
    if written.split('/').any(|part| part == "..") {
        return Some(("no file is above `watch`", "watch the parent folder"));
    }
    if escapes_a_letter(written) {
        return Some(("a backslash is not a separator", "write `folder/*.mov` with a slash"));
    }
    if include && !rule.recursive && written.trim_start_matches("**/").trim_start_matches('/').contains('/') {
        return Some(("it is in a subfolder, and `recursive` is false", "set `recursive: true`"));
    }
    if include && written.starts_with(".*") {
        return Some((
            "in a pattern a dot is only a dot, and `.*` are hidden names",
            "write `*.mov`, not a regular expression",
        ));
    }
    if include && !rule.hidden && written.split('/').any(|part| part.starts_with('.') && part.len() > 1) {
        return Some(("hidden names are not sent", "set `hidden: true`"));
    }
    let probe = name.replace('*', "x");
    if include
        && !written.starts_with('!')
        && !rule.temporary
        && !name.contains(['{', '[', '?'])
        && unfinished(probe.as_ref(), false).is_some()
    {
        return Some(("names of unfinished files are not sent", "set `temporary: true`"));
    }
    None
}

/// What a pattern looks like that means something else as a glob.
fn hardly_meant(written: &str, include: bool) -> Option<(&'static str, &'static str)> {
    let outside_braces: String = {
        let mut depth = 0_usize;
        let outside = written.chars().filter(|letter| {
            match letter {
                '{' => depth += 1,
                '}' => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0
        });
        outside.collect()
    };
    let listed = |separator: char| {
        let mut parts = outside_braces.split(separator).map(str::trim);
        outside_braces.contains(separator) && parts.all(|part| part.starts_with(['*', '.', '/']))
    };
    let plain = written.len() <= 5 && written.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if written.contains(['\u{201c}', '\u{201d}', '\u{201e}', '\u{2018}', '\u{2019}']) {
        Some(("contains typographic quotes, which are part of the name", "use \" or ' around patterns"))
    } else if [',', ';', '|', ' '].into_iter().any(listed) {
        Some(("is one pattern, not several", "write a list: [\"*.mov\", \"*.mxf\"]"))
    } else if written.starts_with('!') && written.contains(['*', '.']) {
        Some(("begins with `!`, which does not negate a pattern", "put the pattern in `exclude`"))
    } else if written.starts_with('^') || written.ends_with('$') || written.contains("]+") || written.contains(")+") {
        Some(("looks like a regular expression, but is read as a glob", "globs support `*`, `?`, `[0-9]` and `{a,b}`"))
    } else if plain && (written.bytes().any(|byte| byte.is_ascii_lowercase()) || (include && is_extension(written))) {
        Some(("matches only this exact name", "for an extension write `*.mov`; for a folder write `folder/**`"))
    } else {
        None
    }
}

/// Whether that is the extension of media files, in capitals: other names of that form may be meant as they are.
fn is_extension(written: &str) -> bool {
    const MEDIA: [&str; 24] = [
        "AAF", "ARI", "ARX", "AVI", "BRAW", "CINE", "CRM", "DNG", "DPX", "EXR", "JPEG", "JPG", "MKV", "MOV", "MP4",
        "MTS", "MXF", "PNG", "R3D", "TIF", "TIFF", "TS", "WAV", "XML",
    ];
    MEDIA.contains(&written)
}

fn sends_nothing(Checked { rule, at, .. }: &Checked<'_, '_>, reader: &Reader<'_>) {
    let excluded: Vec<&str> = rule.matcher.exclude.written().collect();
    let everything = |pattern: &str| matches!(pattern, "*" | "**" | "**/*" | "/**" | "*.*" | "**/*.*");
    let place = place(at, &["exclude"]);
    if excluded.iter().any(|pattern| everything(pattern)) {
        let help = "exclude only what should not be sent, or set `enabled: false`".to_owned();
        reader.warn(&place, "everything is excluded: nothing is ever sent", Some(help));
    } else if rule.matcher.include.written().all(|pattern| excluded.contains(&pattern)) {
        let help = "`exclude` takes precedence: remove what is in both".to_owned();
        reader.warn(&place, "everything that is included is also excluded: nothing is ever sent", Some(help));
    }
}

fn missing_folder(Checked { rule, at, .. }: &Checked<'_, '_>, reader: &Reader<'_>) {
    let place = place(at, &["watch"]);
    if reader.environment.is_not_a_folder(&rule.watch) {
        let help = "`watch` is a folder; `include` says which files in it are sent".to_owned();
        reader.warn(&place, format!("{} is not a folder", rule.watch.display()), Some(help));
    }
    if place.text().is_some_and(|text| text.contains('\\')) {
        let help = "folders are separated by `/` on this system".to_owned();
        reader.warn(&place, "the backslash is part of the folder's name", Some(help));
    }
    if !rule.create && reader.environment.is_missing(&rule.watch) {
        let help = "the rule starts when the folder appears; `create: true` creates it".to_owned();
        reader.warn(&place, format!("{} does not exist", rule.watch.display()), Some(help));
    }
}

/// Files are taken away where nothing shows whether somebody still writes to them.
fn unseen_writers(Checked { rule, at, .. }: &Checked<'_, '_>, reader: &Reader<'_>) {
    let what = match rule.after.complete {
        AfterComplete::Keep => return,
        AfterComplete::Delete => "deleted",
        AfterComplete::Move(_) => "moved",
    };
    if !matches!(rule.ready, Ready::Settled) {
        return;
    }
    let Some(file_system) = reader.environment.hides_writers(&rule.watch) else { return };
    let message = format!(
        "{file_system} does not show who is writing to a file: one whose copying pauses for longer than `settle` is sent unfinished and {what}"
    );
    let help =
        "let whoever copies say when a file is whole: `ready: { marker: .done }`, or a checksum list with `manifest`"
            .to_owned();
    reader.warn(&place(at, &["after"]), message, Some(help));
}

fn never_open(Checked { rule, at, .. }: &Checked<'_, '_>, reader: &Reader<'_>) {
    if rule.on_change == OnChange::Append && !matches!(rule.finalize, Finalize::Open(_) | Finalize::Manual) {
        let help = "give `finalize` a condition, like `finalize: { quiet: 20m }`".to_owned();
        reader.warn(&place(at, &["on_change"]), "no package of this rule is ever open to append to", Some(help));
    }
}

fn shallow_folders(Checked { rule, at, .. }: &Checked<'_, '_>, reader: &Reader<'_>) {
    if rule.package.per == Per::Folder && !rule.recursive {
        let help = "remove `recursive: false`, or package by `file`".to_owned();
        reader.warn(&place(at, &["recursive"]), "folders are packaged, but their content is never read", Some(help));
    }
}

/// Whether there is a backslash before a character that needs none, as in a Windows path.
fn escapes_a_letter(written: &str) -> bool {
    let mut letters = written.chars();
    while let Some(letter) = letters.next() {
        if letter == '\\' && letters.next().is_some_and(|next| next.is_alphanumeric()) {
            return true;
        }
    }
    false
}
