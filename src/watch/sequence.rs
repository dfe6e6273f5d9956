//! How long to wait for the next frame of an image sequence.
//!
//! **In**: when the files of a folder were last seen to change, the rule's `quiet`. **Out**: how long nothing new must have arrived.
//! Pure.
//!
//! A renderer writes one numbered file after the other, each within its settle time and with a pause in between that may be
//! longer than `quiet`: every frame would be a package. The observed pauses show how long the next one may be. Before
//! there are any, a folder gets a multiple of `quiet`: with the first frame or two, and with frames that all came within `quiet`, which
//! may be the first batch of a render farm as well as a whole sequence that was copied.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::Path;
use std::time::Duration;

/// So many times the longest pause between two frames may the next one take, and so many times `quiet` the first ones.
const PATIENCE: u32 = 4;
/// From so many frames on the pauses between them are known.
const KNOWN_FROM: usize = 3;
/// Longest that a pause makes a folder wait.
const LONGEST: Duration = Duration::from_secs(3_600);

/// Ends of the names of files that are one picture of many.
const PICTURES: [&str; 13] =
    ["ari", "cin", "dng", "dpx", "exr", "hdr", "iff", "jpeg", "jpg", "png", "tga", "tif", "tiff"];

/// The name without its number: what the frames of a sequence share. `None` for what is no frame.
fn sequence_of(path: &Path) -> Option<(&Path, &[u8], &OsStr)> {
    let extension = path.extension()?;
    PICTURES.iter().find(|known| extension.eq_ignore_ascii_case(known))?;
    let stem = path.file_stem()?.as_encoded_bytes();
    let digits = stem.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    (digits >= 2).then(|| (path.parent().unwrap_or(Path::new("")), &stem[..stem.len() - digits], extension))
}

/// How long nothing new must have come into a folder with these files (path, last change) before it is packaged.
pub fn quiet_for<'a>(quiet: Duration, files: impl Iterator<Item = (&'a Path, Duration)>) -> Duration {
    let mut sequences: BTreeMap<_, Vec<Duration>> = BTreeMap::new();
    for (path, changed) in files {
        if let Some(sequence) = sequence_of(path) {
            sequences.entry(sequence).or_default().push(changed);
        }
    }
    let waits = sequences.into_values().map(|mut changes| {
        changes.sort_unstable();
        let pause = changes.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max().unwrap_or_default();
        let span =
            changes.last().zip(changes.first()).map_or(Duration::ZERO, |(last, first)| last.saturating_sub(*first));
        let first = if changes.len() < KNOWN_FROM || span < quiet { quiet } else { Duration::ZERO };
        (pause.max(first) * PATIENCE).min(LONGEST)
    });
    waits.fold(quiet, Duration::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUIET: Duration = Duration::from_secs(30);

    fn quiet(files: &[(&str, u64)]) -> u64 {
        quiet_for(QUIET, files.iter().map(|(path, at)| (Path::new(*path), Duration::from_secs(*at)))).as_secs()
    }

    /// Case: 36 seconds between frames, with a `quiet` of 30: five frames were five packages.
    #[test]
    fn the_longest_pause_between_frames_says_how_long_the_next_may_take() {
        assert_eq!(quiet(&[("s/f.0001.exr", 0), ("s/f.0002.exr", 36), ("s/f.0003.exr", 70)]), 144);
        assert_eq!(quiet(&[("s/f1001.DPX", 5), ("s/f1002.DPX", 20), ("s/f1003.DPX", 35)]), 60);
        let copied: Vec<_> = (0..40).map(|n| (format!("s/f10{n:02}.dpx"), n)).collect();
        assert_eq!(quiet(&copied.iter().map(|(path, at)| (path.as_str(), *at)).collect::<Vec<_>>()), 30, "copied");
        assert_eq!(quiet(&[("s/f_01.png", 0), ("s/f_02.png", 9_000), ("s/f_03.png", 9_001)]), 3_600);
    }

    #[test]
    fn before_there_are_pauses_the_first_frames_get_a_multiple_of_quiet() {
        assert_eq!(quiet(&[("s/f.0001.exr", 100)]), 120);
        assert_eq!(quiet(&[("s/f.0001.exr", 100), ("s/f.0002.exr", 136)]), 144);
    }

    /// A render farm delivers the frames of a sequence a batch at a time: each batch was a package.
    #[test]
    fn frames_that_come_in_batches_are_waited_for_from_the_first_batch_on() {
        let mut frames: Vec<(String, u64)> = (1..6).map(|n| (format!("s/f.000{n}.exr"), n)).collect();
        let wait =
            |frames: &[(String, u64)]| quiet(&frames.iter().map(|(path, at)| (path.as_str(), *at)).collect::<Vec<_>>());
        assert_eq!(wait(&frames), 120, "a batch, or all of it");
        frames.extend((6..11).map(|n| (format!("s/f.{n:04}.exr"), 60 + n)));
        assert_eq!(wait(&frames), 4 * 61);
    }

    #[test]
    fn other_files_and_other_sequences_are_no_frames_of_one() {
        assert_eq!(quiet(&[("s/a.mov", 0), ("s/b.mov", 500), ("s/clip0001.mov", 900)]), 30);
        assert_eq!(quiet(&[("s/still.tif", 0), ("s/take2.tif", 500)]), 30, "one digit counts takes, not frames");
        let three =
            |folder: &'static str, at: u64| (1..4).map(move |n| (format!("{folder}/f.000{n}.exr"), at + 15 * n));
        let files: Vec<_> = three("left", 0).chain(three("right", 900)).collect();
        assert_eq!(quiet(&files.iter().map(|(path, at)| (path.as_str(), *at)).collect::<Vec<_>>()), 60);
    }
}
