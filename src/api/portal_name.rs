//! The name of a portal, as people give it: the bare name, its host in the cloud, or the URL of its page.

/// The portal's name in the cloud: `acme` of `acme`, `acme.portal.massive.app`, `https://acme.portal.massive.app/` and
/// `http://hub.example/portals/acme`.
#[must_use]
pub(super) fn portal_name(given: &str) -> String {
    let text = given.trim();
    let address = text.split_once("://").map_or(text, |(_, address)| address);
    let path = address.split_once("/portals/").map(|(_, name)| name);
    let end = |part: &str| part.split(['/', '?', '#']).next().unwrap_or_default().to_owned();
    match path {
        Some(name) => end(name).to_lowercase(),
        None => end(address).split(['.', ':']).next().unwrap_or_default().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Case: a portal is known by its full host name, too.
    #[test]
    fn a_portal_is_known_by_its_name_its_host_or_its_page() {
        for given in [
            "acme",
            " Acme ",
            "acme.portal.massive.app",
            "https://acme.portal.massive.app",
            "https://acme.portal.massive.app/?x=1",
            "http://127.0.0.1:8090/portals/acme",
            "https://files.example.com/portals/acme/#top",
        ] {
            assert_eq!(portal_name(given), "acme", "{given:?}");
        }
        assert_eq!(portal_name("  "), "");
    }
}
