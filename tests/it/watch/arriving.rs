//! Folders that arrive with pauses: a package is made of all of it, not of what was there when it paused.

use std::io::Write;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::support::Bench;

/// A render farm delivers the frames of a sequence a batch at a time, with pauses that are longer than `quiet`: each batch was a package.
#[tokio::test(flavor = "multi_thread")]
async fn frames_that_come_in_batches_are_one_package() {
    let bench = Bench::with("package: { per: folder, quiet: 2s }\nsettle: 50ms").await;
    for batch in 0..3 {
        if batch > 0 {
            tokio::time::sleep(Duration::from_secs(3)).await;
        }
        for frame in 1..6 {
            bench.write(format!("shot/f.{:04}.exr", batch * 5 + frame), "a frame");
        }
        assert!(bench.uploads().await.is_empty(), "after batch {batch}: {:?}", bench.packages().await);
    }
    assert_eq!(bench.packages_when(1).await[0].len(), 15);
}

/// `unzip` that is stopped in the middle of a file: half of the folder was a package.
#[tokio::test(flavor = "multi_thread")]
async fn a_folder_waits_for_the_file_that_a_program_has_paused_in() {
    let bench = Bench::with("package: { per: folder, quiet: 100ms }\nsettle: 50ms").await;
    bench.write("card/one.mov", "one");
    bench.write("card/two.mov", "two");
    let mut paused = std::fs::File::create(bench.path("card/three.mov")).unwrap();
    paused.write_all(b"half").unwrap();
    let is_told = async || {
        let waiting = bench.status().waiting;
        let by = |path: &str, words: &str| waiting.iter().any(|f| f.path.ends_with(path) && f.reason.contains(words));
        by("three.mov", "is held open for writing by") && by("one.mov", "waits for `card/three.mov`")
    };
    bench.until("it is told what the folder waits for", is_told).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(bench.uploads().await.is_empty());
    bench.write("card/four.mov", "four");
    paused.write_all(b", whole").unwrap();
    drop(paused);
    assert_eq!(bench.packages_when(1).await, [["card/four.mov", "card/one.mov", "card/three.mov", "card/two.mov"]]);
}

/// A tar archive of these files, each of 512 bytes, and where each of them begins in it.
fn archive(names: &[&str]) -> Vec<u8> {
    let mut archive = Vec::new();
    for name in names {
        let mut header = [0_u8; 512];
        let mut put = |at: usize, text: &str| header[at..at + text.len()].copy_from_slice(text.as_bytes());
        put(0, name);
        put(100, "0000644\0");
        put(124, "00000001000\0");
        put(148, "        ");
        put(156, "0");
        put(257, "ustar\x0000");
        let sum: u32 = header.iter().map(|byte| u32::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        archive.extend(header);
        archive.extend(std::iter::repeat_n(b'x', 512));
    }
    archive
}

/// Rows "unzip stopped between two files" and "git stopped between two files": nothing is open then, and nothing tells that more will
/// come. With a `quiet` longer than the pause it is one package; with a shorter one each file is sent in exactly one package all the same.
/// The program is `tar`, which is given its archive in pieces: it stops between two files and not in one.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_that_is_stopped_between_two_files_loses_none_and_a_longer_quiet_makes_one_package() {
    let names = ["card/a.mov", "card/b.mov", "card/c.mov", "card/d.mov"];
    let archive = archive(&names);
    for (quiet, packages) in [("4s", vec![&names[..]]), ("100ms", vec![&names[..2], &names[2..]])] {
        let bench = Bench::with(&format!("package: {{ per: folder, quiet: {quiet} }}\nsettle: 50ms")).await;
        std::fs::create_dir(bench.path("card")).unwrap();
        let unpack = Command::new("tar").args(["-x", "-b1", "-C"]).arg(bench.path("")).stdin(Stdio::piped()).spawn();
        let Ok(mut unpack) = unpack else { return };
        let mut input = unpack.stdin.take().unwrap();
        input.write_all(&archive[..2_048]).unwrap();
        bench.until("the first two are there", async || bench.path("card/b.mov").exists()).await;
        if packages.len() == 1 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            assert!(bench.uploads().await.is_empty(), "within quiet: {:?}", bench.packages().await);
        } else {
            bench.packages_when(1).await;
        }
        input.write_all(&archive[2_048..]).unwrap();
        input.write_all(&[0; 1_024]).unwrap();
        drop(input);
        assert!(unpack.wait().unwrap().success());
        let made = bench.packages_when(packages.len()).await;
        assert_eq!(made, packages, "with quiet {quiet}");
    }
}

/// Row "a client dies and resumes later" (`curl -C -`, `sftp reput`, `wget -c`, smbclient): what it had written by then is closed, and
/// looks whole. With a `settle` longer than its pause only the whole file is sent; otherwise the whole file is sent after the half one.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_resumes_later_gets_its_whole_file_sent() {
    for (settle, sizes) in [("3s", vec![10]), ("100ms", vec![4, 10])] {
        let bench = Bench::with(&format!("package: file\nsettle: {settle}")).await;
        bench.write("clip.mov", "half");
        if sizes.len() == 1 {
            tokio::time::sleep(Duration::from_secs(1)).await;
        } else {
            bench.packages_when(1).await;
            let upload = bench.uploads().await.remove(0);
            bench.complete(&upload).await;
            bench.looked_again().await;
        }
        let mut resumed = std::fs::File::options().append(true).open(bench.path("clip.mov")).unwrap();
        resumed.write_all(b", more").unwrap();
        drop(resumed);
        bench.packages_when(sizes.len()).await;
        let mut sent = Vec::new();
        for upload in bench.uploads().await {
            sent.push(bench.files(&upload).await[0].identity.size);
        }
        assert_eq!(sent, sizes, "with settle {settle}");
    }
}

/// Row "`rsync --partial-dir=NAME`": what rsync keeps of a file while it is away lies in a folder of that name. A hidden name is never
/// sent, and another one can be excluded, as docs/rules.md says; the file is sent once it is moved into place.
#[tokio::test(flavor = "multi_thread")]
async fn what_rsync_keeps_in_a_partial_dir_is_not_sent() {
    let bench = Bench::with("package: file\nsettle: 100ms\nexclude: ['partials/**']").await;
    for folder in [".partial", "partials"] {
        bench.write(format!("{folder}/{folder}.mov"), "half");
    }
    bench.write("other.mov", "whole");
    assert_eq!(bench.packages_when(1).await, [["other.mov"]]);
    bench.looked_again().await;
    for (folder, name) in [(".partial", "one.mov"), ("partials", "two.mov")] {
        bench.write(format!("{folder}/{folder}.mov"), "half, more");
        std::fs::rename(bench.path(format!("{folder}/{folder}.mov")), bench.path(name)).unwrap();
    }
    let mut sent = bench.packages_when(3).await.concat();
    sent.sort();
    assert_eq!(sent, ["one.mov", "other.mov", "two.mov"]);
}

/// Row "HLS: a growing playlist and its segments": `ffmpeg` renames each segment and each new playlist into place. With a `settle` longer
/// than a segment the playlist is sent once, as it is at the end, and each segment once; a folder is one package.
#[tokio::test(flavor = "multi_thread")]
async fn a_growing_playlist_is_sent_once_with_all_its_segments() {
    for keys in ["package: file\nsettle: 1s", "package: { per: folder, quiet: 1s }\nsettle: 1s"] {
        let bench = Bench::with(keys).await;
        let mut playlist = "#EXTM3U\n".to_owned();
        let mut expected = vec!["live/index.m3u8".to_owned()];
        for segment in 0..10 {
            let name = format!("s{segment}.ts");
            bench.write(format!("live/{name}.tmp"), "x".repeat(1_000));
            std::fs::rename(bench.path(format!("live/{name}.tmp")), bench.path(format!("live/{name}"))).unwrap();
            playlist.push_str(&format!("#EXTINF:2,\n{name}\n"));
            bench.write("live/index.m3u8.tmp", &playlist);
            std::fs::rename(bench.path("live/index.m3u8.tmp"), bench.path("live/index.m3u8")).unwrap();
            expected.push(format!("live/{name}"));
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        playlist.push_str("#EXT-X-ENDLIST\n");
        bench.write("live/index.m3u8", &playlist);
        bench.until("all is sent", async || bench.packages().await.concat().len() >= expected.len()).await;
        let mut sent = bench.packages().await.concat();
        sent.sort();
        assert_eq!(sent, expected, "{keys}");
        for upload in bench.uploads().await {
            for file in bench.files(&upload).await.iter().filter(|file| file.path.as_str() == "live/index.m3u8") {
                assert_eq!(file.identity.size, playlist.len() as u64, "{keys}");
            }
        }
    }
}
