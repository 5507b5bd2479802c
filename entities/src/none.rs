//! The `none` engine: finds nothing, for measuring everything else.

use crate::engine::{Engine, Found};

/// The engine.
#[derive(Debug)]
pub struct Nothing;

impl Engine for Nothing {
    fn name(&self) -> &str {
        "none"
    }

    fn labels(&self) -> &[String] {
        &[]
    }

    fn find<'t>(&mut self, _: &'t str) -> Vec<Found<'t>> {
        Vec::new()
    }
}
