//! How a command fails: an exit code that scripts can rely on, and a message that ends with the next thing to try.

use std::fmt;
use std::process::ExitCode;

use common::exit;

/// Why a command did not do what was asked.
#[derive(Debug)]
pub struct Failure {
    code: i32,
    message: String,
}

impl Failure {
    /// Something went wrong on the way: exit code 1.
    pub fn new(message: impl fmt::Display) -> Failure {
        Failure { code: exit::FAILED, message: message.to_string() }
    }

    /// Arguments that fit no command: exit code 2.
    pub fn usage(message: impl fmt::Display) -> Failure {
        Failure { code: exit::USAGE, message: message.to_string() }
    }

    /// Settings or a data directory that can't be used: exit code 78.
    pub fn settings(message: impl fmt::Display) -> Failure {
        Failure { code: exit::SETTINGS, message: message.to_string() }
    }

    /// Any other of the documented exit codes.
    pub fn with_code(code: i32, message: impl fmt::Display) -> Failure {
        Failure { code, message: message.to_string() }
    }

    /// Prints the message to standard error and gives the exit code.
    pub fn report(self) -> ExitCode {
        eprintln!("copydesk: {}", self.message);
        ExitCode::from(u8::try_from(self.code).unwrap_or(1))
    }
}
