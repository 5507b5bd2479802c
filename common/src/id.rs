//! Ids of posts and batches: where they come from when a client sends none.

use sha2::{Digest, Sha256};
use uuid::Uuid;

/// A new id that sorts by time of making (UUID version 7), for posts that arrive without one and for batches.
pub fn fresh() -> String {
    Uuid::now_v7().simple().to_string()
}

/// The id of a record in a file that names none: the same record at the same place gets the same id, so that a file
/// loaded twice counts nothing twice, while two equal lines of one file stay two posts.
///
/// `offset` is the byte offset of the record's start in the (decompressed) file, `record` its bytes without the line
/// break. 32 hexadecimal digits of a SHA-256.
pub fn of_record(offset: u64, record: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(offset.to_le_bytes());
    hash.update(record);
    hash.finalize()[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_lines_at_other_places_are_other_posts() {
        assert_eq!(of_record(0, b"a"), of_record(0, b"a"));
        assert_ne!(of_record(0, b"a"), of_record(2, b"a"));
        assert_eq!(of_record(0, b"a").len(), 32);
    }
}
