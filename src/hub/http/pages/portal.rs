//! The page of a portal.

use axum::extract::Path;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use masv_protocol::{FieldKind, MetadataField, Visibility};
use minijinja::{Value, context};

use super::{page, refused};
use crate::clock::now;
use crate::http::access::{Base, Public};
use crate::http::refusal::Refusal;
use crate::records::portals::{self, Portal};
use crate::records::restrictions;
use crate::storage::Bucket;

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
    let mut response = page(StatusCode::OK, "portal", values(&portal));
    // Parts go to where the storage is, which is another origin when the page was opened at another name.
    let storage = url::Url::parse(&base).map(|base| base.origin().ascii_serialization());
    let bucket = hub.context.storage.bucket.as_ref().map(Bucket::public_origin);
    let policy = format!(
        "default-src 'none'; style-src 'self'; img-src 'self'; script-src 'self'; connect-src 'self' {} {}; \
         form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
        storage.unwrap_or_default(),
        bucket.unwrap_or_default()
    );
    match HeaderValue::from_str(&policy) {
        Ok(policy) => {
            response.headers_mut().insert(header::CONTENT_SECURITY_POLICY, policy);
            response
        }
        Err(error) => Refusal::internal(&error).into_response(),
    }
}

fn values(portal: &Portal) -> Value {
    context! {
        title => portal.title(),
        message => &portal.message,
        active => portal.is_open(now()),
        id => portal.id.as_str(),
        has_code => portal.access_code_hash.is_some(),
        takes => restrictions::summary(&portal.restrictions),
        fields => portal.fields.iter().map(field).collect::<Vec<_>>(),
    }
}
