//! A dead letter as people and programs see it: its name, what is known of it, and its payload. `GET /v1/dead-letters`
//! and `copydesk dead-letters --json` show these shapes.

use std::fmt;
use std::str::FromStr;

use queue::{DeadLetter, POSTS, QueueId, RESULTS};
use serde::Serialize;
use serde_json::value::RawValue;

/// The queues that have dead letters, by the names that users know.
pub const QUEUES: [(QueueId, &str); 2] = [(POSTS, "posts"), (RESULTS, "results")];

/// What a dead letter is called: its queue and its number there, `posts-17`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct LetterName {
    /// The queue.
    pub queue: QueueId,
    /// The number.
    pub seq: u64,
}

/// A text that names no dead letter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} names no dead letter; a name is a queue and a number, such as posts-17 or results-3")]
pub struct LetterNameError(String);

/// What is known of a dead letter, but for its payload.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Its [`LetterName`].
    pub letter: String,
    /// `posts` or `results`.
    pub queue: &'static str,
    /// The id of the post or batch; none if the disk has damaged it.
    pub id: Option<String>,
    /// Why nobody could process it.
    pub reason: String,
    /// Deliveries that failed.
    pub attempts: u32,
    /// When it was given up, RFC 3339.
    pub died_at: String,
    /// Size of the payload.
    pub bytes: usize,
}

/// A dead letter with its payload, in the one of three forms that keeps all of it. It has none if the disk has damaged it.
#[derive(Debug, Serialize)]
pub struct Whole<'a> {
    #[serde(flatten)]
    summary: Summary,
    /// JSON, as it came.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload: Option<&'a RawValue>,
    /// Text that is no JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_text: Option<&'a str>,
    /// Bytes that are no text.
    #[serde(skip_serializing_if = "Option::is_none")]
    payload_base64: Option<String>,
}

impl LetterName {
    /// The name of this one.
    pub fn of(letter: &DeadLetter) -> LetterName {
        LetterName { queue: letter.queue, seq: letter.seq }
    }

    /// The place just before it, for a list that begins with it; none is the beginning of all.
    pub fn before(self) -> Option<(QueueId, u64)> {
        let before_queue = || self.queue.0.checked_sub(1).map(|queue| (QueueId(queue), u64::MAX));
        self.seq.checked_sub(1).map_or_else(before_queue, |seq| Some((self.queue, seq)))
    }
}

impl fmt::Display for LetterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", queue_name(self.queue), self.seq)
    }
}

impl FromStr for LetterName {
    type Err = LetterNameError;

    fn from_str(text: &str) -> Result<LetterName, LetterNameError> {
        let read = || {
            let (name, seq) = text.split_once('-')?;
            let (queue, _) = QUEUES.into_iter().find(|(_, known)| *known == name)?;
            // Digits alone: `+7` and `007` would be second names.
            let is_plain = seq.bytes().all(|byte| byte.is_ascii_digit()) && (seq == "0" || !seq.starts_with('0'));
            Some(LetterName { queue, seq: seq.parse().ok().filter(|_| is_plain)? })
        };
        read().ok_or_else(|| LetterNameError(text.to_owned()))
    }
}

/// The name of a queue; `other` for one of a manager that has more of them than this program knows.
pub fn queue_name(queue: QueueId) -> &'static str {
    QUEUES.into_iter().find(|(id, _)| *id == queue).map_or("other", |(_, name)| name)
}

impl From<&DeadLetter> for Summary {
    fn from(letter: &DeadLetter) -> Summary {
        Summary {
            letter: LetterName::of(letter).to_string(),
            queue: queue_name(letter.queue),
            id: Some(letter.id.clone()).filter(|id| !id.is_empty()),
            reason: letter.reason.clone(),
            attempts: letter.attempts,
            died_at: time_text(letter.died_at_ms),
            bytes: letter.payload.len(),
        }
    }
}

impl<'a> From<&'a DeadLetter> for Whole<'a> {
    fn from(letter: &'a DeadLetter) -> Whole<'a> {
        let summary = Summary::from(letter);
        let bytes = &letter.payload[..];
        let is_there = summary.id.is_some() || !bytes.is_empty();
        let payload = serde_json::from_slice(bytes).ok();
        let text = std::str::from_utf8(bytes).ok();
        Whole {
            summary,
            payload_text: text.filter(|_| is_there && payload.is_none()),
            payload_base64: (is_there && text.is_none()).then(|| base64(bytes)),
            payload,
        }
    }
}

/// Milliseconds since the Unix epoch as RFC 3339 has them.
fn time_text(ms: u64) -> String {
    let (days, of_day) = (ms / 86_400_000, ms % 86_400_000);
    // Counted in years that begin in March, so that the leap day is a year's last; 400 years are 146,097 days.
    let shifted = days + 719_468;
    let (era, day) = (shifted / 146_097, shifted % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day_of_year = day - (365 * year + year / 4 - year / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day_of_month = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
    let year = era * 400 + year + u64::from(month <= 2);
    let (hours, minutes) = (of_day / 3_600_000, of_day / 60_000 % 60);
    let (seconds, ms) = (of_day / 1_000 % 60, of_day % 1_000);
    format!("{year:04}-{month:02}-{day_of_month:02}T{hours:02}:{minutes:02}:{seconds:02}.{ms:03}Z")
}

/// Base64 as in RFC 4648, with padding.
fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::with_capacity(bytes.len().div_ceil(3) * 4);
    for three in bytes.chunks(3) {
        let byte = |at: usize| u32::from(three.get(at).copied().unwrap_or(0));
        let bits = byte(0) << 16 | byte(1) << 8 | byte(2);
        for digit in 0..4 {
            let is_padding = digit > three.len();
            let value = (bits >> (18 - 6 * digit) & 63) as usize;
            text.push(if is_padding { '=' } else { char::from(DIGITS[value]) });
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_reads_back_as_it_was_written_and_nothing_else_is_one() {
        for text in ["posts-0", "posts-17", "results-18446744073709551615"] {
            assert_eq!(text.parse::<LetterName>().expect("a name").to_string(), text);
        }
        for text in ["", "17", "posts", "posts-", "posts-x", "posts-+7", "posts-07", "other-1", "posts-1-2", "Posts-1"]
        {
            assert!(text.parse::<LetterName>().is_err(), "{text}");
        }
    }

    #[test]
    fn the_place_before_a_letter_is_never_after_another() {
        let before = |text: &str| text.parse::<LetterName>().expect("a name").before();
        assert_eq!(before("posts-0"), None);
        assert_eq!(before("posts-1"), Some((POSTS, 0)));
        assert_eq!(before("results-0"), Some((POSTS, u64::MAX)));
    }

    #[test]
    fn times_are_told_as_calendars_do() {
        for (seconds, text) in [
            (0, "1970-01-01T00:00:00.007Z"),
            (951_782_400, "2000-02-29T00:00:00.007Z"),
            (4_107_542_399, "2100-02-28T23:59:59.007Z"),
            (4_107_542_400, "2100-03-01T00:00:00.007Z"),
            (1_798_761_599, "2026-12-31T23:59:59.007Z"),
        ] {
            assert_eq!(time_text(seconds * 1_000 + 7), text);
        }
    }

    #[test]
    fn base64_is_that_of_the_rfc() {
        for (plain, text) in [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("foob", "Zm9vYg==")] {
            assert_eq!(base64(plain.as_bytes()), text);
        }
        assert_eq!(base64(&[0xfb, 0xff, 0xfe]), "+//+");
    }
}
