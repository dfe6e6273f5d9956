//! Long links: the emulator that the benchmark measures on is what it says, and the engine works across it.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::emulator::{Conditions, LongLink};

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
    let sent = crate::support::content(1, bytes);
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
