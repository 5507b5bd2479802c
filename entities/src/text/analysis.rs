//! A stretch of text taken apart: tokens with offsets, paragraphs, and the windows that are tagged in one go.

use std::ops::Range;

use super::chars::{Class, class};
use super::context::Context;
use super::form::{Case, Form};

/// The most tokens that are tagged in one go; a longer paragraph is cut after a sentence. Features look past the cut.
pub const WINDOW_TOKENS_MAX: usize = 256;

/// A word or a symbol.
#[derive(Debug, Clone, Copy)]
pub struct Token {
    /// Byte offset of its start in the text.
    pub start: u32,
    /// Of its end.
    pub end: u32,
    /// How it is spelled.
    pub form: Form,
}

/// The tokens of a stretch. Kept between stretches for its memory.
#[derive(Debug, Default)]
pub struct Analysis {
    /// In order.
    pub tokens: Vec<Token>,
    /// What the rest of the stretch says about them.
    pub context: Context,
    /// Where paragraphs end, as token indices.
    paragraph_ends: Vec<usize>,
}

impl Analysis {
    /// Takes a stretch apart. Its offsets must fit in 32 bits, which those of a stretch do by far.
    pub fn read(&mut self, text: &str) {
        self.tokens.clear();
        self.paragraph_ends.clear();
        self.split(text);
        self.end_paragraph();
        let paragraphs = paragraphs(&self.paragraph_ends);
        self.context.read(&self.tokens, paragraphs);
    }

    fn split(&mut self, text: &str) {
        let mut open: Option<(usize, Class)> = None;
        for (at, c) in text.char_indices() {
            let class = class(c);
            // A mark belongs to what stands before it, and begins a token of its own only after a space.
            let continues = match (open, class) {
                (Some((_, Class::Word)), Class::Word | Class::Joined) | (Some(_), Class::Joined) => true,
                (_, _) => false,
            };
            if continues {
                continue;
            }
            if let Some((start, _)) = open.take() {
                self.push(text, start, at);
            }
            match class {
                Class::Break => self.end_paragraph(),
                Class::Space => {}
                Class::Word => open = Some((at, Class::Word)),
                Class::Joined | Class::Symbol => open = Some((at, Class::Symbol)),
            }
        }
        if let Some((start, _)) = open {
            self.push(text, start, text.len());
        }
    }

    fn push(&mut self, text: &str, start: usize, end: usize) {
        self.tokens.push(Token { start: start as u32, end: end as u32, form: Form::of(&text[start..end]) });
    }

    fn end_paragraph(&mut self) {
        if self.tokens.len() > self.paragraph_ends.last().copied().unwrap_or(0) {
            self.paragraph_ends.push(self.tokens.len());
        }
    }

    /// The windows, as ranges of tokens, each with the paragraph it is in.
    pub fn windows(&self) -> impl Iterator<Item = Window> + '_ {
        paragraphs(&self.paragraph_ends).flat_map(move |paragraph| {
            let mut start = paragraph.start;
            std::iter::from_fn(move || {
                if start == paragraph.end {
                    return None;
                }
                let end = self.window_end(start, paragraph.end);
                let tokens = std::mem::replace(&mut start, end)..end;
                Some(Window { tokens, paragraph: paragraph.clone() })
            })
        })
    }

    fn window_end(&self, start: usize, paragraph_end: usize) -> usize {
        if paragraph_end - start <= WINDOW_TOKENS_MAX {
            return paragraph_end;
        }
        let latest = start + WINDOW_TOKENS_MAX;
        let earliest = start + WINDOW_TOKENS_MAX / 2;
        (earliest..latest).rev().find(|&at| self.ends_sentence(at)).map_or(latest, |at| at + 1)
    }

    /// Whether a sentence probably ends with this token: a full stop after a word of some length, before a capital.
    fn ends_sentence(&self, at: usize) -> bool {
        let Some(next) = self.tokens.get(at + 1) else { return true };
        match self.tokens[at].form.first {
            '!' | '?' => true,
            '.' => self.tokens[at - 1].form.length > 2 && next.form.case != Case::Lower,
            _ => false,
        }
    }
}

/// What is tagged in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Window {
    /// The tokens to tag.
    pub tokens: Range<usize>,
    /// The tokens that their features may look at.
    pub paragraph: Range<usize>,
}

fn paragraphs(ends: &[usize]) -> impl Iterator<Item = Range<usize>> {
    let starts = std::iter::once(0).chain(ends.iter().copied());
    starts.zip(ends.iter().copied()).map(|(start, end)| start..end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Vec<&str> {
        let mut analysis = Analysis::default();
        analysis.read(text);
        analysis.tokens.iter().map(|token| &text[token.start as usize..token.end as usize]).collect()
    }

    #[test]
    fn tokens_are_runs_of_word_characters_or_single_others() {
        assert_eq!(split("India\u{2019}s U.S.-led"), ["India", "\u{2019}", "s", "U", ".", "S", ".", "-", "led"]);
        assert_eq!(split("a\u{a0}b  \t$5m"), ["a", "b", "$", "5m"]);
        assert_eq!(split("e\u{301}lan 👩\u{200d}🚀 \u{301}x"), ["e\u{301}lan", "👩\u{200d}", "🚀", "\u{301}", "x"]);
        assert_eq!(split("東京、日本"), ["東京", "、", "日本"]);
        assert_eq!(split("a\0b"), ["a", "\0", "b"]);
        assert_eq!(split(" \n "), [""; 0]);
    }

    #[test]
    fn a_line_break_ends_a_paragraph() {
        let mut analysis = Analysis::default();
        analysis.read("One two.\r\n\r\nThree\u{2029}four");
        let windows: Vec<_> = analysis.windows().map(|window| window.tokens).collect();
        assert_eq!(windows, [0..3, 3..4, 4..5]);
    }

    #[test]
    fn long_paragraphs_are_cut_after_sentences() {
        let mut analysis = Analysis::default();
        analysis.read(&"The river rises in Chad. ".repeat(100));
        let windows: Vec<_> = analysis.windows().collect();
        assert!(windows.len() > 2);
        assert!(windows.iter().all(|window| window.tokens.len() <= WINDOW_TOKENS_MAX && window.paragraph == (0..600)));
        assert!(windows.iter().all(|window| window.tokens.end % 6 == 0), "{windows:?}");
        analysis.read(&"word ".repeat(1000));
        assert_eq!(analysis.windows().map(|window| window.tokens.len()).sum::<usize>(), 1000);
    }
}
