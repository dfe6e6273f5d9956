//! Whatever the input, no panic and no blow-up.

use super::*;
use proptest::prelude::*;

#[test]
fn a_machine_made_line_full_of_errors_is_told_briefly() {
    let keys: Vec<String> = (0..5000).map(|number| format!("k{number}: x")).collect();
    let errors = read(&format!("{{version: 1, {}}}", keys.join(", "))).unwrap_err();
    assert_eq!(errors.0.len(), 101);
    assert_eq!(errors.0[100].message, "and 4900 more");
    assert!(errors.to_string().len() < 100_000);
    assert!(errors.0[50].to_string().contains(&format!("rules.yaml:1:{}", errors.0[50].column)));
}

#[test]
fn many_rules_are_read_in_a_moment_and_too_many_are_refused() {
    let many = |count: usize| {
        let rule = |number| format!("  - {{ name: r{number}, watch: /srv/{number}, upload: {{ kind: link }} }}\n");
        format!("version: 1\nrules:\n{}", (0..count).map(rule).collect::<String>())
    };
    assert_eq!(read(&many(300)).unwrap().rules.len(), 300);
    assert!(read(&many(1001)).unwrap_err().to_string().contains("more than 1000 rules"));
}

/// Case: aliases that multiply are refused, without taking memory or time.
#[test]
fn aliases_do_not_multiply_without_bound() {
    let levels: String =
        (1..12).map(|n| format!("a{n}: &a{n} [{}]\n", vec![format!("*a{}", n - 1); 9].join(", "))).collect();
    assert!(read(&format!("a0: &a0 [x]\n{levels}")).is_err());
}

/// Words a rules file is made of, to be thrown together.
fn words() -> impl Strategy<Value = String> {
    let word = prop::sample::select(vec![
        "version: 1\n",
        "rules:\n",
        "  - ",
        "name: ",
        "a",
        "watch: ",
        "./x",
        "\n    ",
        "upload: ",
        "{ kind: link }",
        "\n",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        ": ",
        ", ",
        "*",
        "&x ",
        "*x",
        "${",
        "}",
        "{{",
        "}}",
        "<<: ",
        "!!str ",
        "| \n",
        "schedule: ",
        "* * * * *",
        "between: ",
        "22:00-06:00",
        "days: ",
        "mon-fri",
        "package: ",
        "batch",
        "settle: ",
        "10s",
        "include: ",
        "\"**/*.mov\"",
        "after: ",
        "move: ",
        "~",
        "..",
        "/",
        "\u{0}",
        "é",
        "\t",
        "#",
        "---",
        "null",
        "1e999",
        "-1",
        "99999999999999999999",
        "uploads:\n",
        "defaults:\n",
        "cloud:\n",
        "notify: ",
        "\\",
        "{{ files }}",
    ]);
    prop::collection::vec(word, 0..60).prop_map(|words| words.concat())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 100, failure_persistence: None, ..ProptestConfig::default() })]

    /// Case: any text as a rules file.
    #[test]
    fn no_text_panics(text in "\\PC{0,200}") {
        let _ = read(&text).map_err(|errors| errors.to_string());
    }

    /// Case: any jumble of the words of rules files.
    #[test]
    fn no_jumble_of_words_panics(text in words()) {
        let _ = read(&text).map_err(|errors| errors.to_string());
        let _ = edit::add_rule(&text, "name: a\nwatch: b\n");
    }

    #[test]
    fn no_damaged_example_panics(at in 0..EXAMPLE.len(), length in 0..40_usize, with in "\\PC{0,5}") {
        let from = EXAMPLE.floor_char_boundary(at);
        let to = EXAMPLE.floor_char_boundary((from + length).min(EXAMPLE.len()));
        let text = format!("{}{with}{}", &EXAMPLE[..from], &EXAMPLE[to..]);
        if let Err(errors) = read(&text) {
            prop_assert!(errors.0.iter().all(|error| error.line > 0 && !error.to_string().is_empty()));
        }
    }

    #[test]
    fn a_rule_added_is_there_and_nothing_else_changes(name in "[a-z]{1,8}", at in 0..EXAMPLE.len()) {
        let text = &EXAMPLE[..EXAMPLE.floor_char_boundary(at)];
        if let Ok(edited) = edit::add_rule(text, &format!("name: {name}\nwatch: ./{name}\n")) {
            prop_assert!(edited.contains(&name));
            for line in text.lines().filter(|line| line.contains('#')) {
                prop_assert!(edited.contains(line), "{line}");
            }
        }
    }

    #[test]
    fn no_template_panics(source in "(\\{\\{|\\}\\}|\\{%|%\\}| |for|in|files|path|\\[|\\]|[0-9]|\\||date|regex|slug|\\(|\\)|'|%|x){0,20}") {
        let _ = Template::new(&source, &std::sync::Arc::default());
    }

    #[test]
    fn no_name_panics(bytes in prop::collection::vec(any::<u8>(), 0..40), size in any::<u64>()) {
        let rule = rule("include: [\"*.m?v\", \"[a-z]*/**\"]\nexclude: [\"{a,b}*\"]\nready: { marker: .done }");
        let path = masv_platform::bytes_to_path(&bytes);
        let explained = rule.explain(&path, size).iter().all(|test| test.passed);
        prop_assert_eq!(explained, rule.matches(&path, size));
        let _ = (rule.may_contain(&path), rule.ready.markers_of(&path));
    }
}
