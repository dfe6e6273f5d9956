//! The page of a portal.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use masv_protocol::{FieldKind, MetadataField, Visibility};
use minijinja::{Value, context};

use super::{brand, page, refused, storage_origins};
use crate::clock::now;
use crate::http::access::{Base, Public};
use crate::http::refusal::Refusal;
use crate::records::portals::{self, Brand, Portal};
use crate::records::{restrictions, teams};

/// A field as the template shows it: its kind is that of the input.
fn field(field: &MetadataField) -> Value {
    context! {
        name => &field.name,
        label => field.label(),
        required => field.visibility == Visibility::Required,
        kind => match field.kind {
            FieldKind::ShortText => "text",
            FieldKind::LongText => "long_text",
            FieldKind::Dropdown => "dropdown",
            FieldKind::Number => "number",
            FieldKind::Date => "date",
        },
        options => &field.options,
        given => &field.default_value,
    }
}

pub(super) async fn show(
    Public(hub): Public,
    Path(subdomain): Path<String>,
    Base(base): Base,
    headers: HeaderMap,
) -> Response {
    let portal = match portals::find_by_subdomain(hub.database(), subdomain).await {
        Ok(Some(portal)) => portal,
        Ok(None) => return refused(Refusal::not_found("portal"), &headers),
        Err(error) => return refused(error.into(), &headers),
    };
    let team = match teams::name(hub.database(), portal.team_id.clone()).await {
        Ok(name) => name,
        Err(error) => return refused(error.into(), &headers),
    };
    let mut response = page(StatusCode::OK, "portal", values(&portal, &team));
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'{}; script-src 'self'; connect-src 'self'{}; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        brand::pictures(&portal.brand),
        storage_origins(&hub, &base)
    );
    match HeaderValue::from_str(&policy) {
        Ok(policy) => {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            response
        }
        Err(error) => Refusal::internal(&error).into_response(),
    }
}

fn values(portal: &Portal, team: &str) -> Value {
    let limits = restrictions::limits(&portal.restrictions);
    let accept = limits.types.iter().map(|end| format!(".{end}")).collect::<Vec<_>>().join(",");
    context! {
        team,
        told => portal.recipients.len(),
        subdomain => &portal.subdomain,
        branded => portal.brand != Brand::default(),
        logo => &portal.brand.logo_url,
        accept => if limits.exclude { String::new() } else { accept },
        types => limits.types,
        exclude => limits.exclude,
        max_file_size => limits.file_size,
        max_file_count => limits.file_count,
        max_package_size => limits.package_size,
        title => portal.title(),
        message => &portal.message,
        active => portal.is_open(now()),
        id => portal.id.as_str(),
        has_code => portal.access_code_hash.is_some(),
        takes => restrictions::summary(&portal.restrictions),
        fields => portal.fields.iter().map(field).collect::<Vec<_>>(),
    }
}
