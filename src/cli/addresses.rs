//! E-mail addresses as people type and paste them: comma-separated, with spaces around them and stray commas.

use masv_protocol::{EmailAddress, InvalidEmailAddress};

use super::error::CliError;

/// The addresses of a flag; empty ones are skipped.
pub(super) fn addresses(flag: &str, typed: &[String]) -> Result<Vec<EmailAddress>, CliError> {
    let invalid = |error: InvalidEmailAddress| CliError::usage(format!("{flag}: {error}"));
    let given = typed.iter().filter(|text| !text.trim().is_empty());
    given.map(|text| text.parse().map_err(invalid)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(pasted: &str) -> Result<Vec<String>, String> {
        let typed: Vec<String> = pasted.split(',').map(str::to_owned).collect();
        let all = addresses("--emails", &typed).map_err(|error| error.message)?;
        Ok(all.into_iter().map(EmailAddress::into_string).collect())
    }

    /// Pasted lists, with spaces after the commas and one comma too many, were refused.
    #[test]
    fn a_pasted_list_is_read() {
        let both = || Ok(vec!["a@example.com".to_owned(), "b@example.com".to_owned()]);
        for pasted in
            ["a@example.com,b@example.com", " a@example.com, b@example.com,", "a@example.com,,b@example.com\n"]
        {
            assert_eq!(read(pasted), both(), "{pasted:?}");
        }
        assert_eq!(read(""), Ok(Vec::new()));
        assert_eq!(read("a@example.com,x@y..z"), Err("--emails: \"x@y..z\" is not a valid mail address".to_owned()));
    }
}
