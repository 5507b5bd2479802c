//! Exit codes, as in `sysexits.h` where it has one. Scripts and supervisors rely on them.

/// Everything asked for was done.
pub const OK: i32 = 0;
/// Something failed; the message says what.
pub const FAILED: i32 = 1;
/// Wrong usage of the command line.
pub const USAGE: i32 = 2;
/// The disk refused a sync: nothing more can be promised, so the process ends (`EX_IOERR`).
pub const DISK: i32 = 74;
/// Wrong settings, or a data directory that can't be used (`EX_CONFIG`).
pub const SETTINGS: i32 = 78;
