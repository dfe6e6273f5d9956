//! The real paths of the folders that a rule names, resolved once, when the rule starts.
//!
//! **In**: the rule. **Out**: the real paths of its watched folder and of the fixed prefixes of its move targets. A link that
//! someone plants there later has no effect: files are moved by these paths, and no link is followed in them. Of a rule that is
//! `confined` they are the paths as written: none of their names may be a link to begin with.

use std::path::{Path, PathBuf};

use masv_platform::{plain_path, real_path};
use masv_rules::{AfterComplete, AfterError, MoveTarget, Rule};

/// What was found out; nothing before it was.
#[derive(Debug, Default)]
pub(super) struct Anchors {
    /// The watched folder's real path.
    pub(super) watch: PathBuf,
    /// The fixed parts of move targets: as written, and really.
    targets: Vec<(PathBuf, PathBuf)>,
}

impl Anchors {
    /// Asks the file system. Blocks.
    pub(super) fn of(rule: &Rule) -> Self {
        let complete = match &rule.after.complete {
            AfterComplete::Move(target) => Some(target),
            _ => None,
        };
        let error = match &rule.after.error {
            AfterError::Move(target) => Some(target),
            AfterError::Keep => None,
        };
        let real_path = |path: &Path| match rule.confined {
            true => Ok(plain_path(path)),
            false => real_path(path),
        };
        let fixed = complete.into_iter().chain(error).filter_map(MoveTarget::fixed_part);
        let targets = fixed.filter_map(|written| Some((written.clone(), real_path(&written).ok()?)));
        Self { watch: real_path(&rule.watch).unwrap_or_else(|_| rule.watch.clone()), targets: targets.collect() }
    }

    /// The real path of a folder that a move target was rendered to; `None` where what is fixed of it could not be found.
    pub(super) fn real(&self, target: &MoveTarget, rendered: &Path) -> Option<PathBuf> {
        let fixed = target.fixed_part()?;
        let (_, real) = self.targets.iter().find(|(written, _)| *written == fixed)?;
        Some(real.join(rendered.strip_prefix(&fixed).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use masv_rules::{SystemEnvironment, TemplateContext, parse};

    #[test]
    fn a_link_at_the_start_is_the_operator_s_and_one_that_comes_later_is_not_followed() {
        let around = tempfile::tempdir().unwrap();
        let root = around.path().canonicalize().unwrap();
        for folder in ["disk", "drop"] {
            std::fs::create_dir(root.join(folder)).unwrap();
        }
        symlink("disk", root.join("store")).unwrap();
        let target = |written: &str| {
            let text = format!(
                "version: 1\nrules:\n  - {{ name: x, watch: drop, upload: {{ kind: link }}, after: {{ complete: {{ move: '{written}' }} }} }}\n"
            );
            let rules = parse(&text, &root.join("rules.yaml"), &SystemEnvironment).unwrap();
            std::sync::Arc::clone(&rules.rules[0])
        };
        for (written, expected) in
            [("store/sent/{{ rule }}", "disk/sent/x"), ("drop/../store/x-{{ rule }}", "disk/x-x"), ("sent", "sent")]
        {
            let rule = target(written);
            let anchors = Anchors::of(&rule);
            symlink("/etc", root.join("sent")).unwrap();
            let AfterComplete::Move(target) = &rule.after.complete else { panic!("no move") };
            let rendered = target.render(&TemplateContext::for_files::<&Path>(&rule, jiff::Zoned::now(), [])).unwrap();
            assert_eq!(anchors.real(target, &rendered), Some(root.join(expected)), "{written}");
            std::fs::remove_file(root.join("sent")).unwrap();
        }
    }
}
