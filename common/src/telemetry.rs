//! Logs: text for people on a terminal, one JSON object a line otherwise. Always on standard error, so that standard
//! output stays what the command prints.

use std::io::IsTerminal;

use tracing_subscriber::filter::LevelFilter;

/// The environment variable that sets the level: `error`, `warn`, `info` (the default), `debug`, `trace`, `off`.
pub const LEVEL_VARIABLE: &str = "COPYDESK_LOG";

/// Starts logging for this process. Called once, first thing in `main`; a second call changes nothing.
///
/// Returns the value of [`LEVEL_VARIABLE`] if it is not a level, for the caller to refuse.
pub fn init() -> Result<(), String> {
    let level = match std::env::var(LEVEL_VARIABLE) {
        Ok(text) => text.parse::<LevelFilter>().map_err(|_| {
            format!("{LEVEL_VARIABLE} is {text:?}; allowed are error, warn, info, debug, trace and off")
        })?,
        Err(_) => LevelFilter::INFO,
    };
    let builder = tracing_subscriber::fmt().with_max_level(level).with_writer(std::io::stderr).with_target(false);
    // A second subscriber in one process can only be a test's, which keeps the first.
    let _ = if std::io::stderr().is_terminal() {
        builder.compact().try_init()
    } else {
        builder.json().flatten_event(true).with_ansi(false).try_init()
    };
    Ok(())
}
