//! The normal form of a mention, under which it is counted: `the  Bank’s` and `the Bank` are one entity.

use std::borrow::Cow;

use super::chars::{is_invisible, plain};

/// Normalises the text of a mention: white space is collapsed, quotes and dashes are made plain, a possessive ending
/// and the punctuation around the name go; case stays. `None` if nothing but punctuation was there.
pub fn normal(text: &str) -> Option<Cow<'_, str>> {
    let normal = if is_clean(text) { Cow::Borrowed(core(text)) } else { Cow::Owned(core(&cleaned(text)).to_owned()) };
    normal.contains(char::is_alphanumeric).then_some(normal)
}

/// Whether the text is its own cleaned form: the usual case, which needs no copy.
fn is_clean(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().all(|byte| matches!(byte, b' '..=b'~'))
        && !bytes.windows(2).any(|pair| pair == b"  ")
        && bytes.first() != Some(&b' ')
        && bytes.last() != Some(&b' ')
}

fn cleaned(text: &str) -> String {
    let mut clean = String::with_capacity(text.len());
    for word in text.split(|c: char| c.is_whitespace() || c.is_control()) {
        let before = clean.len();
        if before > 0 {
            clean.push(' ');
        }
        let between = clean.len();
        clean.extend(word.chars().filter(|&c| !is_invisible(c)).map(plain));
        if clean.len() == between {
            clean.truncate(before);
        }
    }
    clean
}

/// The name without what surrounds it.
fn core(mut text: &str) -> &str {
    loop {
        let shorter = without_end(without_start(text));
        if shorter.len() == text.len() {
            return text;
        }
        text = shorter;
    }
}

const AROUND: [char; 12] = [' ', '\'', '"', '`', ',', ';', ':', '-', '*', '_', '|', '/'];
const BRACKETS: [(char, char); 3] = [('(', ')'), ('[', ']'), ('{', '}')];

fn without_start(text: &str) -> &str {
    let text = text.trim_start_matches(AROUND);
    let opened = BRACKETS.iter().find(|(open, _)| text.starts_with(*open));
    match opened {
        // "(UN)" and "(UN", but not "(Old) Town".
        Some(&(_, close)) if text.find(close).is_none_or(|at| at + 1 == text.len()) => &text[1..],
        _ => text,
    }
}

fn without_end(text: &str) -> &str {
    let text = text.strip_suffix("'s").or_else(|| text.strip_suffix("'S")).unwrap_or(text);
    let text = text.trim_end_matches(AROUND);
    if let Some(before) = text.strip_suffix('.') {
        // The full stop of a sentence goes, that of "U.S." stays.
        let last_word = before.rsplit(' ').next().unwrap_or(before);
        return if last_word.contains('.') { text } else { before };
    }
    match BRACKETS.iter().find(|(_, close)| text.ends_with(*close)) {
        Some((open, _)) if !text.contains(*open) => &text[..text.len() - 1],
        _ => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_name_are_one_entity() {
        for (text, entity) in [
            ("the  Bank\u{2019}s", "the Bank"),
            ("New\u{a0}York", "New York"),
            ("New\n York ", "New York"),
            ("\u{201c}Rolling Stone\u{201d}", "Rolling Stone"),
            ("O\u{2019}Brien", "O'Brien"),
            ("Ko\u{ad}fi", "Kofi"),
            ("Apple Inc.", "Apple Inc"),
            ("U.S.", "U.S."),
            ("(UN)", "UN"),
            ("UN)", "UN"),
            ("Bank (UK)", "Bank (UK)"),
            ("Yahoo!", "Yahoo!"),
            ("C++", "C++"),
            ("journalists'", "journalists"),
            ("e\u{301}lan", "e\u{301}lan"),
        ] {
            assert_eq!(normal(text).as_deref(), Some(entity), "{text:?}");
        }
        assert!(matches!(normal("Kofi Annan"), Some(Cow::Borrowed("Kofi Annan"))));
    }

    #[test]
    fn nothing_but_punctuation_is_no_entity() {
        for text in ["", " ", "'", "...", "\u{ad}", "\u{2019}\u{2014}", "()"] {
            assert_eq!(normal(text), None, "{text:?}");
        }
    }
}
