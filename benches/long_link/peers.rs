//! What others make of the same link: `rclone` and `s5cmd`, where they are installed, sending to an S3 storage that keeps nothing.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::StreamExt;

/// Programs that copy a file or a folder into a bucket.
pub const PEERS: [Peer; 3] = [
    Peer { name: "rclone", program: "rclone", copy: &["copy"], wide: &[] },
    Peer {
        name: "rclone, 32 transfers",
        program: "rclone",
        copy: &["copy"],
        wide: &["--transfers", "32", "--s3-upload-concurrency", "8"],
    },
    Peer { name: "s5cmd", program: "s5cmd", copy: &["cp"], wide: &[] },
];

/// A program to compare with.
pub struct Peer {
    /// What the table calls it.
    pub name: &'static str,
    program: &'static str,
    copy: &'static [&'static str],
    wide: &'static [&'static str],
}

impl Peer {
    /// Whether it is installed.
    pub fn is_there(&self) -> bool {
        let version = if self.program == "rclone" { "--version" } else { "version" };
        let asked = Command::new(self.program).arg(version).stdout(Stdio::null()).stderr(Stdio::null()).status();
        asked.is_ok_and(|status| status.success())
    }

    /// Copies a file or a folder to the storage at `storage`; returns the seconds, nothing where it failed.
    pub fn send(&self, storage: SocketAddr, path: &Path) -> Option<f64> {
        let endpoint = format!("http://{storage}");
        let mut command = Command::new(self.program);
        command.env("AWS_ACCESS_KEY_ID", "bench").env("AWS_SECRET_ACCESS_KEY", "bench").env("AWS_REGION", "us-east-1");
        if self.program == "rclone" {
            let remote =
                format!(":s3,provider=Other,env_auth=true,region=us-east-1,endpoint='{endpoint}':bucket/bench");
            command.args(self.copy).args(self.wide).args(["--config", "/dev/null", "--no-check-dest", "--no-traverse"]);
            command.args(["--s3-no-check-bucket", "--s3-no-head", "--ignore-checksum", "--retries", "1"]);
            command.arg(path).arg(remote);
        } else {
            command.args(["--endpoint-url", &endpoint, "--log", "error"]).args(self.copy).args(self.wide);
            let source = if path.is_dir() { format!("{}/", path.display()) } else { path.display().to_string() };
            command.arg(source).arg("s3://bucket/bench/");
        }
        let begun = Instant::now();
        let done = command.stdout(Stdio::null()).stderr(Stdio::null()).status().ok()?;
        done.success().then(|| begun.elapsed().as_secs_f64())
    }
}

/// Serves a storage that takes everything and keeps nothing; returns where.
pub async fn null_storage() -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, Router::new().fallback(swallow)).await.unwrap() });
    address
}

async fn swallow(request: Request) -> Response {
    let query = request.uri().query().unwrap_or_default().to_owned();
    let method = request.method().clone();
    let mut body: axum::body::BodyDataStream = request.into_body().into_data_stream();
    while let Some(Ok(_)) = body.next().await {}
    let xml = |text: &str| ([(header::CONTENT_TYPE, "application/xml")], text.to_owned()).into_response();
    match method {
        Method::PUT => ([(header::ETAG, "\"00000000000000000000000000000000\"")], Body::empty()).into_response(),
        Method::POST if query.contains("uploads") => xml(
            "<InitiateMultipartUploadResult><Bucket>bucket</Bucket><Key>k</Key><UploadId>u</UploadId></InitiateMultipartUploadResult>",
        ),
        Method::POST => xml("<CompleteMultipartUploadResult><ETag>\"0-1\"</ETag></CompleteMultipartUploadResult>"),
        Method::GET => xml("<ListBucketResult><IsTruncated>false</IsTruncated></ListBucketResult>"),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
