//! When the hub refuses (400) what the schemas of its document allow.
//!
//! A schema bounds one value; what is here depends on several, or cannot be written as a pattern. A client that keeps to both is not refused.

/// The calls by their operation id, each with the rest of a sentence that begins with "If".
const REFUSALS: &[(&str, &str)] = &[
    ("change_password", "the new password is shorter than 8 characters."),
    ("accept_invitation", "the new password is shorter than 8 characters."),
    ("create_package", PACKAGE),
    ("change_package", PACKAGE),
    ("create_portal_package", "the sender is not an e-mail address, or what the portal's form requires is missing."),
    ("set_package_metadata", "a value is not one of the portal's form."),
    ("set_package_expiry", "not exactly one of the two fields is given, or the time is in the past."),
    ("create_file", "the name is empty or leads out of its folder, or the kind, the size or the time is not valid."),
    ("create_files", "the name of one is empty or leads out of its folder, or there are more than a batch may have."),
    ("create_part_addresses", "`start` and `count` name more parts than a file may have."),
    ("finalize_file", "parts are missing, or are not those that were stored."),
    ("finalize_files", "parts of one are missing, or there are more than a batch may have."),
    ("create_link", LINK),
    ("change_link", LINK),
    ("change_link_of_package", LINK),
    ("create_team", NAME),
    ("create_tag", NAME),
    ("create_webhook", WEBHOOK),
    ("change_webhook", WEBHOOK),
    ("change_webhook_by_id", WEBHOOK),
    ("add_member", MEMBER),
    ("change_member", MEMBER),
    ("create_key", KEY),
    ("change_key", KEY),
    ("change_key_by_id", KEY),
    ("create_portal", PORTAL),
    ("change_portal", PORTAL),
    ("create_form", FORM),
    ("change_form", FORM),
];

const NAME: &str = "the name does not have 1 to 255 bytes, or has control characters.";
const PACKAGE: &str =
    "an address is not an e-mail address, the tag, the team space or the metadata is not known, or a text is too long.";
const LINK: &str = "the address is not an e-mail address, the time is in the past, or the package is not finalized.";
const WEBHOOK: &str = "the URL is not one that the hub may call, or the name, an event or a header is not valid.";
const MEMBER: &str = "the address is missing or not an e-mail address, the password is shorter than 8 characters, or the \
                      name is not valid.";
const KEY: &str = "the name does not have 1 to 255 bytes, or the time is in the past.";
const PORTAL: &str = "the subdomain is missing or does not consist of at most 63 lower-case letters, digits and inner \
                      hyphens, an address or a webhook is not valid, or a limit contradicts another.";
const FORM: &str = "a field has no name or the name of another, or lacks the options that its type requires.";

/// When the call is refused though its schemas allow what it is given.
pub(crate) fn of(id: &str) -> Option<String> {
    REFUSALS.iter().find(|(call, _)| *call == id).map(|(_, when)| format!("If {when}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_is_one_of_a_call_that_is_there() {
        let document = crate::hub::document().to_string();
        for (id, _) in REFUSALS {
            assert!(document.contains(&format!("\"operationId\":\"{id}\"")), "{id}");
        }
    }
}
