//! The state of a cut through JSON: between values, and inside one. Only brackets, strings and commas are told apart.

use super::BYTE_ORDER_MARK;

/// Where the JSON cutter stands.
#[derive(Debug)]
pub(super) struct Json {
    pub(super) place: Place,
    in_array: bool,
    depth: u64,
    in_string: bool,
    escaped: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// Before an object or an array.
    Top,
    /// After `[`.
    ArrayStart,
    /// After a comma.
    ArrayValue,
    /// After a value.
    ArrayNext,
    /// Inside an object, an array or a string.
    Nested,
    /// Inside a number or a bare word.
    Word,
    /// A `Broken` was given.
    Broken,
}

/// What to do with a byte that is in no value.
#[derive(Debug)]
pub(super) enum Step {
    /// The byte belongs to no value.
    Over,
    /// The byte is the first of a value, and has not been looked into.
    ValueBegins,
}

impl Json {
    /// Before the first value of a stream.
    pub(super) fn new() -> Json {
        Json { place: Place::Top, in_array: false, depth: 0, in_string: false, escaped: false }
    }

    /// The value has ended.
    pub(super) fn end_value(&mut self) {
        self.place = if self.in_array { Place::ArrayNext } else { Place::Top };
    }

    /// Takes a step over, or up to, the byte at `offset`; says what is wrong if it can't be there.
    pub(super) fn between_values(&mut self, byte: u8, offset: u64) -> Result<Step, &'static str> {
        match (self.place, byte) {
            (Place::Top, b'{') => self.place = Place::Nested,
            (Place::Top, b'[') => {
                self.in_array = true;
                self.place = Place::ArrayStart;
                return Ok(Step::Over);
            }
            (Place::Top, _) if offset < 3 && BYTE_ORDER_MARK[offset as usize] == byte => return Ok(Step::Over),
            (Place::Top, _) => return Err("an object or an array of objects should begin here"),
            (Place::ArrayStart | Place::ArrayNext, b']') => {
                self.in_array = false;
                self.place = Place::Top;
                return Ok(Step::Over);
            }
            (Place::ArrayNext, b',') => {
                self.place = Place::ArrayValue;
                return Ok(Step::Over);
            }
            (Place::ArrayNext, _) => return Err("a comma or the end of the array should be here"),
            (_, b',' | b']' | b'}') => return Err("a value should begin here"),
            (_, b'{' | b'[' | b'"') => self.place = Place::Nested,
            _ => self.place = Place::Word,
        }
        Ok(Step::ValueBegins)
    }

    /// Where the value that began earlier, or begins with `bytes`, ends: one past its last byte.
    pub(super) fn end_of_value(&mut self, bytes: &[u8]) -> Option<usize> {
        if self.place == Place::Word {
            return bytes.iter().position(|byte| matches!(byte, b',' | b']' | b' ' | b'\n' | b'\r' | b'\t'));
        }
        let mut at = 0;
        while at < bytes.len() {
            if std::mem::take(&mut self.escaped) {
                at += 1;
            } else if self.in_string {
                at += memchr::memchr2(b'"', b'\\', &bytes[at..])? + 1;
                self.escaped = bytes[at - 1] == b'\\';
                self.in_string = self.escaped;
                if !self.in_string && self.depth == 0 {
                    return Some(at);
                }
            } else {
                at += bytes[at..].iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'))? + 1;
                match bytes[at - 1] {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    // The value began with a bracket or a quote, so the depth is at least 1 outside strings.
                    _ => self.depth -= 1,
                }
                if !self.in_string && self.depth == 0 {
                    return Some(at);
                }
            }
        }
        None
    }
}
