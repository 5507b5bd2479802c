//! What a stretch says about its own words: which of them also appear in lower case, in which names they appear, and
//! what stands around these. An article names people in full once and by surname after; this is where the tagger
//! learns that. Two passes over the tokens, each constant work a token.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::ops::Range;

use super::analysis::Token;
use super::form::Case;

/// What the stretch says about its tokens.
#[derive(Debug, Default)]
pub struct Context {
    /// Maximal runs of capitalised words, in order.
    runs: Vec<Run>,
    /// Of each token: its run, or `NO_RUN`.
    run_of: Vec<u32>,
    words: HashMap<u64, Word, BuildHasherDefault<Mixed>>,
}

const NO_RUN: u32 = u32::MAX;

/// A run of capitalised words.
#[derive(Debug, Clone, Copy)]
pub struct Run {
    /// Its first token.
    pub start: usize,
    /// One past its last token.
    pub end: usize,
}

impl Run {
    /// How many tokens it has.
    pub fn tokens(self) -> usize {
        self.end - self.start
    }
}

/// What the stretch says about a word, whatever its case.
#[derive(Debug, Clone, Copy, Default)]
pub struct Word {
    /// It also appears in lower case.
    pub is_lower: bool,
    /// How often it appears capitalised where grammar does not ask for it, at most 3.
    pub inside: u8,
    /// The longest run it appears in.
    pub longest: Option<Run>,
    /// Its first capitalised appearance that grammar did not ask for.
    pub first_inside: Option<usize>,
}

impl Context {
    /// Reads a stretch.
    pub fn read(&mut self, tokens: &[Token], paragraphs: impl Iterator<Item = Range<usize>>) {
        self.runs.clear();
        self.run_of.clear();
        self.run_of.resize(tokens.len(), NO_RUN);
        // A map keeps its size for ever; one huge article should not slow down the clearing for all that follow.
        if self.words.capacity() > 1 << 14 {
            self.words = HashMap::default();
        }
        self.words.clear();
        for paragraph in paragraphs {
            self.find_runs(tokens, paragraph.clone());
            self.note_words(tokens, paragraph);
        }
    }

    /// The run that a token is in.
    pub fn run(&self, token: usize) -> Option<Run> {
        self.runs.get(self.run_of[token] as usize).copied()
    }

    /// What is known of the word with this lower form.
    pub fn word(&self, lower: u64) -> Word {
        self.words.get(&lower).copied().unwrap_or_default()
    }

    fn find_runs(&mut self, tokens: &[Token], paragraph: Range<usize>) {
        let is_capital = |at: usize| at < paragraph.end && tokens[at].form.case == Case::Capital;
        let mut at = paragraph.start;
        while at < paragraph.end {
            if !is_capital(at) {
                at += 1;
                continue;
            }
            let start = at;
            loop {
                at += 1;
                // "Jean-Pierre", "O'Brien" and "J. K. Rowling" are runs too.
                let joins = at < paragraph.end
                    && match tokens[at].form.first {
                        '-' | '\'' => true,
                        '.' => tokens[at - 1].form.length <= 2,
                        _ => false,
                    };
                if joins && is_capital(at + 1) {
                    at += 1;
                } else if !is_capital(at) {
                    break;
                }
            }
            self.run_of[start..at].fill(self.runs.len() as u32);
            self.runs.push(Run { start, end: at });
        }
    }

    fn note_words(&mut self, tokens: &[Token], paragraph: Range<usize>) {
        for at in paragraph.clone() {
            let form = &tokens[at].form;
            match form.case {
                Case::Lower => self.words.entry(form.lower).or_default().is_lower = true,
                Case::Capital => {
                    let run = self.run(at);
                    let word = self.words.entry(form.lower).or_default();
                    if run.map_or(0, Run::tokens) > word.longest.map_or(0, Run::tokens) {
                        word.longest = run;
                    }
                    if at > paragraph.start && is_inside(&tokens[at - 1]) {
                        word.inside = (word.inside + 1).min(3);
                        word.first_inside.get_or_insert(at);
                    }
                }
                Case::Digit | Case::Symbol => {}
            }
        }
    }
}

/// Whether a capital after this token was the writer's choice: it does not begin a sentence, a quotation or a list.
fn is_inside(before: &Token) -> bool {
    matches!(before.form.case, Case::Lower | Case::Capital) || before.form.first == ','
}

/// Lower forms are hashes already.
#[derive(Debug, Default, Clone, Copy)]
struct Mixed(u64);

impl Hasher for Mixed {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = self.0.rotate_left(8) ^ u64::from(*byte);
        }
    }

    fn write_u64(&mut self, value: u64) {
        self.0 = value;
    }
}
