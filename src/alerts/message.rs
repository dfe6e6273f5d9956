//! What is told: one message about all that has changed. Pure.

use std::fmt::Write;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::state::Change;

/// The event of a message in which something is wrong.
const RAISED: &str = "alert.raised";
/// The event of one in which everything is over.
const OVER: &str = "alert.over";

/// The message, as it is posted. `text` says the same in words, which is what chat programs show, and what a mail contains.
pub(super) fn message(now: Timestamp, host: &str, change: &Change) -> Value {
    let mut text = String::new();
    for trouble in &change.raised {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}: {}", trouble.name, trouble.finding);
        if let Some(todo) = &trouble.todo {
            let _ = writeln!(text, "    {todo}");
        }
    }
    for name in &change.over {
        let _ = writeln!(text, "{name}: this is over");
    }
    let raised = change.raised.iter();
    let raised: Vec<Value> =
        raised.map(|one| json!({ "name": one.name, "finding": one.finding, "todo": one.todo })).collect();
    json!({
        "event": if change.raised.is_empty() { OVER } else { RAISED },
        "at": now,
        "host": host,
        "raised": raised,
        "over": change.over,
        "subject": subject(host, change),
        "text": text,
    })
}

fn subject(host: &str, change: &Change) -> String {
    let names: Vec<&str> = change.raised.iter().map(|one| one.name.as_str()).collect();
    let subject = match names.is_empty() {
        false => format!("masv on {host}: {}", names.join(", ")),
        true => format!("masv on {host}: {}: over", change.over.join(", ")),
    };
    subject.chars().map(|character| if character.is_control() { ' ' } else { character }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::Trouble;
    use super::*;

    #[test]
    fn a_message_says_what_where_and_what_to_do_in_fields_and_in_words() {
        let disk = Trouble { name: "disk".into(), finding: "1 MB free".into(), todo: Some("free space".into()) };
        let change = Change { raised: vec![disk], over: vec!["cloud".into()] };
        let told = message(Timestamp::UNIX_EPOCH, "ingest-1", &change);
        assert_eq!(told["event"], "alert.raised");
        assert_eq!(told["subject"], "masv on ingest-1: disk");
        assert_eq!(told["text"], "disk: 1 MB free\n    free space\ncloud: this is over\n");
        assert_eq!(told["raised"][0]["todo"], "free space");
        let over = message(Timestamp::UNIX_EPOCH, "a\nb", &Change { raised: vec![], over: vec!["cloud".into()] });
        assert_eq!((&over["event"], &over["subject"]), (&"alert.over".into(), &"masv on a b: cloud: over".into()));
    }
}
