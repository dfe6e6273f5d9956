//! Long links: the emulator that the benchmark measures on is what it says, and the engine works across it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use masv_agent::engine::LimitedBy;
use masv_agent::model::{SourceFile, State};
use masv_agent::upload::{UploadSettings, Workers};

use crate::emulator::{Conditions, LongLink};
use crate::proxy::{Asked, Fault, behind_proxy};
use crate::s3_server;
use crate::support::{TestEngine, TestHub, content, digests, received, spec};

const LONG: Conditions =
    Conditions { round_trip: Duration::from_millis(100), rate: 1 << 30, window: 4 << 20, resets: 0.0 };

/// A service that sends back what it gets.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

/// Sends so many bytes there and back; how long that took, or nothing where the connection broke.
async fn there_and_back(stream: &mut TcpStream, bytes: usize) -> std::io::Result<Duration> {
    let begun = Instant::now();
    let sent = content(1, bytes);
    let mut got = vec![0; bytes];
    let (mut from, mut to) = stream.split();
    tokio::try_join!(from.read_exact(&mut got), to.write_all(&sent))?;
    assert!(got == sent, "what comes back is what was sent");
    Ok(begun.elapsed())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_emulated_link_delays_by_its_round_trip() {
    let link = LongLink::start(echo().await, LONG).await.unwrap();
    let begun = Instant::now();
    let mut stream = TcpStream::connect(link.address).await.unwrap();
    there_and_back(&mut stream, 1).await.unwrap();
    assert!(begun.elapsed() >= LONG.round_trip * 2, "a handshake and a question: {:?}", begun.elapsed());
    let took = there_and_back(&mut stream, 1).await.unwrap();
    assert!(took >= LONG.round_trip, "one question: {took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_connection_carries_a_window_a_round_trip_and_all_of_them_the_rate() {
    let narrow = Conditions { window: 256 << 10, ..LONG };
    let link = LongLink::start(echo().await, narrow).await.unwrap();
    let mut stream = TcpStream::connect(link.address).await.unwrap();
    let took = there_and_back(&mut stream, 1 << 20).await.unwrap();
    assert!(took >= Duration::from_millis(300), "four windows: {took:?}");

    let slow = Conditions { rate: 2 << 20, round_trip: Duration::from_millis(2), ..LONG };
    let link = LongLink::start(echo().await, slow).await.unwrap();
    let begun = Instant::now();
    let sends = (0..4).map(|_| async {
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        there_and_back(&mut stream, 256 << 10).await.unwrap();
    });
    futures_util::future::join_all(sends).await;
    assert!(begun.elapsed() >= Duration::from_millis(480), "a mebibyte at two a second: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lossy_link_resets_connections_and_carries_what_is_left_unharmed() {
    let lossy = Conditions { round_trip: Duration::from_millis(2), resets: 0.2, ..LONG };
    let link = LongLink::start(echo().await, lossy).await.unwrap();
    let mut whole = 0;
    for _ in 0..40 {
        let mut stream = TcpStream::connect(link.address).await.unwrap();
        whole += usize::from(there_and_back(&mut stream, 1 << 20).await.is_ok());
    }
    let resets = link.seen.resets.load(std::sync::atomic::Ordering::Relaxed);
    assert_eq!(whole + resets, 40, "each arrives whole or is reset");
    assert!((1..30).contains(&resets), "{resets} of 40 with one in five");
}

/// Files of a package: many small ones, some of a part, one of three.
fn mixed(small: u64) -> Vec<(String, Vec<u8>)> {
    let mut files: Vec<_> = (0..small).map(|n| (format!("small/{n:04}.txt"), content(n, 100 + n as usize))).collect();
    files.extend((0..5).map(|n| (format!("frames/{n}.dpx"), content(1000 + n, 200_000))));
    files.push(("clip.mov".to_owned(), content(7, 12 << 20)));
    files.push(("empty".to_owned(), Vec::new()));
    files.sort();
    files
}

fn sources(engine: &TestEngine, files: &[(String, Vec<u8>)]) -> Vec<SourceFile> {
    files.iter().map(|(name, bytes)| engine.file(name, bytes)).collect()
}

/// Sends the files and compares what arrives, once, under the link.
async fn arrive(hub: &TestHub, engine: &TestEngine, files: &[(String, Vec<u8>)]) {
    let id = engine.queue.submit(spec(sources(engine, files))).await.unwrap();
    let upload = engine.wait_long_for(id, State::Complete, Duration::from_secs(120)).await;
    let link = upload.links[0].url.replacen(hub.public().as_str(), hub.url.as_str(), 1);
    assert_eq!(digests(&received(&link).await), digests(files));
    assert_eq!(upload.totals.bytes_done, upload.totals.bytes);
    for file in engine.files(id).await {
        let (_, bytes) = files.iter().find(|(name, _)| *name == file.path.as_str()).unwrap();
        assert_eq!(file.checksum.as_deref(), Some(blake3::hash(bytes).to_hex().as_str()), "{}", file.path);
    }
}

/// On a link of 100 ms the agent sent 28 small files a second: five round trips each, sixteen files at once.
#[tokio::test(flavor = "multi_thread")]
async fn three_hundred_small_files_cost_few_requests() {
    let (hub, url, proxy) = behind_proxy(0).await;
    let engine = TestEngine::start(hub.cloud_at(url)).await;
    let files: Vec<_> = (0..300).map(|n| (format!("{n:04}.dpx"), content(n, 4096))).collect();
    arrive(&hub, &engine, &files).await;
    let (requests, _) = proxy.counts();
    let each = if s3_server::everywhere().is_some() { 300 * 4 } else { 0 };
    assert!(requests < 80 + each, "{requests} requests for 300 files");
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_and_broken_answers_of_batches_repeat_nothing_wrongly() {
    let (hub, url, proxy) = behind_proxy(0).await;
    let engine = TestEngine::start(hub.impatient_cloud_at(url)).await;
    let mut random = fastrand::Rng::with_seed(20_261_128);
    let mut spoiled = std::collections::HashMap::new();
    let faults = [Fault::LostAnswer, Fault::CutAnswer, Fault::HalfJson, Fault::Cut, Fault::Busy, Fault::TooMany];
    proxy.plan(move |asked| {
        // Each kind of call is spoiled four times, one time in two.
        let times = spoiled.entry(asked.path.clone()).or_insert(0);
        let spoil = asked.is_batch() && *times < 4 && random.bool();
        *times += u32::from(spoil);
        if spoil { random.choice(faults) } else { None }
    });
    arrive(&hub, &engine, &mixed(200)).await;
    assert!(proxy.counts().1 > 3, "some were spoiled");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_files_that_arrive_damaged_are_sent_again() {
    if s3_server::everywhere().is_some() {
        return; // What goes to a bucket does not travel in batches.
    }
    let (hub, url, proxy) = behind_proxy(0).await;
    let engine = TestEngine::start(hub.cloud_at(url)).await;
    let mut times = 2;
    proxy.plan(move |asked| {
        let flip = asked.is_contents() && times > 0;
        times -= i32::from(flip);
        flip.then_some(Fault::FlippedBit)
    });
    let files = vec![("a.txt".to_owned(), b"alpha".to_vec()), ("b.txt".to_owned(), b"beta".to_vec())];
    arrive(&hub, &engine, &files).await;
    proxy.plan(|asked| asked.is_contents().then_some(Fault::FlippedBit));
    let id = engine.queue.submit(spec(vec![engine.file("c.txt", b"gamma")])).await.unwrap();
    let problem = engine.wait_for(id, State::Error).await.problem.unwrap();
    assert!(problem.code == "part_damaged" && problem.message.contains("c.txt"), "{problem:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloud_without_batches_and_one_that_does_not_keep_its_word_get_file_by_file() {
    let hub = TestHub::start_without_batches().await;
    let engine = TestEngine::start(hub.cloud()).await;
    arrive(&hub, &engine, &mixed(100)).await;

    let (hub, url, proxy) = behind_proxy(0).await;
    let engine = TestEngine::start(hub.cloud_at(url)).await;
    proxy.plan(|asked| asked.is_batch().then_some(Fault::Missing));
    arrive(&hub, &engine, &mixed(100)).await;
    assert!(proxy.asked(Asked::is_batch).len() < 20, "it is not asked over and over");
}

/// Case: long round trips, and connections that are reset again and again.
#[tokio::test(flavor = "multi_thread")]
async fn over_a_long_link_more_parts_are_on_their_way_and_over_one_that_breaks_all_arrives() {
    let hub = TestHub::start().await;
    let far = Conditions { window: 256 << 10, ..LONG };
    let link = LongLink::start(hub.url.socket_addrs(|| None).unwrap()[0], far).await.unwrap();
    let engine = TestEngine::start(hub.cloud_at(format!("http://{}", link.address).parse().unwrap())).await;
    let usual = Workers::Auto.usual();
    assert_eq!(engine.queue.link().workers, usual);
    let frames: Vec<_> = (0..80).map(|n| (format!("{n:03}.dpx"), content(n, 500_000))).collect();
    arrive(&hub, &engine, &frames).await;
    let found = engine.queue.link();
    assert!(found.round_trip.is_some_and(|trip| trip >= LONG.round_trip), "{found:?}");
    assert!(found.workers > usual && found.limited_by != LimitedBy::Throttling, "{found:?}");

    let lossy = Conditions { round_trip: Duration::from_millis(5), resets: 0.05, ..LONG };
    let link = LongLink::start(hub.url.socket_addrs(|| None).unwrap()[0], lossy).await.unwrap();
    let settings = UploadSettings { workers: Workers::Fixed(6), ..UploadSettings::default() };
    let cloud = hub.cloud_at(format!("http://{}", link.address).parse().unwrap());
    let engine = TestEngine::start_in(cloud, tempfile::tempdir().unwrap(), settings).await;
    arrive(&hub, &engine, &mixed(50)).await;
    assert_eq!(engine.queue.link().workers, 6);
}
