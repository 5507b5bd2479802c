//! What a single character is to the tokenizer, and which plain one stands for it.

use unicode_segmentation::UnicodeSegmentation;

/// What a character does to tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Ends a token and a paragraph.
    Break,
    /// Ends a token.
    Space,
    /// A letter or a digit: runs of them are one token.
    Word,
    /// A combining mark or an invisible character: belongs to what stands before it.
    Joined,
    /// Anything else: a token of its own.
    Symbol,
}

/// The class of a character.
pub fn class(c: char) -> Class {
    match c {
        'a'..='z' | 'A'..='Z' | '0'..='9' => Class::Word,
        ' ' | '\t' => Class::Space,
        '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}' => Class::Break,
        '\0'..='\u{7f}' => Class::Symbol,
        _ if is_invisible(c) => Class::Joined,
        _ if c.is_whitespace() => Class::Space,
        _ if c.is_alphanumeric() => Class::Word,
        '\u{2010}'..='\u{203f}' => Class::Symbol,
        _ if is_mark(c) => Class::Joined,
        _ => Class::Symbol,
    }
}

/// Soft hyphens and other characters that are in the text and not on the page. They are left out of a token's form and
/// of an entity, so that an article that hyphenates softly counts the same names as one that does not.
pub fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}' | '\u{2060}' | '\u{feff}')
}

/// Whether the character extends the one before it. The standard library knows no general categories, and the
/// segmentation crate's table of them is private; whether `a` and `c` make one grapheme says the same.
fn is_mark(c: char) -> bool {
    let mut pair = [0; 5];
    pair[0] = b'a';
    let end = 1 + c.encode_utf8(&mut pair[1..]).len();
    std::str::from_utf8(&pair[..end]).is_ok_and(|pair| pair.graphemes(true).nth(1).is_none())
}

/// The plain character that stands for a typographic one: straight quotes, the hyphen. Everything else is itself.
pub fn plain(c: char) -> char {
    match c {
        '\0'..='\u{7f}' => c,
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' | '\u{2032}' | '\u{b4}' | '\u{2bc}' | '\u{ff07}' => '\'',
        '\u{201c}'..='\u{201f}' | '\u{2033}' | '\u{ab}' | '\u{bb}' | '\u{ff02}' => '"',
        '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}' => '-',
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_join_and_symbols_stand_alone() {
        for joined in ['\u{301}', '\u{94d}', '\u{fe0f}', '\u{200d}', '\u{ad}', '\u{feff}', '\u{20e3}'] {
            assert_eq!(class(joined), Class::Joined, "{joined:?}");
        }
        for symbol in ['\u{2019}', '.', '€', '🙂', '、', '\0', '\u{7f}', '\u{fffd}'] {
            assert_eq!(class(symbol), Class::Symbol, "{symbol:?}");
        }
        for word in ['é', '中', 'ね', '٣', 'Ж', '½'] {
            assert_eq!(class(word), Class::Word, "{word:?}");
        }
        assert_eq!((class('\u{a0}'), class('\u{3000}'), class('\u{2029}')), (Class::Space, Class::Space, Class::Break));
    }
}
