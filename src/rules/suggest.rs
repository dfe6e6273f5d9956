//! The known word that an unknown one was probably meant to be.

/// The known word with the fewest edits to `word`, if they are few enough to be a typo.
pub(super) fn nearest<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase().replace('-', "_");
    let allowed = if word.chars().count() <= 4 { 1 } else { 2 + word.chars().count() / 8 };
    if word.chars().count() > 64 {
        return None;
    }
    known.iter().map(|known| (edits(&word, known), *known)).filter(|(edits, _)| *edits <= allowed).min().map(|it| it.1)
}

/// Words that other tools use, and the equivalent key here.
const SYNONYMS: [(&str, &str); 14] = [
    ("recipients", "emails"),
    ("recipient", "emails"),
    ("to", "emails"),
    ("email", "emails"),
    ("mail", "emails"),
    ("path", "watch"),
    ("folder", "watch"),
    ("directory", "watch"),
    ("source", "watch"),
    ("destination", "into"),
    ("target", "into"),
    ("filter", "include"),
    ("ignore", "exclude"),
    ("cron", "schedule"),
];

/// The known word that means the same as one that other tools use.
pub(super) fn meant<'a>(word: &str, known: &[&'a str]) -> Option<&'a str> {
    let word = word.to_lowercase();
    let (_, meant) = SYNONYMS.into_iter().find(|(synonym, meant)| *synonym == word && known.contains(meant))?;
    known.iter().find(|known| **known == meant).copied()
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one into the other
/// (optimal string alignment distance).
fn edits(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut rows: Vec<Vec<usize>> = vec![(0..=right.len()).collect()];
    for (i, a) in left.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let mut cost = (rows[i][j] + usize::from(a != b)).min(rows[i][j + 1] + 1).min(row[j] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                cost = cost.min(rows[i - 1][j - 1] + 1);
            }
            row.push(cost);
        }
        rows.push(row);
    }
    rows[left.len()][right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_recognised_and_other_words_are_not() {
        let known = ["settle", "include", "exclude", "max_size"];
        assert_eq!(nearest("setle", &known), Some("settle"));
        assert_eq!(nearest("Inculde", &known), Some("include"));
        assert_eq!(nearest("max-size", &known), Some("max_size"));
        assert_eq!(nearest("color", &known), None);
        assert_eq!((meant("ignore", &known), meant("recipients", &known)), (Some("exclude"), None));
    }
}
