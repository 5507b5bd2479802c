//! The log: where everything durable is.
//!
//! # What it must do
//! - A command that was answered is wholly in the log; one that was not is there wholly or not at all, except that a
//!   power loss may leave a part of the items of a put. Above all "settle these posts and put what was made of them".
//! - An answer means synced. Many commands share one sync, because a sync costs the same for 4 KB as for 1 MB.
//! - Whatever the disk gives back after a crash or years later, what is lost is counted and named, and nothing else is.
//! - Disk space follows what is live, also when one item is stuck for a week.
//! - Memory does not follow payloads: those are read back from here.
//!
//! # Format
//! All queues share one log, so that one command may touch two of them. It is a sequence of segments, files named
//! `0000000001.log` and so on, of about 64 MiB. A segment begins with its preamble, twice: magic, version, number, and
//! the seed of all checksums in it. The seed is random, so that neither the bytes of an older file nor a payload made to
//! look like a frame are taken for one. Then come frames, one for each command ([`frame`]):
//!
//! ```text
//! | magic 4 | kind 1, index 3 | meta length 4 | area length 4 | frame number 8 | meta CRC 4 | header CRC 4 |
//! | meta: the command's fields; for every record its id's length, payload's length and CRC                 |
//! | area: id, payload, id, payload, …                                                                      |
//! | the header again, with another magic | the meta again                                                  |
//! ```
//!
//! What makes a command is there twice, because a settlement that can't be read would come undone: its posts would be
//! counted again. So one damaged place costs one record of an area at most, and never a command. Frames are numbered
//! without gaps, so that a loss shows even where the bytes look sound. The index counts the frames of one write, so that
//! `number - index` names that write.
//!
//! | kind | what it says |
//! |---|---|
//! | head | the manager started (epoch); the next number of every queue. First in every segment |
//! | put | new records, numbered from here |
//! | settle | these numbers are done; and, in the same frame, what was put in their place |
//! | return | deliveries of these failed, so many times by now |
//! | bury | these became dead letters |
//! | retry, drop | a dead letter is ready again, or gone |
//! | move | live records of the oldest segment, again |
//! | void | nothing: a command that was taken back |
//!
//! Format 1, which is still read, had neither copies nor indices. Frames of one format never follow those of another in
//! one segment, so that an older program refuses the file instead of taking what it does not know for damage.
//!
//! # Write
//! One thread takes whatever commands wait, writes them with one call, syncs once, and only then applies and answers
//! them ([`store`], [`crate::writer`]). A failed write or sync is never tried again, because the kernel may have dropped
//! the pages and would report success: the manager refuses everything from then on, and its process ends.
//!
//! # Delete
//! Segments go strictly oldest first, each removal synced before the next: a settlement is always in the same or a
//! younger segment than what it settles, so nothing comes back. Before a removal, and at a stop, a head is written by
//! itself, so that what made the removal right is not the last write any more, which recovery may cut or take back. When
//! the log is more than twice as large as what is live, and two segments, the live records of the oldest one are copied
//! forward.
//!
//! # Duplicates
//! The ids put lately are kept as hashes ([`window`]). When a segment is full, its ids are written beside it, and that
//! file outlives the segment until its ids are out of the window.
//!
//! # Recover
//! Every segment is scanned in order and its commands are applied by the same code that applied them at first
//! ([`recover`], [`scan`]). That changes nothing; what has to be done to the files is a list that is carried out
//! afterwards ([`repair`]):
//! - Bytes at the very end after which nothing is sound are taken for a write that was cut off and that nobody was answered
//!   for: they are cut, with a warning, because a disk that damaged an answered one looks the same. A last put whose fields
//!   are sound keeps its sound items.
//! - A disk that loses power may keep any part of the last write. A settlement of that write whose outputs are not whole is
//!   taken back: it counts as a whole or not at all.
//! - Where one copy of a command's fields is damaged, the other is written over it.
//! - A segment whose beginning can't be read is kept under another name.
//!
//! Then the last write is written again and synced, because the rules for the last write must not be needed for one before
//! it. Anything that can't be understood is damage: listed, counted, logged. A file that the disk refuses to read refuses
//! the start: nothing is guessed from what may be there tomorrow.

pub(crate) mod cache;
pub(crate) mod disk;
pub(crate) mod frame;
pub(crate) mod recover;
pub(crate) mod repair;
pub(crate) mod report;
pub(crate) mod scan;
pub(crate) mod segment;
pub(crate) mod store;
pub(crate) mod window;
