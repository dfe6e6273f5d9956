//! The appearance of the pages of a portal and of a team's links, if the team has chosen a colour, a logo or a background.

use std::fmt::Write;

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use masv_protocol::LinkId;

use super::link::{Token, visit_of};
use super::refused;
use crate::Hub;
use crate::http::access::{Id, Public};
use crate::http::query::Asked;
use crate::http::refusal::Refusal;
use crate::records::packages::Package;
use crate::records::portals::{self, Brand};
use crate::records::{links, teams};

/// From this luminance on, black letters are easier to read than white ones.
const LIGHT: f64 = 0.18;

/// The style sheet of a portal.
pub(super) async fn style(Public(hub): Public, Path(subdomain): Path<String>, headers: HeaderMap) -> Response {
    let portal = match portals::find_by_subdomain(hub.database(), subdomain).await {
        Ok(Some(portal)) => portal,
        Ok(None) => return refused(Refusal::not_found("portal"), &headers),
        Err(error) => return refused(error.into(), &headers),
    };
    let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "no-cache")];
    (headers, sheet(&portal.brand)).into_response()
}

/// How the page of a package looks: as the portal that it came through, or else as its team has chosen.
pub(super) async fn of_package(hub: &Hub, package: &Package) -> Result<Brand, Refusal> {
    if let Some(portal) = &package.portal_id {
        let portal = portals::find(hub.database(), portal.clone()).await?;
        if let Some(brand) = portal.map(|portal| portal.brand).filter(|brand| *brand != Brand::default()) {
            return Ok(brand);
        }
    }
    Ok(teams::brand(hub.database(), package.team_id.clone()).await?)
}

/// The style sheet of the page of a link.
pub(super) async fn style_of_link(
    Public(hub): Public,
    Id(link): Id<LinkId>,
    Asked(given): Asked<Token>,
    headers: HeaderMap,
) -> Response {
    let answer = async {
        let visit = visit_of(&hub, &link, &given.token)?;
        links::check_visit(hub.database(), visit).await?;
        let (_, package) = links::find(hub.database(), link).await?.ok_or_else(|| Refusal::not_found("link"))?;
        let brand = of_package(&hub, &package).await?;
        let headers = [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
        Ok((headers, sheet(&brand)).into_response())
    };
    answer.await.unwrap_or_else(|refusal: Refusal| refused(refusal, &headers))
}

/// The policy of a page that also shows the pictures of a brand.
pub(super) fn policy(policy: &str, brand: &Brand) -> Result<HeaderValue, Refusal> {
    let pictures = pictures(brand);
    let policy = policy.replace("img-src 'self'", &format!("img-src 'self'{pictures}"));
    HeaderValue::from_str(&policy).map_err(|error| Refusal::internal(&error))
}

/// The origins of the pictures that a team has chosen.
pub(super) fn pictures(brand: &Brand) -> String {
    let origin = |address: &String| url::Url::parse(address).ok().map(|url| url.origin().ascii_serialization());
    let origins = [&brand.logo_url, &brand.background_url].into_iter().filter_map(origin);
    origins.map(|origin| format!(" {origin}")).collect()
}

/// Both are checked when they are set: a colour has digits only, and nothing in an address ends a text in quotes.
fn sheet(brand: &Brand) -> String {
    let mut sheet = String::new();
    if let Some(luminance) = luminance(&brand.primary_color) {
        let (color, ink) = (&brand.primary_color, if luminance > LIGHT { "#111" } else { "#fff" });
        let _ = writeln!(
            sheet,
            "button:not(.quiet, .bare), .button:not(.quiet) {{ background: {color}; color: {ink}; border-color: {ink}33; }}\n\
             progress::-webkit-progress-value {{ background: {color}; }}\nprogress::-moz-progress-bar {{ background: {color}; }}"
        );
    }
    if !brand.background_url.is_empty() {
        let _ = writeln!(
            sheet,
            "body {{ background: var(--ground) url(\"{}\") center / cover fixed no-repeat; min-height: 100vh; }}",
            brand.background_url
        );
    }
    sheet
}

/// How light a colour is, from 0 to 1, as the accessibility guidelines of the web define it (WCAG 2.2, relative luminance).
fn luminance(color: &str) -> Option<f64> {
    let digits = color.strip_prefix('#')?;
    let part = |at: usize| {
        let value = f64::from(u8::from_str_radix(digits.get(at..at + 2)?, 16).ok()?) / 255.0;
        Some(if value <= 0.04045 { value / 12.92 } else { ((value + 0.055) / 1.055).powf(2.4) })
    };
    Some(0.2126 * part(0)? + 0.7152 * part(2)? + 0.0722 * part(4)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_on_a_colour_can_be_read() {
        let brand = |color: &str| Brand { primary_color: color.into(), ..Brand::default() };
        for (color, ink) in [("#ffdd00", "#111"), ("#1d5fc4", "#fff"), ("#000000", "#fff"), ("#ffffff", "#111")] {
            assert!(sheet(&brand(color)).contains(&format!("background: {color}; color: {ink};")), "{color}");
        }
        assert_eq!(sheet(&Brand::default()), "");
        let contrast = |color: &str| {
            let light = luminance(color).unwrap();
            let ink = if light > LIGHT { luminance("#111111").unwrap() } else { 1.0 };
            (light.max(ink) + 0.05) / (light.min(ink) + 0.05)
        };
        for color in ["#808080", "#777777", "#ff0000", "#00ff00", "#0000ff", "#1d5fc4"] {
            assert!(contrast(color) >= 4.0, "{color}: {}", contrast(color));
        }
    }
}
