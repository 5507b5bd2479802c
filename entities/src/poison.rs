//! The `test` engine: the `desk` engine, which a text with a marker, `test-engine:abort` and the like, makes fail. For
//! tests of what a pipeline does then; compiled only with the feature `test-engine`, which nothing that users run has.

use std::path::Path;
use std::time::Duration;

use crate::desk::Desk;
use crate::engine::{Engine, EngineError, Found};

/// Bytes taken at once by a text that allocates without end.
const ALLOCATED_BYTES: usize = 64 << 20;
/// The end after all, where nothing bounds memory: a test must not take the whole machine.
const ALLOCATED_BYTES_MAX: usize = 4 << 30;

/// What a slow text takes.
const SLOW: Duration = Duration::from_millis(10);

/// The engine.
#[derive(Debug)]
pub struct Poisonable {
    desk: Desk,
}

impl Poisonable {
    /// With the weights that ship, or with those of a file.
    pub fn open(path: Option<&Path>) -> Result<Poisonable, EngineError> {
        Desk::open(path).map(|desk| Poisonable { desk })
    }
}

impl Engine for Poisonable {
    fn name(&self) -> &str {
        self.desk.name()
    }

    fn labels(&self) -> &[String] {
        self.desk.labels()
    }

    fn find<'t>(&mut self, text: &'t str) -> Vec<Found<'t>> {
        match text.split_once("test-engine:").map(|(_, rest)| rest.split_whitespace().next().unwrap_or_default()) {
            Some("abort") => std::process::abort(),
            Some("panic") => fail(),
            Some("hang") => hang(),
            Some("allocate") => allocate(),
            Some("slow") => {
                std::thread::sleep(SLOW);
                self.desk.find(text)
            }
            _ => self.desk.find(text),
        }
    }
}

#[expect(clippy::panic, reason = "it is what this engine is for")]
fn fail() -> ! {
    panic!("the text says so")
}

fn hang() -> ! {
    loop {
        std::thread::park();
    }
}

/// Ends the process by the limit of its memory, or by itself at a bound that no process should need.
fn allocate() -> ! {
    let mut taken = Vec::new();
    while taken.len() * ALLOCATED_BYTES < ALLOCATED_BYTES_MAX {
        // Not zeros, which the kernel would not have to keep.
        taken.push(vec![1_u8; ALLOCATED_BYTES]);
    }
    drop(taken);
    std::process::abort()
}
