//! What the protocol says about a team besides its name: the same for every team of a hub.

use masv_protocol::{Team, User};

use super::packages::MOST_RECIPIENTS;
use crate::Hub;

/// The one kind of account that there is.
const LEVEL: &str = "basic";
/// All times of the hub are in this zone.
const TIME_ZONE: &str = "UTC";

/// A team with its limits.
pub(super) fn with_limits(hub: &Hub, team: Team) -> Team {
    Team {
        subdomain: Some(subdomain(&team)),
        custom_expiry_default: Some(hub.context.config.default_expiry_days.map_or(0, u64::from)),
        custom_expiry_enabled: Some(true),
        download_limit_default: Some(0),
        download_limit_enabled: Some(true),
        max_email_recipients: u64::try_from(MOST_RECIPIENTS).ok(),
        ..team
    }
}

/// The teams with their limits.
pub(super) fn all_with_limits(hub: &Hub, teams: Vec<Team>) -> Vec<Team> {
    teams.into_iter().map(|team| with_limits(hub, team)).collect()
}

/// A person of these teams.
pub(super) fn person(user: User, teams: &[Team]) -> User {
    User {
        level: Some(LEVEL.to_owned()),
        time_zone: Some(TIME_ZONE.to_owned()),
        preferred_team_id: teams.first().map(|team| team.id.clone()),
        ..user
    }
}

/// A name for addresses, made of the team's; of its id where nothing is left of that.
fn subdomain(team: &Team) -> String {
    let plain = |letter: char| if letter.is_ascii_alphanumeric() { letter.to_ascii_lowercase() } else { '-' };
    let name: String = team.name.chars().map(plain).collect();
    let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
    if words.is_empty() { team.id.as_str().to_ascii_lowercase() } else { words.join("-") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_team_has_a_name_for_addresses() {
        let named = |name: &str| subdomain(&Team::new("01AB".into(), name.to_owned()));
        assert_eq!((named("Post  Production & VFX").as_str(), named("制作").as_str()), ("post-production-vfx", "01ab"));
    }
}
