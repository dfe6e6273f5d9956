//! The protocol's calls, one file per noun: each parses its input, calls the layers below, and responds with JSON.

mod about_team;
mod batches;
mod brand;
mod downloads;
mod files;
mod form;
pub(crate) mod links;
mod members;
mod packages;
mod portals;
mod session;
mod storage;
mod system;
mod team;
mod teams;
mod webhooks;

use std::time::Duration;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::http::{HeaderName, Method, header};
use axum::middleware;
use tower_http::cors::{AllowHeaders, AllowOrigin, CorsLayer, ExposeHeaders};

use masv_protocol::ErrorKind;

use super::access::{Gate, Routes, delete, get, post, put};
use super::refusal::Refusal;
use super::{door, forwarded, headers, metrics, pages, requests};
use crate::Hub;

/// The maximum number of records of a list without pages.
const MOST_LISTED: u32 = 10_000;

/// All routes of the hub.
pub(crate) fn router(hub: Hub) -> Router {
    let gate = Gate::new(hub);
    let api = Routes::default()
        .route(
            "/v1/auth",
            get(session::show).post(session::sign_in).put(session::change_password).delete(session::sign_out),
        )
        .route("/v1/system/packages/spec", get(system::spec))
        .route("/v1/teams/{team}/packages", get(team::all_sent).post(packages::create))
        .route("/v1/packages/{package}", put(packages::change).delete(packages::remove))
        .route("/v1/packages/{package}/finalize", post(packages::finalize))
        .route("/v1/packages/{package}/files", get(files::list).post(files::create))
        .route("/v1/packages/{package}/files/{file}", post(files::part_addresses).delete(files::remove))
        .route("/v1/packages/{package}/files/{file}/finalize", post(files::finalize))
        .route("/v1/packages/{package}/files/{file}/download", get(files::download))
        .route("/v1/packages/{package}/batches/files", post(batches::create))
        .route("/v1/packages/{package}/batches/finalize", post(batches::finalize))
        .route("/v1/packages/{package}/batches/contents", post(batches::contents))
        .route("/v1/packages/{package}/downloads", get(downloads::list).post(downloads::confirm))
        .route("/v1/packages/{package}/expiry", put(packages::set_expiry))
        .route("/v1/packages/{package}/metadata", get(packages::metadata).put(packages::set_metadata))
        .route("/v1/packages/{package}/tokens", delete(packages::end_tokens))
        .route("/v1/packages/{package}/transfer", get(packages::transfers).post(packages::transfer))
        .route("/v1/packages/{package}/links", get(links::list).post(links::create))
        .route("/v1/packages/{package}/links/{link}", put(links::update).delete(links::remove))
        .route("/v1.1/links/{link}", get(links::show))
        .route("/v1/links/{link}/mail", post(links::mail_again))
        .route("/v1/links/{link}", get(links::open).put(links::update).delete(links::remove))
        .route("/v1.1/teams/{team}/packages", get(team::sent))
        .route("/v1.1/teams/{team}/packages/{package}", get(team::package))
        .route("/v1.1/teams/{team}/inbox", get(team::inbox))
        .route("/v1.1/teams/{team}/activities", get(team::activities))
        .route("/v1/teams/{team}/activities/{activity}/events", get(team::activity_events))
        .route("/v1/teams/{team}/cloud_connections", get(team::cloud_connections).post(team::connect))
        .route("/v1/teams/{team}/spaces", get(team::spaces).post(team::create_space))
        .route("/v1.1/teams/{team}/portals", get(portals::list))
        .route("/v1/teams/{team}/portals", get(portals::all).post(portals::create))
        .route("/v1/teams/{team}/tags", get(team::tags).post(team::create_tag))
        .route("/v1/tags/{tag}", delete(team::remove_tag))
        .route("/v1/teams", get(teams::list).post(teams::create))
        .route("/v1/teams/{team}/usage", get(teams::usage))
        .route("/v1/teams/{team}/quota", put(teams::set_quota))
        .route("/v1/teams/{team}/brand", get(teams::brand).put(teams::set_brand))
        .route("/v1/teams/{team}/members", get(members::list).post(members::add))
        .route("/v1/teams/{team}/members/{member}", put(members::change).delete(members::remove))
        .route("/v1/teams/{team}/members/{member}/invitation", post(members::invite))
        .route("/v1/invitations", post(members::accept))
        .route("/v1/teams/{team}/api_keys", get(teams::keys).post(teams::create_key))
        .route("/v1/teams/{team}/api_keys/{key}", put(teams::change_key).delete(teams::remove_key))
        .route("/v1/api_keys/{key}", put(teams::change_key_by_id).delete(teams::remove_key_by_id))
        .route("/v1/teams/{team}/audit", get(teams::audit_log))
        .route("/v1/teams/{team}/custom_webhooks", get(webhooks::list).post(webhooks::create))
        .route("/v1/teams/{team}/custom_webhooks/{hook}", put(webhooks::update).delete(webhooks::remove))
        .route("/v1/custom_webhooks/{hook}", put(webhooks::update_by_id).delete(webhooks::remove_by_id))
        .route("/v1.1/portals/{portal}", get(portals::show))
        .route("/v1/portals/{portal}", get(portals::show).put(portals::update).delete(portals::remove))
        .route("/v1/portals/{portal}/form", get(form::show).post(form::create).put(form::update).delete(form::remove))
        .route("/v1/subdomains/portals/{subdomain}", get(portals::find))
        .route("/v1/portals/{portal}/packages", post(portals::create_package))
        .route("/storage/{package}/{file}", get(storage::read).post(storage::begin).put(storage::store_part))
        .route("/healthz", get(system::health))
        .route("/readyz", get(system::ready));
    let routes = api
        .into_router()
        .merge(pages::routes().into_router())
        .fallback(pages::unknown)
        .method_not_allowed_fallback(wrong_method)
        .layer(middleware::from_fn_with_state(gate.clone(), requests::bound))
        .layer(cors())
        .layer(DefaultBodyLimit::disable())
        .layer(middleware::from_fn_with_state(gate.clone(), headers::guard))
        .layer(middleware::from_fn_with_state(gate.clone(), forwarded::resolve))
        .layer(middleware::from_fn_with_state(gate.clone(), metrics::count))
        .with_state(gate.clone());
    door::with_door(routes, &gate)
}

async fn wrong_method() -> Refusal {
    Refusal::new(ErrorKind::MethodNotAllowed, "this route does not support that method")
}

/// Pages of any origin may call the protocol: what a call may do depends on its tokens alone, never on cookies (the page of a link has
/// one, for its visit, and the app one for its [door]; no call reads them). The hub's own pages and the door are closed to
/// them: the addresses hold secrets.
fn cors() -> CorsLayer {
    CorsLayer::new()
        .allow_origin(AllowOrigin::predicate(|_, request| {
            ["/v1/", "/v1.1/", "/storage/"].iter().any(|start| request.uri.path().starts_with(start))
        }))
        .allow_headers(AllowHeaders::mirror_request())
        .allow_methods([Method::GET, Method::HEAD, Method::POST, Method::PUT, Method::DELETE])
        .expose_headers(ExposeHeaders::list([
            header::ETAG,
            header::CONTENT_RANGE,
            header::CONTENT_LENGTH,
            header::ACCEPT_RANGES,
            header::CONTENT_DISPOSITION,
            HeaderName::from_static("retry-after"),
        ]))
        .max_age(Duration::from_secs(60 * 60))
}
