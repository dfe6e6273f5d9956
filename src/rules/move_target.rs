//! Where source files are moved to.

use std::path::PathBuf;

use super::reader::resolved;
use super::template::{Template, TemplateContext, TemplateError};

/// A folder to move files to; each file keeps its path relative to the watched folder below it.
#[derive(Debug, Clone)]
pub struct MoveTarget {
    /// Renders to the folder.
    pub template: Template,
    pub(super) base: PathBuf,
    pub(super) home: Option<PathBuf>,
}

impl MoveTarget {
    /// The folder for this package: absolute, `~`, or relative to the rules file.
    ///
    /// # Errors
    /// If the template fails for these files, or if the result is outside its fixed part: a variable that
    /// contains `..` cannot lead elsewhere.
    pub fn render(&self, context: &TemplateContext) -> Result<PathBuf, TemplateError> {
        let refused = |message: String, hint: &str| TemplateError { message, hint: Some(hint.to_owned()), place: None };
        let text = self.template.render_line(context)?;
        let fixed = self.written_part();
        let steps_up = |path: &str| path.split('/').filter(|part| part.trim() == "..").count();
        if text.is_empty() || steps_up(&text) > steps_up(fixed) {
            return Err(refused(
                format!("`{text}` is not a valid folder to move to"),
                "use the `slug` filter on names",
            ));
        }
        // A file may be named `~`: it means home only where the rules file itself says so.
        let home = self.home.as_deref().filter(|_| fixed.starts_with('~'));
        resolved(&text, &self.base, home)
            .ok_or_else(|| refused(format!("there is no home folder for `{text}`"), "write the full path"))
    }

    /// The folder that contains every rendering; `None` if `~` has no meaning.
    #[must_use]
    pub fn fixed_part(&self) -> Option<PathBuf> {
        let written = self.written_part();
        let whole = written.len() == self.template.source().len();
        let folder = if whole { written } else { written.rfind('/').map_or("", |at| &written[..=at]) };
        resolved(folder, &self.base, self.home.as_deref())
    }

    /// The text before the first variable.
    fn written_part(&self) -> &str {
        let source = self.template.source();
        source.find(['{']).map_or(source, |at| &source[..at])
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::settings::AfterComplete;
    use crate::template::tests::context;
    use crate::tests::rule;

    fn target(written: &str, item: &str) -> Result<PathBuf, TemplateError> {
        let rule = rule(&format!("after: {{ complete: {{ move: \"{written}\" }} }}"));
        let AfterComplete::Move(target) = &rule.after.complete else { panic!("no move") };
        target.render(&TemplateContext { item: item.to_owned(), ..context() })
    }

    #[test]
    fn move_targets_are_absolute_of_home_or_relative_to_the_file() {
        assert_eq!(target("/srv/sent/{{ date }}", "x").unwrap(), Path::new("/srv/sent/2026-11-25"));
        assert_eq!(target("~/sent", "x").unwrap(), Path::new("/home/me/sent"));
        assert_eq!(target("../sent/{{ item }}", "x").unwrap(), Path::new("/etc/masv/../sent/x"));
    }

    #[test]
    fn a_name_can_not_lead_a_move_elsewhere() {
        for item in ["..", "../..", "a/../../b", "/../x"] {
            assert!(target("/srv/sent/{{ item }}", item).is_err(), "{item}");
        }
        assert!(target("/srv/sent/{{ item }}", "a\u{0}b").is_ok(), "control characters become spaces");
        assert_eq!(target("/srv/sent/{{ item }}", "/etc").unwrap(), Path::new("/srv/sent/etc"));
        assert!(target("{{ item }}", "~").is_err());
        assert!(target("  /srv/{{ item }}", "../x").is_err());
        assert!(target("/srv/.{{ item }}", ".").is_err());
    }
}
