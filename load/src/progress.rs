//! How far a load is, for people: a bar on a terminal, a line now and then in a pipe. Always on standard error.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::desk::Backlog;
use crate::meter::{Summary, grouped};

/// Between two lines in a pipe, and for how long a trouble is worth showing.
const LINE_EVERY: Duration = Duration::from_secs(5);

/// How to show progress. Posts that are refused are reported in any case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Show {
    /// A bar that moves.
    Bar,
    /// A line every five seconds.
    Lines,
    /// Nothing.
    Quiet,
}

impl Show {
    /// A bar if standard error is a terminal, lines if it is a pipe or a file.
    pub fn for_terminal() -> Show {
        if std::io::stderr().is_terminal() { Show::Bar } else { Show::Lines }
    }
}

/// Shows the progress of one load.
pub struct Progress {
    show: Show,
    bar: ProgressBar,
    /// Of all files, if that is known.
    bytes: Option<u64>,
    line_at: Instant,
    trouble: Option<(Instant, String)>,
}

impl Progress {
    /// Of a load of so many bytes.
    pub fn new(show: Show, bytes: Option<u64>) -> Progress {
        let target = match show {
            Show::Bar => ProgressDrawTarget::stderr(),
            Show::Lines | Show::Quiet => ProgressDrawTarget::hidden(),
        };
        let bar = ProgressBar::with_draw_target(bytes, target);
        let template = if bytes.is_some() { "{bar:24} {percent:>3}%  {wide_msg}" } else { "{spinner} {wide_msg}" };
        // Both templates are right; were one not, the bar would have its usual looks.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        Progress { show, bar, bytes, line_at: Instant::now() + LINE_EVERY, trouble: None }
    }

    /// Shows the counts as of now. To be called several times a second.
    pub fn sending(&mut self, summary: &Summary) {
        let seconds = summary.seconds.max(1e-3);
        let done = summary.accepted + summary.duplicates + summary.rejected;
        let (rate, bytes_rate) = (done as f64 / seconds, summary.bytes as f64 / seconds);
        let mut text = format!("{} articles, {} articles/s, ", grouped(done), grouped(rate as u64));
        text += &format!("{:.1} MB/s, {} retries", bytes_rate / 1e6, grouped(summary.retries));
        if summary.rejected > 0 {
            text += &format!(", {} rejected", grouped(summary.rejected));
        }
        if let (Some(bytes), true) = (self.bytes, bytes_rate > 0.0) {
            let left = bytes.saturating_sub(summary.bytes) as f64 / bytes_rate;
            text += &format!(", {} s left", grouped(left.ceil() as u64));
        }
        if let Some((_, trouble)) = self.trouble.as_ref().filter(|(at, _)| at.elapsed() < LINE_EVERY) {
            text += &format!(" [{trouble}]");
        }
        self.show(text);
        self.bar.set_position(self.bytes.map_or(summary.bytes, |bytes| summary.bytes.min(bytes)));
    }

    /// Shows how much is still to be counted, or why that is not known.
    pub fn waiting(&mut self, backlog: &Result<Backlog, String>) {
        self.show(match backlog {
            Ok(backlog) => {
                let (posts, results) = (grouped(backlog.posts), grouped(backlog.results));
                format!("waiting until everything is counted: {posts} posts and {results} batches are queued")
            }
            Err(reason) => format!("waiting until everything is counted; no answer: {reason}"),
        });
    }

    /// Keeps a trouble for the next lines; the first of a row is worth a line at once.
    pub fn trouble(&mut self, text: String) {
        let is_first = self.trouble.as_ref().is_none_or(|(at, _)| at.elapsed() >= LINE_EVERY);
        if is_first && self.show == Show::Lines {
            eprintln!("{text}");
        }
        self.trouble = Some((Instant::now(), text));
    }

    /// A line that stays, however progress is shown.
    pub fn report(&self, line: &str) {
        self.bar.suspend(|| eprintln!("{line}"));
    }

    /// Takes the bar away.
    pub fn clear(&self) {
        self.bar.finish_and_clear();
    }

    fn show(&mut self, text: String) {
        if self.show == Show::Lines && Instant::now() >= self.line_at {
            eprintln!("{text}");
            self.line_at = Instant::now() + LINE_EVERY;
        }
        self.bar.set_message(text);
        self.bar.tick();
    }
}
