//! A post: one article as it came in, checked but not changed.
//!
//! The queue carries the client's own bytes, so a post is parsed where it enters (to refuse it with a reason) and again
//! where it is extracted; both go through [`Post::parse`], so what one accepts the other can read.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use crate::limits;

/// One article, borrowing from its JSON where that has no escapes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Post<'a> {
    /// The client's id, if it sent one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Cow<'a, str>>,
    /// Who published it, as sent. [`publication_key`] makes the key that is counted under.
    pub publication: Cow<'a, str>,
    /// The headline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<Cow<'a, str>>,
    /// The text.
    pub content: Cow<'a, str>,
    /// When it was published, as sent; not interpreted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Cow<'a, str>>,
    /// Where it was published, as sent; not interpreted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub url: Option<Cow<'a, str>>,
}

/// Why a record is not a post. [`PostError::code`] is stable and documented in the README; the message is for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// The bytes are not UTF-8.
    #[error("byte {0} is not valid UTF-8; send the text encoded as UTF-8")]
    BadUtf8(usize),
    /// The text is not JSON.
    #[error("not valid JSON: {0}; a post is one JSON object, on one line in NDJSON")]
    BadJson(String),
    /// JSON nested deeper than [`limits::JSON_DEPTH_MAX`].
    #[error("nested deeper than {} levels; a post is one flat object", limits::JSON_DEPTH_MAX)]
    TooDeep,
    /// JSON, but not an object.
    #[error("a post is a JSON object such as {{\"publication\": …, \"content\": …}}, this is something else")]
    NotAnObject,
    /// A field of the wrong type, or given twice.
    #[error("{0}; every field of a post is a string and is given once")]
    BadField(String),
    /// A required field is absent or null.
    #[error("`{0}` is missing; a post needs `publication` and `content`")]
    MissingField(&'static str),
    /// A field holds only white space.
    #[error("`{0}` is empty; fill it in, or leave the post out")]
    EmptyField(&'static str),
    /// A field is longer than its limit.
    #[error("`{field}` has {length} {unit}, at most {max} are allowed; shorten it")]
    FieldTooLong {
        /// The field.
        field: &'static str,
        /// Its length.
        length: usize,
        /// The limit.
        max: usize,
        /// What is counted.
        unit: &'static str,
    },
    /// A field contains U+0000, which neither SQLite text nor most consumers can carry.
    #[error("`{0}` contains a NUL character; remove it")]
    NulByte(&'static str),
    /// The record as a whole is longer than [`limits::POST_BYTES_MAX`].
    #[error("the record is longer than {} bytes; split the article", limits::POST_BYTES_MAX)]
    TooLong,
}

/// The fields as they stand in the JSON, unchecked.
#[derive(Default)]
struct RawPost<'a> {
    id: Option<Text<'a>>,
    publication: Option<Text<'a>>,
    title: Option<Text<'a>>,
    content: Option<Text<'a>>,
    published_at: Option<Text<'a>>,
    url: Option<Text<'a>>,
}

/// `Option<Cow<str>>` never borrows under serde's derive; a newtype with its own `borrow` does.
#[derive(Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'de> Deserialize<'de> for RawPost<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RawPostVisitor)
    }
}

struct RawPostVisitor;

impl<'de> Visitor<'de> for RawPostVisitor {
    type Value = RawPost<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a post")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<RawPost<'de>, M::Error> {
        let mut raw = RawPost::default();
        let mut seen = [false; 6];
        while let Some(Text(key)) = map.next_key()? {
            let (index, field) = match key.as_ref() {
                "id" => (0, &mut raw.id),
                "publication" => (1, &mut raw.publication),
                "title" => (2, &mut raw.title),
                "content" => (3, &mut raw.content),
                "published_at" => (4, &mut raw.published_at),
                "url" => (5, &mut raw.url),
                _ => {
                    let Skipped = map.next_value()?;
                    continue;
                }
            };
            if std::mem::replace(&mut seen[index], true) {
                return Err(M::Error::custom(format_args!("duplicate field `{key}`")));
            }
            *field = map.next_value()?;
        }
        Ok(raw)
    }
}

/// The value of an unknown field: skipped, but by recursion, so that the parser's depth limit holds for it too.
/// (`serde::de::IgnoredAny` skips any depth.)
struct Skipped;

impl<'de> Deserialize<'de> for Skipped {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Skipped)
    }
}

impl<'de> Visitor<'de> for Skipped {
    type Value = Skipped;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any value")
    }

    fn visit_bool<E>(self, _: bool) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_i64<E>(self, _: i64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_u64<E>(self, _: u64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_f64<E>(self, _: f64) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_str<E>(self, _: &str) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_unit<E>(self) -> Result<Skipped, E> {
        Ok(Skipped)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut seq: S) -> Result<Skipped, S::Error> {
        while let Some(Skipped) = seq.next_element()? {}
        Ok(Skipped)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Skipped, M::Error> {
        while let Some((Skipped, Skipped)) = map.next_entry()? {}
        Ok(Skipped)
    }
}

/// The key that a publication is counted under: trimmed and lower-cased.
pub fn publication_key(publication: &str) -> String {
    publication.trim().to_lowercase()
}

impl<'a> Post<'a> {
    /// Parses and checks one record. Unknown fields are ignored, as the original system did.
    pub fn parse(record: &'a [u8]) -> Result<Post<'a>, PostError> {
        if record.len() > limits::POST_BYTES_MAX {
            return Err(PostError::TooLong);
        }
        let text = std::str::from_utf8(record).map_err(|error| PostError::BadUtf8(error.valid_up_to()))?;
        match text.trim_start().as_bytes().first() {
            Some(b'{') | None => {}
            Some(_) => {
                return Err(match serde_json::from_str::<serde::de::IgnoredAny>(text) {
                    Ok(_) => PostError::NotAnObject,
                    Err(error) => json_error(&error),
                });
            }
        }
        let raw: RawPost<'a> = serde_json::from_str(text).map_err(|error| json_error(&error))?;
        Ok(Post {
            id: optional("id", raw.id, limits::ID_BYTES_MAX, Unit::Bytes)?,
            publication: required("publication", raw.publication, limits::PUBLICATION_CHARS_MAX)?,
            title: optional("title", raw.title, limits::TITLE_CHARS_MAX, Unit::Chars)?,
            content: required("content", raw.content, limits::CONTENT_CHARS_MAX)?,
            published_at: optional("published_at", raw.published_at, limits::PUBLISHED_AT_CHARS_MAX, Unit::Chars)?,
            url: optional("url", raw.url, limits::URL_CHARS_MAX, Unit::Chars)?,
        })
    }
}

impl PostError {
    /// The stable code that clients may branch on.
    pub fn code(&self) -> &'static str {
        match self {
            PostError::BadUtf8(_) => "bad_utf8",
            PostError::BadJson(_) => "bad_json",
            PostError::TooDeep => "too_deep",
            PostError::NotAnObject => "not_an_object",
            PostError::BadField(_) => "bad_field",
            PostError::MissingField(_) => "missing_field",
            PostError::EmptyField(_) => "empty_field",
            PostError::FieldTooLong { .. } => "field_too_long",
            PostError::NulByte(_) => "nul_byte",
            PostError::TooLong => "post_too_long",
        }
    }
}

#[derive(Clone, Copy)]
enum Unit {
    Bytes,
    Chars,
}

fn json_error(error: &serde_json::Error) -> PostError {
    let message = error.to_string();
    match error.classify() {
        // The crate has no variant of its own for its depth limit.
        _ if message.contains("recursion limit exceeded") => PostError::TooDeep,
        serde_json::error::Category::Data => PostError::BadField(message),
        _ => PostError::BadJson(message),
    }
}

fn required<'a>(field: &'static str, text: Option<Text<'a>>, chars_max: usize) -> Result<Cow<'a, str>, PostError> {
    let text = optional(field, text, chars_max, Unit::Chars)?.ok_or(PostError::MissingField(field))?;
    if text.trim().is_empty() {
        return Err(PostError::EmptyField(field));
    }
    Ok(text)
}

fn optional<'a>(
    field: &'static str,
    text: Option<Text<'a>>,
    max: usize,
    unit: Unit,
) -> Result<Option<Cow<'a, str>>, PostError> {
    let Some(Text(text)) = text else { return Ok(None) };
    // A text has at most as many characters as bytes, so the usual one is not counted.
    let length = match unit {
        Unit::Chars if text.len() > max => text.chars().count(),
        _ => text.len(),
    };
    if length > max {
        let unit = match unit {
            Unit::Bytes => "bytes",
            Unit::Chars => "characters",
        };
        return Err(PostError::FieldTooLong { field, length, max, unit });
    }
    if text.as_bytes().contains(&0) {
        return Err(PostError::NulByte(field));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code(record: &[u8]) -> &'static str {
        Post::parse(record).expect_err("should be refused").code()
    }

    #[test]
    fn a_plain_post_borrows_every_field() {
        let post = Post::parse(br#"{"publication":"A","content":"b","title":"t","extra":[1]}"#).expect("valid");
        assert!(matches!(post.title, Some(Cow::Borrowed("t"))));
        assert!(matches!(post.content, Cow::Borrowed("b")));
    }

    #[test]
    fn every_refusal_has_its_code() {
        assert_eq!(code(b"\xff{}"), "bad_utf8");
        assert_eq!(code(b"{"), "bad_json");
        assert_eq!(code(b"nonsense"), "bad_json");
        assert_eq!(code(b"{} {}"), "bad_json");
        assert_eq!(code(b""), "bad_json");
        assert_eq!(code(b"[]"), "not_an_object");
        assert_eq!(code(b"{}"), "missing_field");
        assert_eq!(code(br#"{"publication":null,"content":"b"}"#), "missing_field");
        assert_eq!(code(br#"{"publication":"a","content":5}"#), "bad_field");
        assert_eq!(code(br#"{"publication":"a","content":"b","content":"c"}"#), "bad_field");
        assert_eq!(code(br#"{"publication":" \n","content":"b"}"#), "empty_field");
        assert_eq!(code(br#"{"publication":"a\u0000","content":"b"}"#), "nul_byte");
        let deep = format!(r#"{{"x":{}{}}}"#, "[".repeat(200), "]".repeat(200));
        assert_eq!(code(deep.as_bytes()), "too_deep");
        let long = format!(r#"{{"publication":"{}","content":"b"}}"#, "é".repeat(limits::PUBLICATION_CHARS_MAX + 1));
        assert_eq!(code(long.as_bytes()), "field_too_long");
        assert_eq!(code(&vec![b' '; limits::POST_BYTES_MAX + 1]), "post_too_long");
    }

    #[test]
    fn the_depth_limit_is_the_one_that_the_message_names() {
        let nested = |levels: usize| {
            let inner = levels - 1;
            format!(r#"{{"x":{}{},"publication":"a","content":"b"}}"#, "[".repeat(inner), "]".repeat(inner))
        };
        assert!(Post::parse(nested(limits::JSON_DEPTH_MAX).as_bytes()).is_ok());
        assert_eq!(code(nested(limits::JSON_DEPTH_MAX + 1).as_bytes()), "too_deep");
    }

    #[test]
    fn characters_are_counted_and_not_bytes() {
        let exact = format!(r#"{{"publication":"{}","content":"b"}}"#, "é".repeat(limits::PUBLICATION_CHARS_MAX));
        assert!(Post::parse(exact.as_bytes()).is_ok());
    }

    #[test]
    fn a_key_is_trimmed_and_lower_cased() {
        assert_eq!(publication_key("  The Äther/Times "), "the äther/times");
    }
}
