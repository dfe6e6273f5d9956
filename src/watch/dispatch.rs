//! Turns a package into an upload: renders the rule's templates, names the files in the package.
//!
//! **In**: the rule, the files with their states, the time. **Out**: an [`UploadSpec`]. Pure.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Zoned;

use crate::model::{
    Destination, DistinctPaths, PackageOptions, SentList, SourceFile, SourceFiles, SourceList, UploadSpec,
};
use masv_platform::{FileIdentity, PathBeneath};
use masv_protocol::{EmailAddress, PackagePath, TeamId};
use masv_rules::composed;
use masv_rules::{Finalize, Recipient, RecipientTemplate, Rule, Template, TemplateContext, TemplateError, UploadKind};

/// A file to send, as the last scan found it.
#[derive(Debug, Clone)]
pub struct Chosen {
    /// Relative to the watched folder.
    pub relative: Arc<Path>,
    /// Its state.
    pub identity: FileIdentity,
    /// Id of the user who owns it.
    pub owner: u32,
    /// What else there is to say of it; of most there is nothing.
    pub more: Option<Box<More>>,
}

/// What few files have.
#[derive(Debug, Clone, Default)]
pub struct More {
    /// Where its bytes are when that is elsewhere in the watched folder.
    pub target: Option<Arc<Path>>,
    /// What it held when it was compared with checksum lists.
    pub verified: Option<String>,
    /// It is still being written: bytes before its end that are left alone.
    pub guard: Option<u64>,
}

/// What the agent knows that a rule does not.
#[derive(Debug, Clone, Default)]
pub struct Surroundings {
    /// Name of this machine.
    pub host: String,
    /// The team that sends when the rule names none.
    pub team_id: Option<TeamId>,
}

/// A template that could not be rendered for these files.
#[derive(Debug, thiserror::Error)]
#[error("{what}: {why}")]
pub struct Unrenderable {
    /// Which template.
    pub what: String,
    why: TemplateError,
}

/// Whether a template of the rule's uploads asks for the counter, which costs a write.
#[must_use]
pub fn uses_sequence(rule: &Rule) -> bool {
    let metadata = match &rule.upload.kind {
        UploadKind::Portal { metadata, .. } => Some(metadata.values()),
        _ => None,
    };
    let templates = [Some(&rule.upload.name), rule.upload.description.as_ref()];
    let templates = templates.into_iter().flatten().chain(metadata.into_iter().flatten()).map(Template::source);
    templates.chain(recipient_templates(rule).map(RecipientTemplate::source)).any(|source| source.contains("seq"))
}

fn recipient_templates(rule: &Rule) -> impl Iterator<Item = &RecipientTemplate> {
    let emails = match &rule.upload.kind {
        UploadKind::Email { emails } => emails.as_slice(),
        _ => &[],
    };
    emails.iter().filter_map(|item| match item {
        Recipient::Template(template) => Some(template),
        Recipient::Address(_) => None,
    })
}

/// Whether the recipients of a rule's packages are worked out for each.
#[must_use]
pub fn works_out_recipients(rule: &Rule) -> bool {
    recipient_templates(rule).next().is_some()
}

/// To whom these files are mailed; nobody where the rule sends no mail. Recipients are worked out for each file alone, and have to be
/// the same for all: what is one client's must not reach another.
///
/// # Errors
/// [`Unrenderable`] where there is no recipient, or not the same one for all.
pub fn recipients<'a>(
    rule: &Rule,
    surroundings: &Surroundings,
    now: &Zoned,
    (group, sequence): (&str, u64),
    files: impl IntoIterator<Item = (&'a Path, u64)>,
) -> Result<Vec<EmailAddress>, Unrenderable> {
    let UploadKind::Email { emails } = &rule.upload.kind else { return Ok(Vec::new()) };
    let refused = |error: TemplateError| {
        let hint = error.hint.as_ref().map_or_else(String::new, |hint| format!(" ({hint})"));
        let why = TemplateError { message: format!("{}{hint}", error.message), ..error };
        Unrenderable { what: "emails".to_owned(), why }
    };
    let mut known: Option<(&Path, Vec<EmailAddress>)> = None;
    for (path, size) in files {
        let mut context = TemplateContext::for_files(rule, now.clone(), [(path, size)]);
        group.clone_into(&mut context.group);
        context.host.clone_from(&surroundings.host);
        context.seq = sequence;
        let addresses = masv_rules::addresses(emails, &context).map_err(refused)?;
        match &known {
            Some((first, before)) if *before != addresses => {
                let message = format!(
                    "`{}` and `{}` have different recipients, and would go into one package",
                    first.display(),
                    path.display()
                );
                let hint = "group the files by recipient, like `group_by: \"{{ path[0] }}\"`".to_owned();
                return Err(refused(TemplateError { message, hint: Some(hint), place: None }));
            }
            Some(_) => {}
            None => known = Some((path, addresses)),
        }
        // Without a template every file has the same.
        if !works_out_recipients(rule) {
            break;
        }
    }
    Ok(known.map(|(_, addresses)| addresses).unwrap_or_default())
}

/// The value of `group_by` for a file; empty without one.
///
/// # Errors
/// [`Unrenderable`] for a file that the template can do nothing with.
pub fn group_of(
    rule: &Rule,
    surroundings: &Surroundings,
    now: &Zoned,
    path: &Path,
    size: u64,
) -> Result<String, Unrenderable> {
    let Some(template) = &rule.group_by else { return Ok(String::new()) };
    let mut context = TemplateContext::for_files(rule, now.clone(), [(path, size)]);
    context.host.clone_from(&surroundings.host);
    template.render(&context).map_err(|why| Unrenderable { what: "group_by".to_owned(), why })
}

/// The upload of these files.
///
/// # Errors
/// [`Unrenderable`] when a template can do nothing with them.
pub fn order(
    rule: &Rule,
    surroundings: &Surroundings,
    now: &Zoned,
    group: &str,
    sequence: u64,
    files: &Arc<Vec<Chosen>>,
) -> Result<UploadSpec, Unrenderable> {
    let listed = files.iter().map(|file| (Arc::clone(&file.relative), file.identity.size));
    let mut context = TemplateContext::for_files(rule, now.clone(), listed);
    group.clone_into(&mut context.group);
    context.host.clone_from(&surroundings.host);
    context.seq = sequence;
    let line = |what: &str, template: &Template| {
        template.render_line(&context).map_err(|why| Unrenderable { what: what.to_owned(), why })
    };
    let upload = &rule.upload;
    let name = line("name", &upload.name)?;
    let description = match &upload.description {
        Some(template) => {
            let text = template.render(&context);
            Some(text.map_err(|why| Unrenderable { what: "description".to_owned(), why })?)
        }
        None => None,
    };
    let destination = match &upload.kind {
        UploadKind::Email { .. } => {
            let listed = files.iter().map(|file| (&*file.relative, file.identity.size));
            let recipients = recipients(rule, surroundings, now, (group, sequence), listed)?;
            Destination::Email { recipients: recipients.into_iter().map(EmailAddress::into_string).collect() }
        }
        UploadKind::Link => Destination::Link,
        UploadKind::Portal { subdomain, sender, metadata } => Destination::Portal {
            subdomain: subdomain.clone(),
            sender: sender.to_string(),
            access_code: upload.password.clone(),
            metadata: metadata
                .iter()
                .map(|(key, template)| Ok((key.clone(), line(&format!("metadata.{key}"), template)?)))
                .collect::<Result<_, Unrenderable>>()?,
        },
    };
    Ok(UploadSpec {
        destination,
        name: if name.is_empty() { rule.name.clone() } else { name },
        description: description.filter(|text| !text.trim().is_empty()),
        // A portal's password is its access code.
        password: upload.password.clone().filter(|_| !matches!(upload.kind, UploadKind::Portal { .. })),
        options: PackageOptions {
            delete_after: upload.delete_after,
            download_limit: upload.download_limit,
            tag_name: upload.tag.clone(),
            tag_id: upload.tag_id.clone(),
            teamspace_id: upload.teamspace_id.clone(),
            unlimited_storage: upload.unlimited_storage,
            manifest: upload.manifest.map(|list| match list {
                masv_rules::SentList::AscMhl => SentList::AscMhl,
                masv_rules::SentList::Md5 => SentList::Md5,
            }),
        },
        team_id: upload.team_id.clone().map(TeamId::from).or_else(|| surroundings.team_id.clone()),
        chunk_size: upload.chunk_size,
        priority: rule.priority,
        auto_finalize: matches!(rule.finalize, Finalize::Auto),
        rule: Some(rule.name.clone()),
        files: source_files(rule, files),
    })
}

/// The files as the queue takes them: where each is and where it goes. Two that would arrive under the same name
/// (names that differ only in bytes no recipient can see, in being composed or not, or in the case of letters, which macOS
/// and Windows do not tell apart) are numbered.
#[must_use]
pub fn source_files(rule: &Rule, files: &Arc<Vec<Chosen>>) -> SourceFiles {
    let mut paths =
        DistinctPaths::new(|path| composed(Path::new(&path.as_str().to_lowercase())).to_string_lossy().into_owned());
    let mut numbered = HashMap::new();
    for (index, file) in files.iter().enumerate() {
        let Some(wanted) = PackagePath::from_relative(&file.relative) else { continue };
        let path = paths.take(wanted.clone());
        if path != wanted {
            numbered.insert(index, path);
        }
    }
    SourceFiles::new(FilesOfRule { root: rule.place(), chosen: Arc::clone(files), numbered })
}

/// Chosen files of a rule's folder.
#[derive(Debug)]
struct FilesOfRule {
    root: PathBeneath,
    chosen: Arc<Vec<Chosen>>,
    /// The paths in the package of those that have not their own.
    numbered: HashMap<usize, PackagePath>,
}

impl SourceList for FilesOfRule {
    fn count(&self) -> usize {
        self.chosen.len()
    }

    fn file(&self, index: usize) -> Option<SourceFile> {
        let file = self.chosen.get(index)?;
        let path = self.numbered.get(&index).cloned().or_else(|| PackagePath::from_relative(&file.relative))?;
        let target = file.more.as_ref().and_then(|more| more.target.as_deref());
        Some(SourceFile {
            path,
            source: self.root.join(target.unwrap_or(&file.relative)),
            identity: file.identity,
            owner: Some(file.owner),
            claim: Some(PathBuf::from(&*file.relative)),
            verified: file.more.as_ref().and_then(|more| more.verified.clone()),
            guard: file.more.as_ref().and_then(|more| more.guard),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use masv_rules::{SystemEnvironment, parse};

    fn rule(upload: &str) -> Arc<Rule> {
        let text = format!("version: 1\nrules:\n  - {{ name: x, watch: /drop, upload: {{ {upload} }} }}\n");
        let rules = parse(&text, Path::new("/rules.yaml"), &SystemEnvironment).unwrap();
        Arc::clone(&rules.rules[0])
    }

    fn chosen(path: &str) -> Chosen {
        let identity = FileIdentity { size: 5, mtime_ns: 0, ctime_ns: 0, device: 0, inode: 0 };
        Chosen { relative: Path::new(path).into(), identity, owner: 0, more: None }
    }

    #[test]
    fn two_files_that_would_arrive_under_one_name_are_numbered() {
        let named = |names: &[&str]| {
            let files = Arc::new(names.iter().map(|name| chosen(name)).collect());
            source_files(&rule("kind: link"), &files).iter().collect::<Vec<_>>()
        };
        let sources = named(&["a/line%0Abreak.mov", "a/line\nbreak.mov", "b.mov"]);
        let paths: Vec<&str> = sources.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["a/line%0Abreak.mov", "a/line%0Abreak (2).mov", "b.mov"]);
        assert_eq!(sources[1].claim.as_deref(), Some(Path::new("a/line\nbreak.mov")));
        assert_eq!(sources[1].source, PathBeneath::new("/drop", "a/line\nbreak.mov"));
        let sources = named(&["caf\u{e9}.mov", "cafe\u{301}.mov"]);
        assert_eq!(sources[1].path.as_str(), "cafe\u{301} (2).mov");
        // On macOS and Windows the second would overwrite the first.
        let cases = named(&["A/Clip.mov", "a/clip.MOV", "a/other.mov"]);
        let paths: Vec<&str> = cases.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(paths, ["A/Clip.mov", "a/clip (2).MOV", "a/other.mov"]);
    }

    /// Recipients came from the first file: with files of two clients in a package, one got what was the other's.
    #[test]
    fn recipients_are_worked_out_for_each_file_and_have_to_agree() {
        let text = "version: 1\nrecipients: { north: [a@example.com, b@example.com], south: c@example.com }\nrules:\n  - name: x\n    \
                    watch: /drop\n    package: folder\n    upload: { kind: email, emails: ['{{ recipients[path[-1]] }}', A@example.com] }\n";
        let rules = parse(text, Path::new("/rules.yaml"), &SystemEnvironment).unwrap();
        let given = |paths: &[&str]| {
            let files = Arc::new(paths.iter().map(|path| chosen(path)).collect());
            let order = order(&rules.rules[0], &Surroundings::default(), &Zoned::now(), "", 1, &files);
            order.map(|order| match order.destination {
                Destination::Email { recipients } => recipients.join(" "),
                _ => panic!("no mail"),
            })
        };
        assert_eq!(given(&["x/north/1.mov", "x/north/2.mov"]).unwrap(), "a@example.com b@example.com", "each once");
        let told = |paths| given(paths).unwrap_err().to_string();
        let different = told(&["x/north/1.mov", "x/south/2.mov"]);
        assert!(different.contains("`x/north/1.mov` and `x/south/2.mov` have different recipients"), "{different}");
        let missing = told(&["x/nort/1.mov"]);
        assert!(missing.contains("emails: `recipients` has no entry `nort` (did you mean `north`?"), "{missing}");
    }

    #[test]
    fn a_portal_s_password_is_its_access_code_and_templates_are_rendered() {
        let rule = rule(
            "kind: portal, subdomain: acme, sender: a@example.com, password: secret, name: '{{ item }} {{ host }} {{ seq }}', \
             metadata: { project: '{{ path[0] }}' }",
        );
        let surroundings = Surroundings { host: "bench".to_owned(), team_id: Some("team".into()) };
        let files = Arc::new(vec![chosen("A001/clip.mov")]);
        let order = order(&rule, &surroundings, &Zoned::now(), "", 7, &files).unwrap();
        assert_eq!((order.name.as_str(), order.team_id), ("A001 bench 7", Some("team".into())));
        assert!(order.password.is_none() && uses_sequence(&rule));
        let Destination::Portal { access_code, metadata, .. } = order.destination else { panic!("not a portal") };
        assert!(access_code.is_some());
        assert_eq!(metadata["project"], "A001");
    }
}
