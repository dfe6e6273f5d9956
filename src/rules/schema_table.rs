//! Every key a rules file may have, in one table per section: its meaning, a valid value, and its schema. The
//! reader, its messages, the JSON Schema and the test of the documentation all use these tables.

use super::value_type::Shape;

/// One key of a section.
#[derive(Debug, Clone, Copy)]
pub(super) struct Key {
    pub name: &'static str,
    /// A valid value, as written in YAML.
    pub example: &'static str,
    /// What it means, in a sentence.
    pub about: &'static str,
    /// What a valid value is, for messages: "expected ...".
    pub shape: Shape,
}

/// The id of a rule.
const NAME: Shape = Shape::Like("the name of a rule", "^(?!all$)[a-z0-9]([a-z0-9-]{0,62}[a-z0-9])?$");
/// A window of the day.
const WINDOW: Shape = Shape::Like("two times of the day", r"^\s*\d{1,2}:\d{1,2}\s*-\s*\d{1,2}:\d{1,2}\s*$");
/// A cron expression.
pub(super) const CRON: Shape =
    Shape::Like("a cron expression", r"^\s*(@\w+|[^\s,]+(,[^\s,]+)*(\s+[^\s,]+(,[^\s,]+)*){4,5})\s*$");
const CRONS: Shape = Shape::Either(&[CRON, Shape::ListOf(&CRON)]);
/// An e-mail address.
pub(super) const EMAIL: Shape = Shape::Like("an e-mail address", r"^[^@\s,;]+@[^@\s,;]+$");

/// One, or a template that gives some.
const RECIPIENT: Shape = Shape::Like("an e-mail address or a template", r"^[^@\s,;]+@[^@\s,;]+$|\{\{|\{%");

const COUNT: Shape = Shape::Whole { least: 1, most: None };

const fn key(name: &'static str, shape: Shape, example: &'static str, about: &'static str) -> Key {
    Key { name, example, about, shape }
}

pub(super) const FILE: &[Key] = &[
    key("version", Shape::Whole { least: 1, most: Some(1) }, "1", "Version of this format: 1."),
    key(
        "timezone",
        Shape::Text,
        "America/Toronto",
        "IANA time zone of schedules and of `now` in templates; defaults to the system's.",
    ),
    key("template_env", Shape::Texts, "[PROJECT]", "Environment variables that templates may read as `env.NAME`."),
    key(
        "cloud",
        Shape::Defined("cloud"),
        "{ url: https://api.massive.app }",
        "The cloud to send to; defaults to the embedded hub.",
    ),
    key(
        "hub",
        Shape::Defined("hub"),
        "{ listen: 192.168.1.20:8090 }",
        "How the agent's own hub is reached and sends mail, where no cloud is named.",
    ),
    key(
        "defaults",
        Shape::Defined("defaults"),
        "{ settle: 10s }",
        "Defaults for all rules: any rule key except `name` and `watch`; a rule may override them.",
    ),
    key(
        "recipients",
        Shape::Either(&[Shape::Text, Shape::Defined("recipients")]),
        "{ north: [post@north.example.com] }",
        "Addresses by name, or the path of a CSV or YAML file of them; `emails` looks them up: `{{ recipients[path[0]] }}`.",
    ),
    key(
        "include",
        Shape::Texts,
        "rules.d",
        "Further files with rules: paths, folders (every `*.yaml` and `*.yml` in them) or patterns, relative to this file.",
    ),
    key("uploads", Shape::Defined("uploads"), "{ review: { kind: link } }", "Upload templates that rules refer to."),
    key(
        "rules",
        Shape::Defined("rules"),
        "[{ name: dailies, watch: ./drop, upload: { kind: link } }]",
        "The rules; a file belongs to the first one that matches.",
    ),
];

/// What a file that is included may have.
pub(super) const INCLUDED: &[Key] = &[
    key("version", Shape::Whole { least: 1, most: Some(1) }, "1", "Version of this format: 1."),
    key("uploads", Shape::Defined("uploads"), "{ review: { kind: link } }", "Upload templates that rules refer to."),
    key(
        "rules",
        Shape::Defined("rules"),
        "[{ name: dailies, watch: ./drop, upload: { kind: link } }]",
        "The rules; they come after those of the files before.",
    ),
];

pub(super) const CLOUD: &[Key] = &[
    key("url", Shape::Text, "https://api.massive.app", "Base URL, without a version."),
    key(
        "api_key",
        Shape::Secret,
        "${MASV_API_KEY}",
        "API key; not needed with a user session, or if only portals are used.",
    ),
    key("team", Shape::Text, "${MASV_TEAM_ID}", "Team id; not needed if the key or session has only one team."),
];

pub(super) const HUB: &[Key] = &[
    key(
        "listen",
        Shape::Text,
        "192.168.1.20:8090",
        "Address and port that it listens on for recipients; absent is this machine only.",
    ),
    key(
        "public_url",
        Shape::Text,
        "https://send.example.com",
        "Where recipients reach it; absent is the address that it listens on.",
    ),
    key(
        "trusted_proxies",
        Shape::Texts,
        "[127.0.0.1]",
        "Addresses or networks of the proxies in front: what they say of their callers is believed.",
    ),
    key(
        "tls",
        Shape::Defined("tls"),
        "{ certificate: hub.pem, key: hub.key }",
        "Its certificate; absent is plain HTTP.",
    ),
    key(
        "smtp",
        Shape::Defined("smtp"),
        "{ url: \"smtp://mail.example.com:587?tls=required\" }",
        "The mail server; absent, mails become files in `hub/outbox`.",
    ),
    key("mail_from", Shape::Text, "Post House <post@example.com>", "Whom its mails are from."),
];

pub(super) const TLS: &[Key] = &[
    key("certificate", Shape::Text, "hub.pem", "PEM file with the certificate chain."),
    key("key", Shape::Text, "hub.key", "PEM file with its key."),
];

pub(super) const SMTP: &[Key] = &[
    key(
        "url",
        Shape::Text,
        "smtp://mail.example.com:587?tls=required",
        "`smtps://HOST:465`, `smtp://HOST:587?tls=required` (STARTTLS) or `smtp://HOST:25` (no encryption).",
    ),
    key("user", Shape::Text, "post@example.com", "Name to sign in with."),
    key("password", Shape::Secret, "{ file: smtp-password }", "Password to sign in with."),
    key(
        "ca",
        Shape::Text,
        "office-ca.pem",
        "PEM file of the authority that signed its certificate; absent is the system's.",
    ),
];

pub(super) const RULE: &[Key] = &[
    key("name", NAME, "dailies", "Unique id of lower-case letters, digits and hyphens."),
    key("watch", Shape::Text, "/srv/drop/dailies", "The folder: absolute, `~`, or relative to this file."),
    key("create", Shape::Boolean, "true", "Create the folder if it is missing."),
    key("recursive", Shape::Boolean, "false", "Include subfolders."),
    key(
        "include",
        Shape::Texts,
        "[\"*.mov\", \"*.mxf\"]",
        "Globs of files to send, matched against the path relative to `watch`, or against the name if there is no slash.",
    ),
    key("exclude", Shape::Texts, "[\"proxies/**\"]", "Globs of files to exclude; takes precedence over `include`."),
    key("ignore_case", Shape::Boolean, "true", "Patterns ignore case."),
    key("hidden", Shape::Boolean, "true", "Also send names that start with a dot."),
    key("temporary", Shape::Boolean, "true", "Also send names of unfinished files (`*.tmp`, `*.part`, ...)."),
    key(
        "junk",
        Shape::Either(&[Shape::Boolean, Shape::Defined("junk")]),
        "{ add: [\"*.bak\"], keep: [\"@tmp\"] }",
        "Files that systems leave in folders, which are skipped; `false` sends them.",
    ),
    key("min_size", Shape::Size, "1MB", "Minimum size: smaller files are not sent."),
    key("max_size", Shape::Size, "500GB", "Maximum size: larger files are not sent."),
    key(
        "settle",
        Shape::Duration,
        "10s",
        "How long a file must stay unchanged to count as complete; defaults to 5s, or 30s where writers cannot be detected.",
    ),
    key(
        "growing",
        Shape::Choice(&["wait", "send"]),
        "send",
        "What happens to a large file while it is being written: it waits, or is sent meanwhile.",
    ),
    key("growing_min", Shape::Size, "1GB", "With `growing: send`: smaller files wait; defaults to 256MB."),
    key(
        "growing_guard",
        Shape::Size,
        "128MB",
        "With `growing: send`: so much before the end of the file is not sent while it is being written; defaults to 64MB.",
    ),
    key(
        "ready",
        Shape::Either(&[Shape::Choice(&["settled"]), Shape::Defined("ready")]),
        "{ marker: \".done\" }",
        "What makes an item ready, besides being settled.",
    ),
    key(
        "package",
        Shape::Either(&[Shape::Choice(&["file", "folder", "batch"]), Shape::Defined("package")]),
        "{ per: batch, quiet: 30s }",
        "What becomes one package.",
    ),
    key(
        "group_by",
        Shape::Template,
        "\"{{ path[0] }}\"",
        "Batch: items for which this renders to the same value go into one package.",
    ),
    key(
        "schedule",
        Shape::Defined("schedule"),
        "{ between: \"22:00-06:00\", days: mon-fri }",
        "When packages may be created.",
    ),
    key(
        "upload",
        Shape::Either(&[Shape::Text, Shape::Defined("upload")]),
        "{ kind: link }",
        "The name of an upload template, or an inline one.",
    ),
    key(
        "finalize",
        Shape::Either(&[Shape::Choice(&["auto", "manual"]), Shape::Defined("finalize")]),
        "{ quiet: 20m }",
        "When a package is closed for good.",
    ),
    key(
        "priority",
        Shape::Whole { least: -1_000_000, most: Some(1_000_000) },
        "10",
        "Priority of its transfers; higher priorities go first.",
    ),
    key(
        "on_change",
        Shape::Choice(&["new_package", "append", "ignore"]),
        "append",
        "A file already sent comes back with other content.",
    ),
    key("on_gone", Shape::Choice(&["send_rest", "wait"]), "wait", "A file of a package vanishes before it was sent."),
    key("resend", Shape::Boolean, "true", "Send a file again if it reappears unchanged."),
    key(
        "existing",
        Shape::Choice(&["send", "skip"]),
        "skip",
        "What to do with files that exist when the rule first starts.",
    ),
    key(
        "after",
        Shape::Either(&[Shape::Choice(&["keep", "delete"]), Shape::Defined("after")]),
        "{ complete: { move: sent } }",
        "What happens to source files.",
    ),
    key(
        "notify",
        Shape::ListOf(&Shape::Defined("notify")),
        "[{ webhook: \"https://example.com/hook\" }]",
        "Notifications: who, and of which events.",
    ),
    key(
        "poll",
        Shape::Either(&[Shape::Choice(&["auto"]), Shape::Duration]),
        "30s",
        "How changes are noticed between full scans.",
    ),
    key("rescan", Shape::Duration, "5m", "Maximum time between full scans."),
    key("enabled", Shape::Boolean, "false", "Whether the rule is enabled."),
    key("symlinks", Shape::Choice(&["skip", "within"]), "within", "Whether to follow symbolic links."),
    key("hard_links", Shape::Choice(&["own", "all"]), "all", "Which files with several names (hard links) are sent."),
    key(
        "confined",
        Shape::Boolean,
        "true",
        "Follow no symbolic link on the way to any folder or file that the rule names.",
    ),
];

pub(super) const DOWNLOAD: &[Key] = &[
    key("name", NAME, "from-clients", "Unique id of lower-case letters, digits and hyphens."),
    key("portal", Shape::Text, "acme", "Subdomain of the portal whose deliveries are downloaded."),
    key(
        "portals",
        Shape::Either(&[Shape::Choice(&["all"]), Shape::ListOf(&Shape::Text)]),
        "all",
        "`all` portals of the team, or a list of subdomains.",
    ),
    key("team", Shape::Text, "01HZX3Q4", "Id of the team that owns the portals; defaults to the one under `cloud`."),
    key("into", Shape::Text, "/srv/incoming", "The folder: absolute, `~`, or relative to this file."),
    key("package_folder", Shape::Boolean, "false", "Give each package its own folder."),
    key("portal_folder", Shape::Boolean, "true", "Put packages in a subfolder named after their portal."),
    key(
        "since",
        Shape::Text,
        "2026-11-01",
        "Only packages finalized at or after this time; defaults to the rule's first start.",
    ),
    key(
        "priority",
        Shape::Whole { least: -1_000_000, most: Some(1_000_000) },
        "10",
        "Priority of its transfers; higher priorities go first.",
    ),
    key("poll", Shape::Duration, "60s", "How often the inbox is polled."),
    key(
        "after",
        Shape::Either(&[Shape::Choice(&["keep", "delete"]), Shape::Defined("after_download")]),
        "{ complete: delete }",
        "What happens to the package in the cloud.",
    ),
    key(
        "notify",
        Shape::ListOf(&Shape::Defined("notify")),
        "[{ webhook: \"https://example.com/hook\" }]",
        "Notifications: who, and of which events.",
    ),
    key("enabled", Shape::Boolean, "false", "Whether the rule is enabled."),
    key("confined", Shape::Boolean, "true", "Follow no symbolic link on the way to the folder."),
];

pub(super) const AFTER_DOWNLOAD: &[Key] =
    &[key("complete", Shape::Choice(&["keep", "delete"]), "delete", "Once the whole package is on disk.")];

pub(super) const PACKAGE: &[Key] = &[
    key("per", Shape::Choice(&["file", "folder", "batch"]), "batch", "What goes into one package."),
    key(
        "quiet",
        Shape::Duration,
        "30s",
        "Folder and batch: the package is created once nothing new has arrived for this long.",
    ),
    key("max_wait", Shape::Duration, "15m", "Batch: maximum wait after the first ready file."),
    key("min_files", COUNT, "1", "Minimum number of files in a package; fewer wait for more."),
    key("max_files", COUNT, "10000", "Maximum number of files in a package; more begin another one."),
    key("max_bytes", Shape::Size, "1TB", "Maximum size of a package; more begins another one."),
];

pub(super) const JUNK: &[Key] = &[
    key("add", Shape::Texts, "[\"*.bak\"]", "Additional names of files and folders to skip, at any depth."),
    key("keep", Shape::Texts, "[\"@tmp\"]", "Names from the list that are sent anyway."),
];

pub(super) const READY: &[Key] = &[
    key(
        "marker",
        Shape::Text,
        "\".done\"",
        "Ready when this file exists beside the item (`clip.mov.done`) or inside the folder.",
    ),
    key("manifest", Shape::Texts, "\"*.mhl\"", "Ready when all files in a checksum list of this name exist and match."),
    key(
        "unlisted",
        Shape::Choice(&["wait", "send"]),
        "send",
        "With `manifest`: what happens to files that are not in any list.",
    ),
];

pub(super) const SCHEDULE: &[Key] = &[
    key("between", WINDOW, "\"22:00-06:00\"", "From one time of day to another."),
    key("days", Shape::Texts, "mon-fri", "Days on which the window begins; defaults to every day."),
];

pub(super) const FINALIZE: &[Key] = &[
    key("quiet", Shape::Duration, "20m", "Nothing new has arrived for this long."),
    key("at", CRONS, "\"0 18 * * mon-fri\"", "A cron moment has come."),
    key("marker", Shape::Text, "SEND", "A file with this name is in the watched folder."),
    key("files", COUNT, "100", "It has this many files."),
    key("bytes", Shape::Size, "500GB", "It has reached this size."),
];

pub(super) const AFTER: &[Key] = &[
    key(
        "complete",
        Shape::Either(&[Shape::Choice(&["keep", "delete"]), Shape::Defined("move")]),
        "{ move: sent }",
        "Once the cloud has confirmed the package.",
    ),
    key(
        "error",
        Shape::Either(&[Shape::Choice(&["keep"]), Shape::Defined("move")]),
        "keep",
        "Once the package has failed for good.",
    ),
];

pub(super) const MOVE: &[Key] =
    &[key("move", Shape::Template, "\"sent/{{ date }}\"", "A folder: absolute, `~`, or relative to this file.")];

pub(super) const EVENTS: &[&str] = &[
    "package.created",
    "upload.idle",
    "upload.complete",
    "upload.error",
    "download.created",
    "download.complete",
    "download.error",
    "rule.error",
];

pub(super) const NOTIFY: &[Key] = &[
    key("webhook", Shape::Text, "https://example.com/hook", "URL that gets a POST."),
    key("secret", Shape::Secret, "${HOOK_SECRET}", "Key for signing the POST."),
    key("exec", Shape::Texts, "[/usr/local/bin/sent, --quiet]", "Program and arguments; run without a shell."),
    key("events", Shape::ListOf(&Shape::Choice(EVENTS)), "[upload.complete]", "Which events; defaults to all."),
];

pub(super) const UPLOAD: &[Key] = &[
    key(
        "kind",
        Shape::Choice(&["email", "link", "portal"]),
        "link",
        "By e-mail to recipients, as a shareable link, or to a portal.",
    ),
    key("name", Shape::Template, "\"{{ rule }} {{ date }}\"", "Name of the package."),
    key("description", Shape::Template, "\"{{ count }} files, {{ bytes | filesize }}\"", "Message to the recipients."),
    key("password", Shape::Secret, "${REVIEW_PASSWORD}", "Password for the download, or the portal's access code."),
    key("chunk_size", Shape::Size, "64MiB", "Size of a chunk (part); defaults to the agent's setting."),
    key(
        "manifest",
        Shape::Choice(&["asc-mhl", "md5"]),
        "asc-mhl",
        "Add a checksum list of what was sent to the package, as proof of delivery.",
    ),
    key(
        "emails",
        Shape::Either(&[RECIPIENT, Shape::ListOf(&RECIPIENT)]),
        "[client@example.com]",
        "E-mail: the recipients; addresses, or templates that give them.",
    ),
    key(
        "delete_after",
        Shape::Whole { least: 1, most: Some(3650) },
        "14",
        "E-mail and link: days until the cloud deletes the package.",
    ),
    key("download_limit", COUNT, "10", "E-mail and link: how many times the package may be downloaded."),
    key("tag", Shape::Text, "review", "E-mail and link: name of the package's tag."),
    key("tag_id", Shape::Text, "01HZX3Q4", "E-mail and link: id of the package's tag."),
    key("team_id", Shape::Text, "01HZX3Q4", "E-mail and link: team to send as, if not the one under `cloud`."),
    key("teamspace_id", Shape::Text, "01HZX3Q4", "E-mail and link: teamspace for the package."),
    key("unlimited_storage", Shape::Boolean, "true", "E-mail and link: keep the package without an expiry."),
    key("subdomain", Shape::Text, "acme", "Portal: its subdomain."),
    key("sender", EMAIL, "ingest@example.com", "Portal: e-mail address of the sender."),
    key("metadata", Shape::Templates, "{ project: \"{{ path[0] }}\" }", "Portal: values for its form."),
];

/// Keys of an upload that only e-mail and link uploads have.
pub(super) const NOT_FOR_PORTALS: &[&str] =
    &["emails", "delete_after", "download_limit", "tag", "tag_id", "team_id", "teamspace_id", "unlimited_storage"];

/// Keys of an upload that only portal uploads have.
pub(super) const ONLY_FOR_PORTALS: &[&str] = &["subdomain", "sender", "metadata"];

/// The names of a section's keys.
pub(super) fn names(section: &[Key]) -> Vec<&'static str> {
    section.iter().map(|key| key.name).collect()
}

/// Whether a key is only for the author of the file: `x-...` at the top level is for YAML anchors.
pub(super) fn is_free(section: &[Key], name: &str) -> bool {
    name.starts_with("x-") && section.iter().any(|key| key.name == "version")
}
