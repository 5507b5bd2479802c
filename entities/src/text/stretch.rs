//! Cuts a text into stretches of bounded length, so that memory does not grow with an article. A stretch is what the
//! tagger takes for a whole article; all but extraordinary ones are one stretch.

use std::ops::Range;

/// The longest stretch. At one token a byte, the worst there is, its tokens take about 20 MB.
pub const STRETCH_BYTES_MAX: usize = 128 << 10;

/// The stretches of a text, in order, as byte ranges on character boundaries. Together they are the text.
pub fn stretches(text: &str) -> impl Iterator<Item = Range<usize>> {
    let mut start = 0;
    std::iter::from_fn(move || {
        if start == text.len() {
            return None;
        }
        let end = start + first_stretch(&text[start..]);
        Some(std::mem::replace(&mut start, end)..end)
    })
}

/// Where the first stretch ends: after the last line break that is early enough, or else the last sentence, or else the
/// last space, or else anywhere. Each byte is looked at a constant number of times.
fn first_stretch(text: &str) -> usize {
    if text.len() <= STRETCH_BYTES_MAX {
        return text.len();
    }
    let end = (0..=STRETCH_BYTES_MAX).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(text.len());
    let head = &text.as_bytes()[..end];
    let after_last = |is_end: fn(&[u8]) -> bool| head.windows(2).rposition(is_end).map(|at| at + 2);
    after_last(|pair| pair[1] == b'\n')
        .or_else(|| after_last(|pair| matches!(pair, [b'.' | b'!' | b'?', b' '])))
        .or_else(|| after_last(|pair| pair[1] == b' '))
        .unwrap_or(end)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<usize> {
        let ranges: Vec<_> = stretches(text).collect();
        let joined: String = ranges.iter().map(|range| &text[range.clone()]).collect();
        assert_eq!(joined, text);
        ranges.iter().map(|range| range.len()).collect()
    }

    #[test]
    fn an_article_is_one_stretch() {
        assert_eq!(cut("One.\nTwo."), [9]);
        assert_eq!(cut(""), [0; 0]);
    }

    #[test]
    fn long_texts_are_cut_where_it_hurts_least() {
        let lines = "A line. With two sentences.\n".repeat(10_000);
        assert!(cut(&lines).iter().all(|length| length % 28 == 0 && *length <= STRETCH_BYTES_MAX));
        let sentences = "A sentence. ".repeat(20_000);
        assert!(cut(&sentences).iter().all(|length| length % 12 == 0));
        let words = "word ".repeat(60_000);
        assert!(cut(&words).iter().all(|length| length % 5 == 0));
        let nothing = "中".repeat(100_000);
        assert!(cut(&nothing).iter().all(|length| *length > 0 && *length <= STRETCH_BYTES_MAX));
    }
}
