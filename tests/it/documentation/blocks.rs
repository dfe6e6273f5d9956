//! What a page has in its blocks: commands to run with what they print, and fragments.

/// What a console block asks for.
pub enum Step<'a> {
    /// A command after `$`, with what it is shown to print.
    Run { command: String, shown: Vec<&'a str> },
    /// A block without a command: what the running agent says.
    Told(Vec<&'a str>),
}

/// The steps of a page's console blocks, in order. A command continues on the next line after a backslash.
pub fn steps(text: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    for (language, lines) in blocks(text).filter(|(language, _)| *language == "console") {
        debug_assert_eq!(language, "console");
        if is_fragment(&lines) {
            continue;
        }
        let (mut commands, mut told) = (Vec::new(), Vec::new());
        let mut lines = lines.into_iter();
        while let Some(line) = lines.next() {
            match (line.strip_prefix("$ "), commands.last_mut()) {
                (Some(command), _) => {
                    let command = continued(command, &mut lines);
                    commands.push(Step::Run { command, shown: Vec::new() });
                }
                (None, Some(Step::Run { shown, .. })) => shown.push(line),
                (None, _) => told.push(line),
            }
        }
        if commands.is_empty() {
            commands.push(Step::Told(told));
        }
        steps.extend(commands);
    }
    steps
}

/// Shell that a page shows and no test runs: `sh` blocks, and what root types (`#`).
pub fn fragments(text: &str) -> Vec<String> {
    let mut fragments = Vec::new();
    for (language, lines) in blocks(text) {
        match language {
            "sh" => fragments.push(lines.join("\n")),
            "console" if is_fragment(&lines) => {
                let mut lines = lines.into_iter();
                while let Some(line) = lines.next() {
                    fragments.extend(line.strip_prefix("# ").map(|command| continued(command, &mut lines)));
                }
            }
            _ => {}
        }
    }
    fragments
}

fn is_fragment(lines: &[&str]) -> bool {
    lines.first().is_some_and(|line| line.starts_with("# "))
}

fn continued<'a>(first: &str, lines: &mut impl Iterator<Item = &'a str>) -> String {
    let mut command = first.to_owned();
    while let Some(before) = command.strip_suffix('\\') {
        command = format!("{before}{}", lines.next().unwrap_or_default());
    }
    command
}

/// Every fenced block: its language, its lines without the indentation of the fence.
fn blocks(text: &str) -> impl Iterator<Item = (&str, Vec<&str>)> {
    let mut lines = text.lines();
    std::iter::from_fn(move || {
        let fence = lines.find(|line| line.trim_start().starts_with("```"))?;
        let indentation = fence.len() - fence.trim_start().len();
        let within = lines.by_ref().take_while(|line| !line.trim_start().starts_with("```"));
        let within = within.map(|line| line.get(indentation..).unwrap_or_default()).collect();
        Some((fence.trim_start().trim_start_matches('`'), within))
    })
}

/// The simple commands of a piece of shell, as words; without here-documents and comments.
pub fn simple_commands(script: &str) -> Vec<Vec<String>> {
    let (mut commands, mut words, mut word, mut begun) = (Vec::new(), Vec::new(), String::new(), false);
    let mut quote = None;
    let text = without_here_documents(script);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (Some(open), _) if character == open => quote = None,
            (Some('"'), '\\') | (None, '\\') => {
                let next = characters.next();
                word.extend(next.filter(|next| *next != '\n'));
                begun |= next.is_some_and(|next| next != '\n');
            }
            (Some(_), _) => word.push(character),
            (None, '\'' | '"') => (quote, begun) = (Some(character), true),
            (None, '#') if !begun => while characters.next_if(|next| *next != '\n').is_some() {},
            (None, ' ' | '\t' | '\n' | '|' | '&' | ';' | '>' | '<' | '(' | ')') => {
                if std::mem::take(&mut begun) {
                    words.push(std::mem::take(&mut word));
                }
                if !matches!(character, ' ' | '\t') && !words.is_empty() {
                    commands.push(std::mem::take(&mut words));
                }
            }
            (None, _) => {
                word.push(character);
                begun = true;
            }
        }
    }
    words.extend(begun.then_some(word));
    commands.extend((!words.is_empty()).then_some(words));
    commands
}

fn without_here_documents(script: &str) -> String {
    let (mut kept, mut end) = (String::new(), None);
    for line in script.lines() {
        match &end {
            Some(word) if line.trim() == *word => end = None,
            Some(_) => {}
            None => {
                let (before, after) = line.split_once("<<").unwrap_or((line, ""));
                end = after.split_whitespace().next().map(|word| word.trim_matches(['\'', '"']).to_owned());
                kept += before;
                kept.push('\n');
            }
        }
    }
    kept
}

#[test]
fn shell_is_taken_apart_as_the_shell_does() {
    let script =
        "sudo masv x --name 'a b' \\\n  --flag \"c;d\" | jq . # masv no\ntee f <<'END'\nmasv not\nEND\nmasv y > z";
    let commands = simple_commands(script);
    let wanted: [&[&str]; 5] =
        [&["sudo", "masv", "x", "--name", "a b", "--flag", "c;d"], &["jq", "."], &["tee", "f"], &["masv", "y"], &["z"]];
    assert_eq!(commands, wanted);
    let page = "```console\n$ one \\\n two\nprinted\n```\n  ```sh\n  masv a\n  ```\n```console\ntold\n```\n```console\n# masv b\n```\n";
    let steps = steps(page);
    assert!(matches!(&steps[0], Step::Run { command, shown } if command == "one  two" && shown == &["printed"]));
    assert!(matches!(&steps[1], Step::Told(lines) if lines == &["told"]));
    assert_eq!(fragments(page), ["masv a", "masv b"]);
}
