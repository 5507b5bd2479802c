//! A limit on everything that a client can make large. Each is checked before anything is written.

/// Bytes of one post as JSON, on one line or inside an array. A line is cut off and refused past it.
/// Fuzzing has a smaller one, so that it gets there.
pub const POST_BYTES_MAX: usize = if cfg!(fuzzing) { 1 << 10 } else { 8 << 20 };

/// Characters (Unicode scalar values) of `content`. The longest newspaper articles have about 200,000.
pub const CONTENT_CHARS_MAX: usize = 4 << 20;

/// Characters of `publication`.
pub const PUBLICATION_CHARS_MAX: usize = 1_000;

/// Characters of `title`.
pub const TITLE_CHARS_MAX: usize = 10_000;

/// Bytes of `id`: it is kept in memory and in every log frame.
pub const ID_BYTES_MAX: usize = 256;

/// Characters of `url`.
pub const URL_CHARS_MAX: usize = 8_192;

/// Characters of `published_at`.
pub const PUBLISHED_AT_CHARS_MAX: usize = 64;

/// Levels of JSON nesting. `serde_json` refuses the next one by itself; the number is its own.
pub const JSON_DEPTH_MAX: usize = 127;

/// Increments in one batch: what a store commits in one transaction without keeping others waiting.
pub const BATCH_INCREMENTS_MAX: usize = 10_000;
