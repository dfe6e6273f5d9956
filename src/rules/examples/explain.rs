//! Opens a rules file and explains what each of its rules does with a path in its folder.
//!
//! ```sh
//! cargo run -p masv-rules --example explain -- rules.example.yaml card/clip.mov
//! ```

#![expect(clippy::print_stdout, reason = "an example prints what it found")]

use std::error::Error;
use std::path::Path;

use masv_rules::{SystemEnvironment, load};

/// Sizes matter in rules with `min_size` and `max_size`; this stands for a file that does not exist yet.
const SIZE: u64 = 1_000_000;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let (Some(file), Some(path)) = (arguments.next(), arguments.next()) else {
        return Err("usage: explain RULES PATH".into());
    };
    // All errors of the file at once, each with its line.
    let set = load(Path::new(&file), &SystemEnvironment)?;
    for rule in &set.rules {
        let takes = if rule.matches(Path::new(&path), SIZE) { "sends it" } else { "does not send it" };
        println!("{} ({}): {takes}", rule.name, rule.watch.display());
        for test in rule.explain(Path::new(&path), SIZE) {
            println!("  {} {}: {}", if test.passed { "passed" } else { "failed" }, test.test, test.detail);
        }
    }
    Ok(())
}
