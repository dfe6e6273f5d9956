//! Progress bars that fit the terminal.

use indicatif::ProgressStyle;

use super::output::columns_of_terminal;

/// The columns of a terminal that is not written to itself, but shows the bars.
const USUAL_COLUMNS: usize = 80;

/// How bars look in a terminal of some width.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bars {
    /// For the name; a longer one is cut.
    name: usize,
    /// For the bar; 0 for none.
    bar: usize,
}

impl Bars {
    /// For the terminal as it is now.
    pub(super) fn now() -> Self {
        Self::within(columns_of_terminal().unwrap_or(USUAL_COLUMNS))
    }

    fn within(columns: usize) -> Self {
        let (name, bar) = match columns {
            100.. => (24, 28),
            70.. => (20, 16),
            50.. => (16, 8),
            _ => (columns / 3, 0),
        };
        Self { name, bar }
    }

    fn template(self) -> String {
        let bar = if self.bar > 0 { format!(" {{bar:{}}}", self.bar) } else { String::new() };
        // The message takes what is left, and is cut there: a line that wraps could not be drawn over.
        format!("{{prefix:{}!}}{bar} {{percent:>3}}%  {{wide_msg}}", self.name)
    }

    pub(super) fn style(self) -> ProgressStyle {
        let style = ProgressStyle::with_template(&self.template());
        style.unwrap_or_else(|_| ProgressStyle::default_bar()).progress_chars("━╸ ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// With a name of 24 columns and a bar of 28, each line wrapped at 40 columns and left remnants.
    #[test]
    fn there_is_room_for_a_message_beside_the_bar() {
        for columns in [20, 40, 50, 70, 80, 100, 200] {
            let Bars { name, bar } = Bars::within(columns);
            let taken = name + bar + usize::from(bar > 0) + " 100%  ".len();
            assert!(columns - taken >= columns / 4, "{columns}: {taken}");
            assert!(ProgressStyle::with_template(&Bars::within(columns).template()).is_ok());
        }
    }
}
