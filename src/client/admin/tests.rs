use std::sync::{Arc, Mutex};

use masv_protocol::{AuditQuery, KeyRole, NewKey};
use serde_json::json;

use super::*;

/// Answers everything in the same way, and remembers what it was asked.
#[derive(Clone)]
struct Canned {
    answer: (u16, Value),
    asked: Arc<Mutex<Vec<Request>>>,
}

impl Canned {
    fn new(status: u16, body: Value) -> Self {
        Self { answer: (status, body), asked: Arc::default() }
    }

    fn asked(&self) -> Request {
        self.asked.lock().unwrap().pop().unwrap()
    }
}

impl Transport for Canned {
    fn call(&self, request: Request) -> Pin<Box<dyn Future<Output = Answer> + Send + '_>> {
        self.asked.lock().unwrap().push(request);
        Box::pin(std::future::ready(Ok(self.answer.clone())))
    }
}

#[tokio::test]
async fn a_hub_in_this_process_is_asked_what_one_elsewhere_would_be() {
    let hub = Canned::new(200, json!({ "id": "K", "name": "cart", "role": "admin", "key": "k3y", "api_key": "k3y" }));
    let admin = Admin::within(hub.clone());
    let new = NewKey { name: Some("cart".into()), role: Some(KeyRole::Admin), ..NewKey::default() };
    let made = admin.create_key(&"a/b c".into(), &new).await.unwrap();
    assert_eq!((made.id.as_str(), made.key.expose()), ("K", "k3y"));
    let asked = hub.asked();
    assert_eq!((asked.method, asked.target.as_str()), (Method::POST, "/v1/teams/a%2Fb%20c/api_keys"));
    assert_eq!(asked.body, Some(json!({ "name": "cart", "role": "admin" })));

    let hub = Canned::new(200, json!({ "records": [] }));
    let query = AuditQuery { limit: Some(2), action: vec!["key.added".into(), "a&b".into()], ..AuditQuery::default() };
    Admin::within(hub.clone()).audit(&"T".into(), &query).await.unwrap();
    assert_eq!(hub.asked().target, "/v1/teams/T/audit?limit=2&action=key.added%2Ca%26b");
}

#[tokio::test]
async fn a_refusal_is_told_and_nothing_is_read_from_a_removal() {
    let refusal = json!({ "code": 404, "message": "link not found", "errors": [] });
    let error = Admin::within(Canned::new(404, refusal)).link(&"L".into()).await.unwrap_err();
    assert_eq!(error.to_string(), "the cloud refused to show the link: link not found (404)");
    let hub = Canned::new(204, Value::Null);
    Admin::within(hub.clone()).remove_link(&"L".into()).await.unwrap();
    assert_eq!((hub.asked().method, hub.answer.0), (Method::DELETE, 204));
}
