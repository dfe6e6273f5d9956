//! The log of the long-running processes, on standard error or in a file: one line per event.
//!
//! As text it is for people; under the journal each line begins with its priority (`<4>`, sd-daemon(3)), and the
//! journal records the time. As JSON it is for log collectors. In both, each line says which upload, download or rule it is about:
//! in its own fields or in those of the enclosing spans.

use std::fmt::{self, Write};
use std::io::IsTerminal;
use std::path::Path;

use anstyle::{AnsiColor, Style};
use jiff::Timestamp;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::format::{FormatEvent, FormatFields, Writer};
use tracing_subscriber::fmt::writer::BoxMakeWriter;
use tracing_subscriber::fmt::{FmtContext, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use super::error::CliError;
use super::log_file::LogFile;
use super::output::visible;
use crate::agent::LogFormat;

/// Starts the log of this process.
pub(super) fn start(format: LogFormat, level: Option<&str>, file: Option<&Path>) -> Result<(), CliError> {
    let terminal = file.is_none() && std::io::stderr().is_terminal();
    let level = level.unwrap_or(if terminal { "warn" } else { "info" });
    // The notify crate warns about every folder that disappears before it is unwatched; our scans notice that anyway.
    let filter = if level.contains("notify=") { level.to_owned() } else { format!("{level},notify=error") };
    let filter = EnvFilter::try_new(filter)
        .map_err(|error| CliError::usage(format!("--log-level: {level:?} is not a valid level: {error}")))?;
    let writer = match file {
        Some(path) => BoxMakeWriter::new(
            LogFile::open(path)
                .map_err(|error| CliError::usage(format!("--log-file: cannot write to {}: {error}", path.display())))?,
        ),
        None => BoxMakeWriter::new(std::io::stderr),
    };
    // A line that cannot be written would be reported on stderr, and where that is on the same disk, end what logs by a panic.
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(writer).log_internal_errors(false);
    let started = match format {
        LogFormat::Json => log.json().flatten_event(true).with_current_span(false).try_init(),
        LogFormat::Text => {
            let journal = file.is_none() && masv_platform::stderr_is_journal();
            let lines = if journal { Lines::Journal } else { Lines::Plain { colours: terminal } };
            log.with_ansi(false).event_format(lines).try_init()
        }
    };
    started.map_err(|error| CliError::failed(format!("cannot start the log: {error}")))
}

/// The prefix of a line.
#[derive(Clone, Copy)]
enum Lines {
    /// Priority only: the journal records the time.
    Journal,
    /// Time and level.
    Plain { colours: bool },
}

impl Lines {
    fn begin(self, level: Level, writer: &mut Writer<'_>) -> fmt::Result {
        let Self::Plain { colours } = self else { return write!(writer, "<{}>", priority(level)) };
        let style = match level {
            Level::ERROR => AnsiColor::Red.on_default(),
            Level::WARN => AnsiColor::Yellow.on_default(),
            _ => Style::new().dimmed(),
        };
        let style = if colours { style } else { Style::new() };
        write!(writer, "{:.6} {style}{level:>5}{style:#} ", Timestamp::now())
    }
}

impl<S, N> FormatEvent<S, N> for Lines
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, context: &FmtContext<'_, S, N>, mut writer: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let mut line = String::new();
        for span in context.event_scope().into_iter().flat_map(|scope| scope.from_root()) {
            let extensions = span.extensions();
            let fields = extensions.get::<FormattedFields<N>>().map_or("", |fields| fields.as_str());
            write!(line, "{}{{{fields}}}: ", span.name())?;
        }
        context.field_format().format_fields(Writer::new(&mut line), event)?;
        self.begin(*event.metadata().level(), &mut writer)?;
        writeln!(writer, "{}: {}", event.metadata().target(), visible(&line.replace("\r\n", "\n").replace('\n', " | ")))
    }
}

/// syslog(3)'s numbers.
fn priority(level: Level) -> u8 {
    match level {
        Level::ERROR => 3,
        Level::WARN => 4,
        Level::INFO => 6,
        Level::DEBUG | Level::TRACE => 7,
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// Case: a line of the log stays one line, whatever it tells of.
    #[test]
    fn a_line_of_the_journal_has_its_priority_and_ids_and_is_one_line() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).event_format(Lines::Journal);
        let log = log.with_writer(move || writer.clone()).finish();
        tracing::subscriber::with_default(log, || {
            let span = tracing::info_span!("transfer", id = 7);
            span.in_scope(|| tracing::warn!(part = 3, "two\nlines"));
        });
        let text = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(text, "<4>masv_agent::cli::log::tests: transfer{id=7}: two | lines part=3\n");
    }
}
