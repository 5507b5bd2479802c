//! The reader: cuts files into records, refuses those that are no posts, and packs the others into batches.

use std::io;
use std::sync::atomic::Ordering::Relaxed;
use std::sync::mpsc::SyncSender;

use common::records::Record;
use common::{Post, PostError};

use crate::batch::{Batch, Origin};
use crate::error::LoadError;
use crate::input::Input;
use crate::run::{Link, Refusal};

/// Reads all inputs, or as far as the load goes. Blocks while enough batches wait to be sent, which is what bounds the
/// memory of a load.
pub fn read(inputs: &[Input], posts_max: usize, batches: &SyncSender<Batch>, link: &Link) {
    let mut packer = Packer { batch: Batch::default(), posts_max, batches, link };
    for (file, input) in inputs.iter().enumerate() {
        match packer.take_all(file, input) {
            Ok(true) => {}
            Ok(false) => return,
            Err(error) => {
                // What has been read is sent before the load ends with the error.
                packer.close();
                let file = input.name.clone();
                link.fail_at_end(|summary| LoadError::Read { file, error, summary });
                return;
            }
        }
    }
    packer.close();
}

struct Packer<'a> {
    batch: Batch,
    posts_max: usize,
    batches: &'a SyncSender<Batch>,
    link: &'a Link,
}

impl Packer<'_> {
    /// Whether there is a use for more.
    fn take_all(&mut self, file: usize, input: &Input) -> io::Result<bool> {
        for record in input.open()? {
            let more = match record? {
                Record::Whole { offset, bytes } => self.take(Origin { file, offset }, &bytes),
                Record::TooLong { offset } => self.refuse(Origin { file, offset }, &PostError::TooLong, 0),
                Record::Broken { offset, reason } => {
                    self.refuse(Origin { file, offset }, &PostError::BadJson(reason.to_owned()), 0)
                }
            };
            if !more {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn take(&mut self, origin: Origin, record: &[u8]) -> bool {
        let post = match Post::parse(record) {
            Ok(post) => post,
            Err(error) => return self.refuse(origin, &error, record.len()),
        };
        if self.batch.is_full_for(record.len()) && !self.close() {
            return false;
        }
        self.batch.push(origin, record, &post);
        self.batch.source_bytes += record.len() as u64 + 1;
        self.batch.len() < self.posts_max || self.close()
    }

    fn refuse(&self, origin: Origin, error: &PostError, bytes: usize) -> bool {
        self.link.meter().bytes.fetch_add(bytes as u64 + 1, Relaxed);
        self.link.refuse(Refusal { origin, id: None, code: error.code().to_owned(), message: error.to_string() });
        !self.link.is_over()
    }

    /// Hands the batch on; false if nobody takes it any more.
    fn close(&mut self) -> bool {
        let next = self.batch.next();
        let batch = std::mem::replace(&mut self.batch, next);
        !self.link.is_over() && (batch.len() == 0 || self.batches.send(batch).is_ok())
    }
}
