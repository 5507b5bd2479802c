//! A token's form: hashes of how it is spelled, from which features are made. A form depends on the token alone.

use super::chars::{is_invisible, plain};
use super::hash::Chars;

/// What a token is written with, as far as other features ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Case {
    /// Begins with a lower-case letter, or with a letter that has no case.
    #[default]
    Lower,
    /// Begins with a capital.
    Capital,
    /// Begins with a digit.
    Digit,
    /// Is not a word.
    Symbol,
}

/// The hashes of one token.
#[derive(Debug, Clone, Copy, Default)]
pub struct Form {
    /// The word with its case.
    pub word: u64,
    /// The word in lower case.
    pub lower: u64,
    /// `Xxxdd`, runs cut at three.
    pub shape: u64,
    /// The same, runs cut at one.
    pub short_shape: u64,
    /// The first 2, 3 and 4 characters of the lower form; 0 where there are fewer.
    pub prefixes: [u64; 3],
    /// The last 2, 3 and 4 characters.
    pub suffixes: [u64; 3],
    /// How it begins.
    pub case: Case,
    /// The first character in its plain form.
    pub first: char,
    /// Characters, at most 255.
    pub length: u8,
}

impl Form {
    /// Of a token's text.
    pub fn of(text: &str) -> Form {
        let mut form = Form::default();
        let (mut word, mut lower) = (Chars::EMPTY, Chars::EMPTY);
        let (mut shape, mut short_shape) = (Chars::EMPTY, Chars::EMPTY);
        let (mut last_kind, mut run) = ('\0', 0);
        // The lower form's last four characters, the newest last.
        let mut tail = ['\0'; 4];
        let mut lowers = 0_usize;
        for c in text.chars().filter(|&c| !is_invisible(c)).map(plain) {
            let kind = kind(c);
            if form.length == 0 {
                form.first = c;
                form.case = match kind {
                    'X' => Case::Capital,
                    'x' => Case::Lower,
                    'd' => Case::Digit,
                    _ => Case::Symbol,
                };
            }
            form.length = form.length.saturating_add(1);
            word.push(c);
            run = if kind == last_kind { run + 1 } else { 1 };
            last_kind = kind;
            if run == 1 {
                short_shape.push(kind);
            }
            if run <= 3 {
                shape.push(kind);
            }
            let mut push_lower = |c| {
                lower.push(c);
                lowers += 1;
                if let 2..=4 = lowers {
                    form.prefixes[lowers - 2] = lower.value();
                }
                tail = [tail[1], tail[2], tail[3], c];
            };
            if c.is_ascii() {
                push_lower(c.to_ascii_lowercase());
            } else {
                c.to_lowercase().for_each(&mut push_lower);
            }
        }
        form.word = word.value();
        form.lower = lower.value();
        form.shape = shape.value();
        form.short_shape = short_shape.value();
        for (length, suffix) in (2..=lowers.min(4)).zip(&mut form.suffixes) {
            let mut hash = Chars::EMPTY;
            tail[4 - length..].iter().for_each(|&c| hash.push(c));
            *suffix = hash.value();
        }
        form
    }
}

fn kind(c: char) -> char {
    match c {
        'a'..='z' => 'x',
        'A'..='Z' => 'X',
        '0'..='9' => 'd',
        '\0'..='\u{7f}' => c,
        _ if c.is_uppercase() => 'X',
        _ if c.is_numeric() => 'd',
        _ if c.is_alphabetic() => 'x',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typography_and_soft_hyphens_do_not_change_a_form() {
        assert_eq!(Form::of("\u{2019}").word, Form::of("'").word);
        assert_eq!(Form::of("Ko\u{ad}fi").word, Form::of("Kofi").word);
        assert_eq!(Form::of("KOFI").lower, Form::of("kofi").lower);
        assert_ne!(Form::of("KOFI").word, Form::of("kofi").word);
    }

    #[test]
    fn affixes_are_those_of_the_lower_form() {
        let (accra, mecca) = (Form::of("ACCRA"), Form::of("Macra"));
        assert_eq!(accra.suffixes[..2], mecca.suffixes[..2]);
        assert_ne!(accra.suffixes[2], mecca.suffixes[2]);
        assert_eq!(Form::of("ab").prefixes[1..], [0, 0]);
        assert_eq!(Form::of("ab").prefixes[0], Form::of("abc").prefixes[0]);
    }

    #[test]
    fn shapes_forget_letters_and_lengths() {
        assert_eq!(Form::of("Kofi").shape, Form::of("Nairobi").shape);
        assert_ne!(Form::of("Al").shape, Form::of("Nairobi").shape);
        assert_eq!(Form::of("Al").short_shape, Form::of("Nairobi").short_shape);
        assert_eq!(Form::of("Élan").case, Case::Capital);
    }
}
