//! Finding one thing by what was typed: its id, the end of its id, or its name.
//!
//! **Guarantees.** What fits several things is never taken for one of them: the error lists them.

use super::error::{CliError, Exit};

/// How many candidates an error lists.
const LISTED: usize = 8;

/// What can be named on the command line.
pub(super) struct Named<'a> {
    /// What it is called, such as `upload`.
    pub(super) kind: &'a str,
    /// The command that lists them.
    pub(super) list: &'a str,
    /// Whether the beginning of an id is understood, too: ids that people have chosen begin differently.
    pub(super) by_beginning: bool,
}

impl Named<'_> {
    /// The one of `all` that was typed; `parts` are the id and the name of one, and what else tells it from others.
    ///
    /// # Errors
    /// There is none, or there are several.
    pub(super) fn one<T>(
        &self,
        typed: &str,
        all: Vec<T>,
        parts: impl Fn(&T) -> (String, String, String),
    ) -> Result<T, CliError> {
        let lower = typed.to_ascii_lowercase();
        let mut fitting: Vec<T> = Vec::new();
        for one in all {
            let (id, name, _) = parts(&one);
            if id == typed {
                return Ok(one);
            }
            let id = id.to_ascii_lowercase();
            let part = id.ends_with(&lower) || (self.by_beginning && id.starts_with(&lower));
            if !typed.is_empty() && (part || name == typed) {
                fitting.push(one);
            }
        }
        if fitting.len() > 1 {
            return Err(self.several(typed, &fitting, parts));
        }
        fitting.pop().ok_or_else(|| self.none(typed))
    }

    /// There is none.
    pub(super) fn none(&self, typed: &str) -> CliError {
        CliError::new(Exit::NotFound, format!("there is no {} {typed}", self.kind))
            .hint(format!("`{}` lists them; give an id, the end of one, or a name", self.list))
    }

    fn several<T>(&self, typed: &str, fitting: &[T], parts: impl Fn(&T) -> (String, String, String)) -> CliError {
        let mut lines: Vec<String> = fitting
            .iter()
            .take(LISTED)
            .map(|one| {
                let (id, name, more) = parts(one);
                format!("{id}  {name}  {more}").trim_end().to_owned()
            })
            .collect();
        if fitting.len() > LISTED {
            lines.push("…".to_owned());
        }
        CliError::usage(format!("{typed:?} fits several {}s; give the id of one, or more of its end", self.kind))
            .hint(lines.join("\n  "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const UPLOAD: Named<'_> = Named { kind: "upload", list: "masv upload ls", by_beginning: false };

    fn find(typed: &str) -> Result<String, CliError> {
        let all = [("01aa-7f31", "dailies"), ("01aa-9f31", "rushes"), ("01aa-0001", "rushes"), ("01aa-f31b", "9f31")];
        let parts = |one: &(&str, &str)| (one.0.to_owned(), one.1.to_owned(), "complete".to_owned());
        UPLOAD.one(typed, all.to_vec(), parts).map(|one| one.0.to_owned())
    }

    /// Only all 36 characters of an id were understood, of which the first dozen are the same in every id of a day.
    #[test]
    fn an_id_its_end_and_a_name_are_understood() {
        for (typed, id) in
            [("01aa-7f31", "01aa-7f31"), ("7f31", "01aa-7f31"), ("7F31", "01aa-7f31"), ("dailies", "01aa-7f31")]
        {
            assert_eq!(find(typed).unwrap(), id, "{typed}");
        }
    }

    #[test]
    fn a_rule_is_understood_by_its_beginning() {
        let rule = Named { kind: "rule", list: "masv rule ls", by_beginning: true };
        let find = |typed: &str| {
            let rules = ["dailies", "dailies-2", "wrap"].map(str::to_owned).to_vec();
            rule.one(typed, rules, |name| (name.clone(), String::new(), String::new()))
        };
        assert_eq!((find("wr").unwrap(), find("dailies").unwrap()), ("wrap".to_owned(), "dailies".to_owned()));
        assert!(find("dai").is_err() && find("x").is_err());
    }

    #[test]
    fn what_fits_several_things_is_none_of_them() {
        for (typed, shown) in
            [("rushes", "01aa-0001  rushes  complete"), ("f31", "01aa-9f31"), ("9f31", "01aa-f31b  9f31")]
        {
            let error = find(typed).unwrap_err();
            assert!(error.exit == Exit::Usage && error.hint.unwrap().contains(shown), "{typed}");
        }
        for typed in ["", "dail", "01aa"] {
            assert!(find(typed).unwrap_err().exit == Exit::NotFound, "{typed:?}");
        }
    }
}
