//! The form of a portal, which senders fill in, with its own calls. A portal has one form, which is part of it.

use axum::Json;
use axum::http::StatusCode;
use masv_protocol::{Form, PortalId};

use crate::Hub;
use crate::clock::now;
use crate::http::access::{Id, PortalAdmin, Public};
use crate::http::json_body::JsonBody;
use crate::http::refusal::Refusal;
use crate::records::audit::Actor;
use crate::records::portal_form;
use crate::records::portals::{self, Portal};

/// The only way in which what was filled in is delivered.
const IN_MAIL: &str = "email_body";

fn message(portal: &Portal) -> Form {
    Form {
        id: portal.id.as_str().to_owned(),
        portal_id: Some(portal.id.clone()),
        name: portal.title().to_owned(),
        delivery_formats: vec![IN_MAIL.to_owned()],
        fields: portal.fields.clone(),
    }
}

/// The form, for the sender to fill in.
pub(super) async fn show(Public(hub): Public, Id(portal): Id<PortalId>) -> Result<Json<Form>, Refusal> {
    let portal = portals::get(hub.database(), portal).await?;
    if portal.fields.is_empty() {
        return Err(Refusal::not_found("form"));
    }
    Ok(Json(message(&portal)))
}

async fn put(hub: &Hub, mut portal: Portal, form: Form, by: Actor) -> Result<Form, Refusal> {
    if let Some(format) = form.delivery_formats.iter().find(|format| *format != IN_MAIL) {
        return Err(Refusal::invalid(format!("delivery_formats: {format:?} cannot be done, only {IN_MAIL}")));
    }
    portal_form::check(&form.fields)?;
    portal.fields = form.fields;
    portal.updated_at = now();
    Ok(message(&portals::update(hub.database(), portal, None, by).await?))
}

pub(super) async fn create(
    PortalAdmin { hub, portal, by }: PortalAdmin,
    JsonBody(form, ..): JsonBody<Form>,
) -> Result<(StatusCode, Json<Form>), Refusal> {
    if !portal.fields.is_empty() {
        return Err(Refusal::conflict("the portal has a form already: change it with PUT"));
    }
    Ok((StatusCode::CREATED, Json(put(&hub, portal, form, by).await?)))
}

pub(super) async fn update(
    PortalAdmin { hub, portal, by }: PortalAdmin,
    JsonBody(form, ..): JsonBody<Form>,
) -> Result<Json<Form>, Refusal> {
    Ok(Json(put(&hub, portal, form, by).await?))
}

pub(super) async fn remove(PortalAdmin { hub, portal, by }: PortalAdmin) -> Result<StatusCode, Refusal> {
    put(&hub, portal, Form::default(), by).await?;
    Ok(StatusCode::NO_CONTENT)
}
