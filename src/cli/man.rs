//! The manual pages: what clap knows of a command, and the sections that a reader of manual pages looks for.

use std::fmt::Write as _;
use std::io::{self, Write};
use std::path::Path;

use clap::Command;
use clap_mangen::Man;

use super::error::Exit;

/// Variables that no flag stands for.
const VARIABLES: [(&str, &str); 5] = [
    ("MASV_TOKEN", "The token for calls to the agent's API; --with-token names a file that contains it."),
    ("MASV_DATA_DIR", "The data directory of the agent, in which its address and token are found."),
    (
        "MASV_HUB_KEY",
        "An admin's key, with which `masv hub` reaches a hub elsewhere; --key-file names a file that contains it.",
    ),
    ("COLUMNS", "The width of tables on a terminal that does not say how wide it is."),
    ("NO_COLOR", "Turns colours off if it is set."),
];

const FILES: [(&str, &str); 4] = [
    (
        "~/.local/share/masv-agent",
        "The data directory of an agent that a user starts; on macOS, ~/Library/Application Support/masv-agent.",
    ),
    ("/var/lib/masv-agent", "The data directory of the system service."),
    (
        "/etc/masv-agent/agent.yaml",
        "The settings of the system service; on macOS, /usr/local/etc/masv-agent/agent.yaml.",
    ),
    ("~/.config/masv", "Contexts and their tokens; on macOS, ~/Library/Application Support/masv."),
];

/// Writes a page for the command and each one below it.
pub(super) fn write_all(command: &Command, folder: &Path) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let mut command = command.clone().disable_help_subcommand(true);
    command.build();
    write_below(&command, None, folder)
}

fn write_below(command: &Command, above: Option<&str>, folder: &Path) -> io::Result<()> {
    let name = name(command);
    std::fs::write(folder.join(format!("{name}.1")), page(command, above)?)?;
    command
        .get_subcommands()
        .filter(|below| !below.is_hide_set())
        .try_for_each(|below| write_below(below, Some(&name), folder))
}

/// The page of the program itself.
pub(super) fn main_page(command: &Command) -> io::Result<Vec<u8>> {
    let mut command = command.clone().disable_help_subcommand(true);
    command.build();
    page(&command, None)
}

fn name(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn page(command: &Command, above: Option<&str>) -> io::Result<Vec<u8>> {
    let man = Man::new(command.clone());
    let mut page = Vec::new();
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if command.has_subcommands() {
        man.render_subcommands_section(&mut page)?;
    }
    page.write_all(sections(command, above).as_bytes())?;
    Ok(page)
}

fn sections(command: &Command, above: Option<&str>) -> String {
    let mut text = String::new();
    let examples = command.get_after_help().map(ToString::to_string).unwrap_or_default();
    if !examples.trim().is_empty() {
        text += ".SH EXAMPLES\n";
        for line in examples.lines() {
            match line.strip_prefix("  ") {
                Some(example) => text += &format!(".PP\n.nf\n    {}\n.fi\n", escaped(example)),
                None if matches!(line, "Example:" | "Examples:" | "") => {}
                None => text += &format!(".PP\n{}\n", escaped(line)),
            }
        }
    }
    text += ".SH \"EXIT STATUS\"\n";
    for (exit, means) in Exit::ALL {
        entry(&mut text, &exit.to_string(), means);
    }
    text += ".SH ENVIRONMENT\n";
    for argument in command.get_arguments() {
        if let (Some(variable), Some(flag)) = (argument.get_env().and_then(|name| name.to_str()), argument.get_long()) {
            entry(&mut text, variable, &format!("The same as --{flag}, which takes precedence."));
        }
    }
    VARIABLES.iter().for_each(|(name, means)| entry(&mut text, name, means));
    text += ".SH FILES\n";
    FILES.iter().for_each(|(name, means)| entry(&mut text, name, means));
    let below = command.get_subcommands().filter(|below| !below.is_hide_set()).map(name);
    let mut others: Vec<String> = above.map(str::to_owned).into_iter().chain(below).collect();
    if above.is_some_and(|above| above != "masv") {
        others.push("masv".to_owned());
    }
    others.sort();
    let others: Vec<String> = others.iter().map(|name| format!(".BR {} (1)", escaped(name))).collect();
    text += &format!(".SH \"SEE ALSO\"\n{}\n", others.join(",\n"));
    text
}

fn entry(text: &mut String, name: &str, means: &str) {
    // Writing to a text does not fail.
    let _ = writeln!(text, ".TP\n.B {}\n{}", escaped(name), escaped(means));
}

/// Text in which nothing is a request of roff.
fn escaped(text: &str) -> String {
    let text = text.replace('\\', "\\e").replace('-', "\\-");
    if text.starts_with(['.', '\'']) { format!("\\&{text}") } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples were under the heading "EXTRA", and there was no word on exit codes, variables and files.
    #[test]
    fn each_page_has_the_sections_that_a_reader_looks_for() {
        let folder = tempfile::tempdir().unwrap();
        let into = folder.path().join("not/yet/there");
        write_all(&crate::cli::command(), &into).unwrap();
        let pages: Vec<_> = std::fs::read_dir(&into).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(pages.len() > 100, "{}", pages.len());
        let names: Vec<String> =
            pages.iter().map(|page| page.file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        for page in &pages {
            let text = std::fs::read_to_string(page).unwrap();
            for section in ["NAME", "SYNOPSIS", "\"EXIT STATUS\"", "ENVIRONMENT", "FILES", "\"SEE ALSO\""] {
                assert!(text.contains(&format!(".SH {section}\n")), "{}: {section}", page.display());
            }
            assert!(!text.contains(".SH EXTRA"), "{}", page.display());
            let see = text.split(".SH \"SEE ALSO\"").nth(1).unwrap();
            for other in see.lines().filter_map(|line| line.strip_prefix(".BR ")) {
                let other = other.split(' ').next().unwrap().replace("\\-", "-");
                assert!(names.contains(&other), "{}: {other}", page.display());
            }
        }
        let start = std::fs::read_to_string(into.join("masv-server-start.1")).unwrap();
        assert!(start.contains(".SH EXAMPLES\n") && start.contains("MASV_CLOUD_URL"), "{start}");
    }

    #[test]
    fn no_text_is_a_request() {
        assert_eq!(escaped(".a \\ -b"), "\\&.a \\e \\-b");
    }
}
