//! The page of a portal, where anybody may send from a browser.

use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use minijinja::{Value, context};

use super::{page, refused};
use crate::Hub;
use crate::error::Refusal;
use crate::http::wire::now;
use crate::records::portal_form::{Field, Kind, Visibility};
use crate::records::portals;
use crate::storage::Bucket;

/// A field as the template shows it: its kind is that of the input.
fn field(field: &Field) -> Value {
    context! {
        name => &field.name,
        label => field.label(),
        required => field.visibility == Visibility::Required,
        kind => match field.kind {
            Kind::ShortText => "text",
            Kind::LongText => "long_text",
            Kind::Dropdown => "dropdown",
            Kind::Number => "number",
            Kind::Date => "date",
        },
        options => &field.options,
    }
}

pub(super) async fn show(State(hub): State<Hub>, Path(subdomain): Path<String>, headers: HeaderMap) -> Response {
    let found = hub.database().read(move |connection| portals::find_by_subdomain(connection, &subdomain)).await;
    let portal = match found {
        Ok(Some(portal)) => portal,
        Ok(None) => return refused(Refusal::not_found("portal"), &headers),
        Err(refusal) => return refused(refusal, &headers),
    };
    let values = context! {
        title => portal.title(),
        message => &portal.message,
        active => portal.is_open(now()),
        id => &portal.id,
        has_code => portal.access_code_hash.is_some(),
        takes => portal.restrictions.told(),
        fields => portal.fields.iter().map(field).collect::<Vec<_>>(),
    };
    let mut response = page(StatusCode::OK, "portal", values);
    // Parts go to where the storage is, which is another origin when the page was opened at another name.
    let storage = url::Url::parse(&hub.base(&headers)).map(|base| base.origin().ascii_serialization());
    let bucket = hub.storage().bucket.as_ref().map(Bucket::public_origin);
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
