//! Requests that no client makes: queries that cannot be read, names of hosts that end something, two of them.

use axum::http::header;

use super::*;

impl Bench {
    /// Status, type and body of the answer to a GET.
    async fn got(&self, path: &str, hosts: &[&str]) -> (u16, String, String) {
        let request = hosts.iter().fold(Request::get(path), |request, host| request.header(header::HOST, *host));
        let answer = router(self.hub.clone()).oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let kind = answer.headers().get(header::CONTENT_TYPE).map(|kind| kind.to_str().unwrap().to_owned());
        let policy = answer.headers()[header::CONTENT_SECURITY_POLICY].to_str().unwrap().to_owned();
        let status = answer.status().as_u16();
        let body = to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        (status, kind.unwrap_or_default(), format!("{policy}\n{}", String::from_utf8_lossy(&body)))
    }
}

/// They were answered in plain text, with the words of a library.
#[tokio::test]
async fn a_query_that_cannot_be_read_is_refused_in_the_form_of_every_refusal() {
    let bench = Bench::new().await;
    let id = "01M85VJ3Y0Q8ZK2T4W6X7B9CDE";
    for path in [
        format!("/v1/links/{id}?secret=a&secret=b"),
        format!("/{id}?secret=a&secret=b"),
        format!("/{id}/all.zip?token=a&token=b"),
    ] {
        let (status, kind, body) = bench.got(&path, &["hub"]).await;
        assert!(status == 400 && kind == "application/json", "{path}: {status} {kind} {body}");
        assert!(body.contains("\"message\":\"the query of the address is not valid\""), "{body}");
    }
    for query in ["expires=99999999999999999999&signature=", "expires=1&expires=2", "partNumber=1&partNumber=2"] {
        let (status, kind, body) = bench.got(&format!("/storage/{id}/{id}?{query}"), &["hub"]).await;
        assert!(status == 400 && kind == "application/xml" && body.contains("<Code>InvalidRequest</Code>"), "{body}");
    }
}

/// Of two names of the host one proxy believes the first and the next the second.
#[tokio::test]
async fn a_request_has_one_host_and_its_name_ends_nothing_where_it_is_written() {
    let bench = Bench::new().await;
    assert_eq!(bench.got("/healthz", &["hub", "hub"]).await.0, 400);
    let (status, _, page) = bench.got("/portals/rushes", &["hub.example.com:8443"]).await;
    assert!(status == 200 && page.contains("connect-src 'self' http://hub.example.com:8443;"), "{page}");
    for host in ["a;script-src", "a'b", "a,b", "a*b", "a&b", "a$b", "[::1]:1;x"] {
        let (status, _, page) = bench.got("/portals/rushes", &[host]).await;
        assert!(status == 200 && !page.contains(host), "{host}: {page}");
    }
}
