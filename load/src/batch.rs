//! A batch: the posts of one request, in the form they are sent in, with where each came from.

use common::{Post, id};

/// Bytes of one request, unless a single post has more. Small enough that a repeat is cheap, large enough that
/// requests are few.
pub const BODY_BYTES_MAX: usize = 4 << 20;

/// An id of 32 digits with its name, and a line break.
const ADDED_BYTES_MAX: usize = 48;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Origin {
    /// Which of the inputs.
    pub file: usize,
    /// Its first byte.
    pub offset: u64,
}

/// Posts as NDJSON.
#[derive(Debug, Default)]
pub struct Batch {
    body: Vec<u8>,
    items: Vec<Item>,
    /// Bytes of the files that it was made of.
    pub source_bytes: u64,
}

#[derive(Debug)]
struct Item {
    /// One past its line break in the body.
    end: usize,
    origin: Origin,
}

impl Batch {
    /// An empty one that will be about as large as this one.
    pub fn next(&self) -> Batch {
        let (body, items) = (Vec::with_capacity(self.body.len()), Vec::with_capacity(self.items.len()));
        Batch { body, items, source_bytes: 0 }
    }

    /// Posts in it.
    pub fn len(&self) -> usize {
        self.items.len()
    }

    /// Whether another record of this length would make it larger than a request should be.
    pub fn is_full_for(&self, record_bytes: usize) -> bool {
        !self.items.is_empty() && self.body.len() + record_bytes + ADDED_BYTES_MAX > BODY_BYTES_MAX
    }

    /// Adds a post. One without an id gets that of its place, written into the record; everything else stays as the
    /// client wrote it.
    pub fn push(&mut self, origin: Origin, record: &[u8], post: &Post<'_>) {
        let start = self.body.len();
        if post.id.is_some() {
            self.body.extend_from_slice(record);
        } else {
            let id = id::of_record(origin.offset, record);
            // A valid post begins with a brace, has at least two fields, and a hexadecimal id needs no escape.
            let brace = record.iter().position(|byte| *byte == b'{').map_or(0, |brace| brace + 1);
            self.body.extend_from_slice(&record[..brace]);
            self.body.extend_from_slice(format!("\"id\":\"{id}\",").as_bytes());
            self.body.extend_from_slice(&record[brace..]);
            // `"id":null` is an absent id, but with one before it it is a field given twice.
            if memchr::memmem::find(record, b"null").is_some() && Post::parse(&self.body[start..]).is_err() {
                self.body.truncate(start);
                let post = Post { id: Some(id.into()), ..post.clone() };
                // Strings always serialise.
                self.body.extend_from_slice(&serde_json::to_vec(&post).unwrap_or_default());
            }
        }
        // A value of an array may span lines. Inside strings JSON allows no line break, so all of them are white space.
        let mut at = start;
        while let Some(found) = memchr::memchr2(b'\n', b'\r', &self.body[at..]) {
            at += found;
            self.body[at] = b' ';
        }
        self.body.push(b'\n');
        self.items.push(Item { end: self.body.len(), origin });
    }

    /// Where a post of it came from.
    pub fn origin(&self, index: usize) -> Origin {
        self.items[index].origin
    }

    /// The request body of all posts.
    pub fn body(&self) -> &[u8] {
        &self.body
    }

    /// The request body of some posts.
    pub fn body_of(&self, indices: &[usize]) -> Vec<u8> {
        let mut body = Vec::new();
        for &index in indices {
            let start = index.checked_sub(1).map_or(0, |before| self.items[before].end);
            body.extend_from_slice(&self.body[start..self.items[index].end]);
        }
        body
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(record: &str) -> String {
        let mut batch = Batch::default();
        let post = Post::parse(record.as_bytes()).expect("a post");
        batch.push(Origin { file: 0, offset: 7 }, record.as_bytes(), &post);
        let body = String::from_utf8(batch.body().to_vec()).expect("text");
        assert_eq!(body.matches('\n').count(), 1);
        body.trim_end().to_owned()
    }

    #[test]
    fn a_post_with_an_id_is_sent_as_it_is() {
        let record = r#"{ "publication":"a", "id":"x", "content":"null", "extra":[1] }"#;
        assert_eq!(sent(record), record);
    }

    #[test]
    fn a_post_without_an_id_gets_that_of_its_place_and_keeps_the_rest() {
        for record in [
            r#"{"publication":"a","content":"b"}"#,
            r#"  {"publication":"a","content":"null","title":null,"x":{}}"#,
            r#"{"id":null,"publication":"a","content":"\u00e9\n"}"#,
            "{\r\n\"publication\":\"a\",\n\"content\":\"b\"}",
        ] {
            let text = sent(record);
            let (before, after) = (Post::parse(record.as_bytes()).expect("post"), Post::parse(text.as_bytes()));
            let after = after.unwrap_or_else(|error| panic!("{text}: {error}"));
            assert_eq!(after.id.as_deref(), Some(id::of_record(7, record.as_bytes()).as_str()));
            assert_eq!((after.content, after.publication), (before.content, before.publication));
        }
        assert!(
            sent(r#"{"publication":"a","content":"b","x":1}"#).ends_with(r#""publication":"a","content":"b","x":1}"#)
        );
    }

    #[test]
    fn the_body_of_some_is_cut_out_of_the_body_of_all() {
        let mut batch = Batch::default();
        for text in ["a", "b", "c"] {
            let record = format!(r#"{{"id":"{text}","publication":"p","content":"{text}"}}"#);
            batch.push(
                Origin { file: 0, offset: 0 },
                record.as_bytes(),
                &Post::parse(record.as_bytes()).expect("post"),
            );
        }
        let some = String::from_utf8(batch.body_of(&[0, 2])).expect("text");
        let ids: Vec<_> = some.lines().map(|line| Post::parse(line.as_bytes()).expect("post").id).collect();
        assert_eq!(ids, [Some("a".into()), Some("c".into())]);
        assert_eq!(batch.body_of(&[0, 1, 2]), batch.body());
    }
}
