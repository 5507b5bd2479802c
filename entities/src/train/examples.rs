//! Training examples: windows of tokens, each token as its numbered features and its tag. Made with the tokenizer,
//! windows and features that tagging uses.

use std::collections::HashMap;
use std::ops::Range;

use rustc_hash::FxHashMap;

use crate::corpus::{Document, Span};
use crate::tagger::features::{self, Kind};
use crate::tagger::tags::{self, Part};
use crate::text::analysis::{Analysis, Token, Window};
use crate::text::stretch::stretches;

/// All examples, laid out flat: there are tens of millions of features.
#[derive(Debug, Default)]
pub struct Examples {
    /// Of every feature: its hash.
    pub hashes: Vec<u64>,
    /// Of every feature: whether it depends on which word the token is.
    pub kinds: Vec<Kind>,
    /// Of every feature: how often it is seen.
    pub seen: Vec<u32>,
    features: Vec<u32>,
    /// Where each token's features end.
    feature_ends: Vec<usize>,
    tags: Vec<u8>,
    /// Where each example's tokens end.
    token_ends: Vec<usize>,
}

impl Examples {
    /// Of the documents; a feature seen less than `seen_min` times is left out.
    pub fn of(documents: &[Document], labels: &[String], seen_min: u32) -> Examples {
        let mut counts: FxHashMap<u64, u32> = HashMap::default();
        for_each_window(documents, |analysis, window, _| {
            for at in window.tokens.clone() {
                features::each(analysis, &window.paragraph, at, |_, hash| *counts.entry(hash).or_default() += 1);
            }
        });
        counts.retain(|_, seen| *seen >= seen_min);

        let mut examples = Examples::default();
        // Numbers in the order of first appearance, so that nothing depends on the order of a hash map.
        let mut numbers: FxHashMap<u64, u32> = HashMap::default();
        for_each_window(documents, |analysis, window, spans| {
            for at in window.tokens.clone() {
                features::each(analysis, &window.paragraph, at, |kind, hash| {
                    let Some(&seen) = counts.get(&hash) else { return };
                    let number = *numbers.entry(hash).or_insert_with(|| {
                        examples.hashes.push(hash);
                        examples.kinds.push(kind);
                        examples.seen.push(seen);
                        examples.hashes.len() as u32 - 1
                    });
                    examples.features.push(number);
                });
                examples.feature_ends.push(examples.features.len());
            }
            examples.push_tags(&analysis.tokens[window.tokens.clone()], spans, labels);
            examples.token_ends.push(examples.tags.len());
        });
        examples
    }

    /// Tags tokens by the spans that they touch. A span that the window cuts is marked as far as it goes.
    fn push_tags(&mut self, tokens: &[Token], spans: &[Span], labels: &[String]) {
        let base = self.tags.len();
        self.tags.resize(base + tokens.len(), tags::OUTSIDE as u8);
        for span in spans {
            let first = tokens.partition_point(|token| token.end as usize <= span.bytes.start);
            let end = tokens.partition_point(|token| (token.start as usize) < span.bytes.end);
            let Some(label) = labels.iter().position(|label| *label == span.label) else { continue };
            for at in first..end {
                let part = match (at == first, at + 1 == end) {
                    (true, true) => Part::Single,
                    (true, false) => Part::Begin,
                    (false, false) => Part::Inside,
                    (false, true) => Part::End,
                };
                self.tags[base + at] = tags::tag(part, label) as u8;
            }
        }
    }

    /// How many examples there are.
    pub fn len(&self) -> usize {
        self.token_ends.len()
    }

    /// How many tokens there are.
    pub fn tokens(&self) -> usize {
        self.tags.len()
    }

    /// How many features there are.
    pub fn features(&self) -> usize {
        self.hashes.len()
    }

    /// The tokens of an example.
    pub fn example(&self, index: usize) -> Range<usize> {
        range(&self.token_ends, index)
    }

    /// The features of a token.
    pub fn features_of(&self, token: usize) -> &[u32] {
        &self.features[range(&self.feature_ends, token)]
    }

    /// The tag of a token.
    pub fn tag_of(&self, token: usize) -> usize {
        usize::from(self.tags[token])
    }
}

fn range(ends: &[usize], index: usize) -> Range<usize> {
    index.checked_sub(1).map_or(0, |before| ends[before])..ends[index]
}

/// Goes through all windows as tagging does, with the spans of the stretch, counted from its start.
fn for_each_window(documents: &[Document], mut each: impl FnMut(&Analysis, &Window, &[Span])) {
    let mut analysis = Analysis::default();
    for document in documents {
        for stretch in stretches(&document.text) {
            analysis.read(&document.text[stretch.clone()]);
            let inside = document.spans.iter().filter(|span| stretch.contains(&span.bytes.start));
            let spans: Vec<Span> = inside
                .map(|span| Span {
                    bytes: span.bytes.start - stretch.start..span.bytes.end.min(stretch.end) - stretch.start,
                    label: span.label.clone(),
                })
                .collect();
            for window in analysis.windows() {
                let tokens = &analysis.tokens[window.tokens.clone()];
                let (start, end) = match tokens {
                    [first, .., last] => (first.start as usize, last.end as usize),
                    [only] => (only.start as usize, only.end as usize),
                    [] => continue,
                };
                let first = spans.partition_point(|span| span.bytes.end <= start);
                let past = spans.partition_point(|span| span.bytes.start < end);
                each(&analysis, &window, &spans[first..past]);
            }
        }
    }
}
