//! An upload rule.

use std::sync::Arc;
use std::time::Duration;

use super::super::fields::{At, Fields};
use super::super::junk::Junk;
use super::super::matching::Matcher;
use super::super::model::Rule;
use super::super::move_target::MoveTarget;
use super::super::pattern::Patterns;
use super::super::reader::{Reader, not_a_place};
use super::super::recipients::Recipient;
use super::super::schedule::Schedule;
use super::super::schema_table::{AFTER, JUNK, MOVE, RULE};
use super::super::settings::{
    After, AfterComplete, AfterError, Existing, Finalize, Growing, HardLinks, OnChange, OnGone, Per, Poll, Ready,
    Symlinks, UploadKind,
};
use super::digest::digest;
use super::{Shared, notify, upload, when};

const SETTLE: Duration = Duration::from_secs(5);
/// The default if writers cannot be detected: a copy over a network sometimes pauses for longer than five seconds.
const SETTLE_UNSEEN: Duration = Duration::from_secs(30);
/// Smaller files are sent quickly enough once they are complete.
const GROWING_MIN: u64 = 256_000_000;
/// What writers go back over most often is what they wrote last.
const GROWING_GUARD: u64 = 64_000_000;
const RESCAN: Duration = Duration::from_secs(5 * 60);
const ON_CHANGE: [(&str, OnChange); 3] =
    [("new_package", OnChange::NewPackage), ("append", OnChange::Append), ("ignore", OnChange::Ignore)];
const ON_GONE: [(&str, OnGone); 2] = [("send_rest", OnGone::SendRest), ("wait", OnGone::Wait)];

/// Reads the defaults on their own, so that errors in them are reported even if no rule inherits them.
pub(super) fn check_defaults(shared: &Shared<'_, '_>) {
    let Some(at) = &shared.defaults else { return };
    let Some(fields) = shared.reader.fields(at, RULE) else { return };
    for (name, at) in fields.present().filter(|(name, _)| matches!(*name, "name" | "watch")) {
        shared.reader.error(at, format!("`{name}` cannot be a default"), Some("give it to each rule".to_owned()));
    }
    Parts::read(&fields, shared);
    if let Some(at) = fields.optional("upload") {
        upload::mapping(&at, shared).and_then(|at| upload::read(&at, Per::Batch, shared));
    }
}

/// An upload rule.
pub(super) fn upload<'a>(at: &At<'a>, shared: &Shared<'_, 'a>) -> Option<Rule> {
    let reader = shared.reader;
    reader.take_secrets();
    reader.confine(false);
    let inherited = shared.defaults.as_ref().filter(|defaults| defaults.is_map());
    let fields = reader.merged(at, inherited, RULE)?;
    let confined = confined(&fields, reader);
    let name = fields.required("name").and_then(|at| rule_name(&at, reader));
    let watch = fields.required("watch").and_then(|at| reader.path(&at, true));
    let upload = fields.required("upload").and_then(|at| upload::mapping(&at, shared));
    let parts = Parts::read(&fields, shared);
    let per = parts.package.as_ref().map_or(Per::Batch, |package| package.per);
    let template = upload.as_ref().and_then(|at| upload::read(at, per, shared));
    let digest = digest(fields.entries(), upload.as_ref().map(|at| at.node), at.node, shared);
    if per != Per::Batch
        && let Some(at) = fields.optional("group_by")
    {
        reader.error(&at, "`group_by` groups batches", Some("remove it, or set `package: batch`".to_owned()));
    }
    if let (Some(Growing::Send { .. }), Some(Finalize::Open(_)), Some(at)) =
        (parts.growing, &parts.finalize, fields.optional("growing"))
    {
        let help = "remove the conditions under `finalize`, or set `growing: wait`".to_owned();
        reader.error(&at, "an open package cannot have files that are still being written", Some(help));
    }
    if let Some((kind, at)) = template.as_ref().map(|template| &template.kind).zip(upload.as_ref()) {
        let open = !matches!(parts.finalize, Some(Finalize::Auto | Finalize::Manual) | None);
        let grouped = per == Per::Batch && fields.optional("group_by").is_some();
        one_recipient_a_package(kind, at, (per, grouped, open), reader);
    }
    if let (Some(true), Some(Symlinks::Within), Some(at)) = (confined, parts.symlinks, fields.optional("symlinks")) {
        let help = "remove one of the two".to_owned();
        reader.error(&at, "a rule that is `confined` follows no symbolic links", Some(help));
    }
    let include = parts.include?;
    let (min_size, max_size) = parts.sizes?;
    Some(Rule {
        name: name?,
        watch: watch?,
        create: parts.create?,
        recursive: parts.recursive?,
        hidden: parts.hidden?,
        temporary: parts.temporary?,
        min_size,
        max_size,
        settle: parts.settle?.0,
        settle_unseen: parts.settle?.1,
        growing: parts.growing?,
        ready: parts.ready?,
        package: parts.package?,
        group_by: parts.group_by?,
        schedule: parts.schedule?,
        upload: template?,
        finalize: parts.finalize?,
        priority: parts.priority?,
        on_change: parts.on_change?,
        on_gone: parts.on_gone?,
        resend: parts.resend?,
        existing: parts.existing?,
        after: parts.after?,
        notify: parts.notify?,
        poll: parts.poll?,
        rescan: parts.rescan?,
        enabled: parts.enabled?,
        symlinks: parts.symlinks?,
        hard_links: parts.hard_links?,
        confined: confined?,
        time_zone: shared.zone.clone(),
        template_env: Arc::clone(&shared.template_env),
        base: reader.base_of(at.node),
        digest,
        file: reader.file_of(at.node),
        line: reader.line(at.node),
        matcher: Matcher::new(
            include.iter().map(String::as_str),
            parts.exclude?.iter().map(String::as_str),
            parts.ignore_case?,
            parts.junk?,
        ),
    })
}

/// Whether the rule follows no link; from here on its paths are read so.
pub(super) fn confined(fields: &Fields<'_, '_>, reader: &Reader<'_>) -> Option<bool> {
    let confined = fields.or("confined", false, |at| reader.boolean(at));
    reader.confine(confined == Some(true));
    confined
}

/// Refuses recipients that depend on the file where files of several recipients could get into one package.
fn one_recipient_a_package(
    kind: &UploadKind,
    at: &At<'_>,
    (per, grouped, open): (Per, bool, bool),
    reader: &Reader<'_>,
) {
    const OF_A_FILE: [&str; 7] = ["files", "first", "item", "path", "stem", "ext", "group"];
    let UploadKind::Email { emails } = kind else { return };
    let depends = emails.iter().any(|item| match item {
        Recipient::Template(template) => OF_A_FILE.iter().any(|name| template.uses(name)),
        Recipient::Address(_) => false,
    });
    if !depends || grouped || (per != Per::Batch && !open) {
        return;
    }
    let emails = at.pairs().iter().find(|(key, _)| key.text() == Some("emails"));
    let place = emails.map_or_else(|| at.clone(), |(_, value)| at.child("emails", value, None));
    let help = if per == Per::Batch {
        "group the files by recipient, like `group_by: \"{{ path[0] }}\"`, or set `package: folder`"
    } else {
        "an open package takes all files of the rule: set `package: batch` and `group_by: \"{{ path[0] }}\"`"
    };
    reader.error(&place, "files of several recipients could get into one package", Some(help.to_owned()));
}

/// Everything in a rule that may be a default; each part is `None` if it is wrong.
struct Parts {
    create: Option<bool>,
    recursive: Option<bool>,
    include: Option<Vec<String>>,
    exclude: Option<Vec<String>>,
    ignore_case: Option<bool>,
    hidden: Option<bool>,
    temporary: Option<bool>,
    junk: Option<Junk>,
    sizes: Option<(Option<u64>, Option<u64>)>,
    settle: Option<(Duration, Duration)>,
    growing: Option<Growing>,
    ready: Option<Ready>,
    package: Option<super::super::settings::Packaging>,
    group_by: Option<Option<super::super::template::Template>>,
    schedule: Option<Schedule>,
    finalize: Option<Finalize>,
    priority: Option<i32>,
    on_change: Option<OnChange>,
    on_gone: Option<OnGone>,
    resend: Option<bool>,
    existing: Option<Existing>,
    after: Option<After>,
    notify: Option<Vec<super::super::settings::Notify>>,
    poll: Option<Poll>,
    rescan: Option<Duration>,
    enabled: Option<bool>,
    symlinks: Option<Symlinks>,
    hard_links: Option<HardLinks>,
}

impl Parts {
    fn read<'a>(fields: &Fields<'_, 'a>, shared: &Shared<'_, 'a>) -> Self {
        let reader = shared.reader;
        let flag = |name, default| fields.or(name, default, |at| reader.boolean(at));
        Self {
            create: flag("create", false),
            recursive: flag("recursive", true),
            include: fields.or("include", vec!["**/*".to_owned()], |at| include(at, reader)),
            exclude: fields.or("exclude", Vec::new(), |at| when::globs(at, reader)),
            ignore_case: flag("ignore_case", false),
            hidden: flag("hidden", false),
            temporary: flag("temporary", false),
            junk: junk(fields.optional("junk"), reader),
            sizes: sizes(fields, reader),
            settle: fields
                .or("settle", (SETTLE, SETTLE_UNSEEN), |at| reader.duration(at).map(|settle| (settle, settle))),
            growing: growing(fields, reader),
            ready: fields.or("ready", Ready::Settled, |at| when::ready(at, reader)),
            package: when::packaging(fields.optional("package"), reader),
            group_by: fields.maybe("group_by", |at| shared.template(at)),
            schedule: fields.or("schedule", Schedule::Always, |at| when::schedule(at, &shared.zone, reader)),
            finalize: fields.or("finalize", Finalize::Auto, |at| when::finalize(at, &shared.zone, reader)),
            priority: fields.or("priority", 0, |at| reader.whole(at)),
            on_change: fields.or("on_change", OnChange::NewPackage, |at| reader.choice(at, &ON_CHANGE)),
            on_gone: fields.or("on_gone", OnGone::SendRest, |at| reader.choice(at, &ON_GONE)),
            resend: flag("resend", false),
            existing: fields.or("existing", Existing::Send, |at| {
                reader.choice(at, &[("send", Existing::Send), ("skip", Existing::Skip)])
            }),
            after: fields
                .or("after", After { complete: AfterComplete::Keep, error: AfterError::Keep }, |at| after(at, shared)),
            notify: fields.or("notify", Vec::new(), |at| notify::list(at, reader)),
            poll: fields.or("poll", Poll::Auto, |at| match at.text() {
                Some("auto") => Some(Poll::Auto),
                _ => reader.interval(at).map(Poll::Every),
            }),
            rescan: fields.or("rescan", RESCAN, |at| reader.interval(at)),
            enabled: flag("enabled", true),
            symlinks: fields.or("symlinks", Symlinks::Skip, |at| {
                reader.choice(at, &[("skip", Symlinks::Skip), ("within", Symlinks::Within)])
            }),
            hard_links: fields.or("hard_links", HardLinks::Own, |at| {
                reader.choice(at, &[("own", HardLinks::Own), ("all", HardLinks::All)])
            }),
        }
    }
}

fn include(at: &At<'_>, reader: &Reader<'_>) -> Option<Vec<String>> {
    let globs = when::globs(at, reader)?;
    if globs.is_empty() {
        let help = "remove it to send everything, or set `enabled: false`".to_owned();
        reader.error(at, "`include` is empty: nothing would be sent", Some(help));
        return None;
    }
    Some(globs)
}

/// Names that are skipped: `true` or `false`, or additions to and exceptions from the list.
fn junk(at: Option<At<'_>>, reader: &Reader<'_>) -> Option<Junk> {
    let none = || Patterns::new([], true);
    let Some(at) = at else { return Some(Junk { on: true, add: none(), keep: none() }) };
    if !at.is_map() {
        return Some(Junk { on: reader.boolean(&at)?, add: none(), keep: none() });
    }
    let fields = reader.fields(&at, JUNK)?;
    let names = |key| fields.or(key, none(), |at| junk_names(at, reader));
    let (add, keep) = (names("add"), names("keep"));
    Some(Junk { on: true, add: add?, keep: keep? })
}

fn junk_names(at: &At<'_>, reader: &Reader<'_>) -> Option<Patterns> {
    let texts = when::globs(at, reader)?;
    let items = at.items();
    if let Some(item) = items.iter().find(|item| item.text().is_some_and(|text| text.contains('/'))) {
        let help = "write the name of one folder or file; patterns of paths belong into `exclude`".to_owned();
        reader.error(item, "expected a name without a slash", Some(help));
        return None;
    }
    Some(Patterns::new(texts.iter().map(String::as_str), true))
}

/// Whether files are sent while they are written.
fn growing(fields: &Fields<'_, '_>, reader: &Reader<'_>) -> Option<Growing> {
    let sends = fields.or("growing", false, |at| reader.choice(at, &[("wait", false), ("send", true)]));
    let least = fields.or("growing_min", GROWING_MIN, |at| reader.size(at));
    let guard = fields.or("growing_guard", GROWING_GUARD, |at| reader.size(at));
    let (sends, least, guard) = (sends?, least?, guard?);
    if !sends {
        for at in ["growing_min", "growing_guard"].iter().filter_map(|key| fields.optional(key)) {
            let message = "this changes nothing: files are not sent while they are being written";
            reader.warn(&at, message, Some("set `growing: send`, or remove it".to_owned()));
        }
        return Some(Growing::Wait);
    }
    Some(Growing::Send { least, guard })
}

fn sizes(fields: &Fields<'_, '_>, reader: &Reader<'_>) -> Option<(Option<u64>, Option<u64>)> {
    let least = fields.maybe("min_size", |at| reader.size(at));
    let most = fields.maybe("max_size", |at| reader.size(at));
    let (least, most) = (least?, most?);
    if let (Some(at), Some(least), Some(most)) = (fields.optional("min_size"), least, most)
        && least > most
    {
        reader.error(&at, "`min_size` is greater than `max_size`: no file could ever match", None);
        return None;
    }
    Some((least, most))
}

/// The id of a rule.
pub(super) fn rule_name(at: &At<'_>, reader: &Reader<'_>) -> Option<String> {
    let name = reader.text(at)?;
    let good = name.len() <= 64
        && !name.starts_with('-')
        && !name.ends_with('-')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !good {
        let help =
            "use lower-case letters and digits, with hyphens between them, at most 64 characters: `client-review`"
                .to_owned();
        reader.error(at, format!("`{name}` is not a valid name for a rule"), Some(help));
        return None;
    }
    if name == "all" {
        let help = "`all` means every rule in commands".to_owned();
        reader.error(at, "`all` is not a valid name for a rule", Some(help));
        return None;
    }
    Some(name)
}

fn after<'a>(at: &At<'a>, shared: &Shared<'_, 'a>) -> Option<After> {
    let reader = shared.reader;
    let complete_words = [("keep", AfterComplete::Keep), ("delete", AfterComplete::Delete)];
    if !at.is_map() {
        let complete = reader.choice(at, &complete_words)?;
        return Some(After { complete, error: AfterError::Keep });
    }
    let fields = reader.fields(at, AFTER)?;
    let complete = fields.or("complete", AfterComplete::Keep, |at| match at.is_map() {
        true => move_target(at, shared).map(AfterComplete::Move),
        false => reader.choice(at, &complete_words),
    });
    let error = fields.or("error", AfterError::Keep, |at| match at.is_map() {
        true => move_target(at, shared).map(AfterError::Move),
        false => reader.choice(at, &[("keep", AfterError::Keep)]),
    });
    Some(After { complete: complete?, error: error? })
}

fn move_target<'a>(at: &At<'a>, shared: &Shared<'_, 'a>) -> Option<MoveTarget> {
    let fields = shared.reader.fields(at, MOVE)?;
    let target = fields.required("move")?;
    let template = shared.template(&target)?;
    if let Some((what, help)) = not_a_place(template.source()) {
        shared.reader.error(&target, format!("`{}` is {what}", template.source()), Some(help.to_owned()));
        return None;
    }
    let target_of =
        MoveTarget { template, base: shared.reader.base_of(target.node), home: shared.reader.environment.home() };
    if target_of.template.source().starts_with('~') && target_of.fixed_part().is_none() {
        let help = "write the full path; only `~/` is expanded, and only if HOME is set".to_owned();
        shared.reader.error(&target, "there is no home folder", Some(help));
        return None;
    }
    Some(target_of)
}
