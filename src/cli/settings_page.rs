//! The tables in docs/settings.md, generated from the flags and compared.

use std::collections::BTreeMap;

use clap::{Arg, Command, CommandFactory};

use super::Arguments;

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/settings.md");

fn one_line(argument: &Arg) -> String {
    let help = argument.get_help().map(ToString::to_string).unwrap_or_default();
    help.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn variable(argument: &Arg) -> Option<String> {
    argument.get_env().map(|name| name.to_string_lossy().into_owned())
}

/// A command's own settings.
fn settings(command: &Command) -> String {
    let mut table = String::from("| flag | variable | what |\n|---|---|---|\n");
    for argument in command.get_arguments().filter(|argument| !argument.is_global_set()) {
        let Some(flag) = argument.get_long().filter(|flag| *flag != "help") else { continue };
        let variable = variable(argument).map(|name| format!("`{name}`")).unwrap_or_default();
        table += &format!("| `--{flag}` | {variable} | {} |\n", one_line(argument));
    }
    table
}

/// Every variable that a command reads, with the equivalent flags.
fn variables(command: &Command, path: &str, found: &mut BTreeMap<String, Vec<String>>) {
    for argument in command.get_arguments() {
        if let (Some(name), Some(flag)) = (variable(argument), argument.get_long()) {
            let place = if argument.is_global_set() { format!("`--{flag}`") } else { format!("`{path} --{flag}`") };
            let places = found.entry(name).or_default();
            if !places.contains(&place) {
                places.push(place);
            }
        }
    }
    for below in command.get_subcommands() {
        variables(below, &format!("{path} {}", below.get_name()), found);
    }
}

/// The page with the text between two markers replaced.
fn replaced(page: &str, mark: &str, table: &str) -> String {
    let mark = format!("<!-- {mark} -->");
    let mut parts = page.splitn(3, &mark);
    let (before, after) = (parts.next().unwrap(), parts.nth(1).unwrap());
    format!("{before}{mark}\n\n{table}\n{mark}{after}")
}

#[test]
fn the_page_of_settings_is_that_of_the_flags() {
    let mut command = Arguments::command();
    command.build();
    let server = command.find_subcommand("server").and_then(|server| server.find_subcommand("start")).unwrap();
    let mut found = BTreeMap::new();
    variables(&command, "masv", &mut found);
    let mut all = String::from("| variable | is |\n|---|---|\n");
    for (name, places) in found {
        all += &format!("| `{name}` | {} |\n", places.join(", "));
    }
    let written = std::fs::read_to_string(PAGE).unwrap();
    let page = replaced(&replaced(&written, "settings", &settings(server)), "variables", &all);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(PAGE, &page).unwrap();
    }
    let written = std::fs::read_to_string(PAGE).unwrap();
    assert!(written == page, "docs/settings.md is out of date: run `UPDATE_DOCS=1 cargo test --lib cli::`");
}
