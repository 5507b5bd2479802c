//! The `desk` engine: the tagger that ships with Copydesk, or one trained by its user.

use std::path::Path;

use crate::engine::{Engine, EngineError, Found};
use crate::mapped::Bytes;
use crate::tagger::decode::Decoder;
use crate::tagger::file::{FormatError, Verify};
use crate::tagger::model::Model;
use crate::text::analysis::Analysis;
use crate::text::normal::normal;
use crate::text::stretch::stretches;

/// The weights that ship. What they are made from, and their licence, is in `models/desk-en-1.md`.
static SHIPPED: &[u8] = include_bytes!("../../models/desk-en-1.bin");

/// A longer mention is a mistake of the tagger on text that has no words, and nothing a counter should carry.
const MENTION_BYTES_MAX: usize = 1_000;

/// The engine, with its scratch space.
#[derive(Debug)]
pub struct Desk {
    model: Model,
    decoder: Decoder,
    analysis: Analysis,
    hashes: Vec<u64>,
    scores: Vec<i32>,
}

impl Desk {
    /// With the weights that ship, or with those of a file.
    pub fn open(path: Option<&Path>) -> Result<Desk, EngineError> {
        let (bytes, verify, shown) = match path {
            None => (Ok(Bytes::Static(SHIPPED)), Verify::Shape, "that ships".to_owned()),
            Some(path) => (Bytes::map(path), Verify::Checksum, path.display().to_string()),
        };
        let refused = |reason: String| EngineError::Model { path: shown.clone(), reason };
        let bytes =
            bytes.map_err(|error| refused(format!("{error}; give the path of a file made by `copydesk train`")))?;
        Desk::new(bytes, verify).map_err(|error| refused(error.to_string()))
    }

    /// With the bytes of a model file.
    pub fn new(bytes: Bytes, verify: Verify) -> Result<Desk, FormatError> {
        let model = Model::new(bytes, verify)?;
        let decoder = Decoder::new(model.layout().labels.len(), &model.layout().transitions);
        let (analysis, hashes, scores) = (Analysis::default(), Vec::new(), Vec::new());
        Ok(Desk { model, decoder, analysis, hashes, scores })
    }

    /// Whose data the weights were made from.
    pub fn notice(&self) -> &str {
        &self.model.layout().notice
    }
}

impl Engine for Desk {
    fn name(&self) -> &str {
        &self.model.layout().name
    }

    fn labels(&self) -> &[String] {
        &self.model.layout().labels
    }

    fn find<'t>(&mut self, text: &'t str) -> Vec<Found<'t>> {
        let mut found = Vec::new();
        for stretch in stretches(text) {
            self.analysis.read(&text[stretch.clone()]);
            for window in self.analysis.windows() {
                self.model.score(&self.analysis, &window, &mut self.hashes, &mut self.scores);
                let tokens = &self.analysis.tokens[window.tokens];
                self.decoder.decode(&self.scores, |label, range| {
                    let start = stretch.start + tokens[range.start].start as usize;
                    let end = stretch.start + tokens[range.end - 1].end as usize;
                    if end - start > MENTION_BYTES_MAX {
                        return;
                    }
                    if let Some(entity) = normal(&text[start..end]) {
                        found.push(Found { label, bytes: start..end, chars: 0..0, entity });
                    }
                });
            }
        }
        count_chars(text, &mut found);
        found
    }
}

/// Fills in the character offsets: one pass over the text, none if it is ASCII.
fn count_chars(text: &str, found: &mut [Found<'_>]) {
    let is_ascii = text.is_ascii();
    let (mut bytes, mut chars) = (0, 0);
    let mut chars_at = |at: usize| {
        chars += if is_ascii { at - bytes } else { text[bytes..at].chars().count() };
        bytes = at;
        chars
    };
    for found in found {
        found.chars = chars_at(found.bytes.start)..chars_at(found.bytes.end);
    }
}
