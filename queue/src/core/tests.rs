//! What can't be brought about from outside: moments between a command and its sync, answers that were not sent.

use std::io::{self, IoSlice};
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc::unbounded_channel;

use super::*;
use crate::api::{POSTS, Want};
use crate::core::answer::NewItems;
use crate::core::leases::End;
use crate::log::cache::Place;
use crate::log::frame::Shape;

/// A file that takes everything and has nothing.
pub(super) struct NoFile;

impl SegmentFile for NoFile {
    fn append(&self, _: &mut [IoSlice<'_>]) -> io::Result<()> {
        Ok(())
    }
    fn sync(&self) -> io::Result<()> {
        Ok(())
    }
    fn read_at(&self, _: &mut [u8], _: u64) -> io::Result<()> {
        Ok(())
    }
    fn size(&self) -> io::Result<u64> {
        Ok(0)
    }
    fn truncate(&self, _: u64) -> io::Result<()> {
        Ok(())
    }
    fn overwrite(&self, _: &[u8], _: u64) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn core() -> Core {
    let mut core = Core::new(&ManagerSettings::pipeline("nowhere"));
    let file: Arc<dyn SegmentFile> = Arc::new(NoFile);
    (1..4).for_each(|segment| core.segment_grew(segment, &file, 10_000));
    core
}

/// Makes a call, and returns what it is answered so far.
fn call(core: &mut Core, step: impl FnOnce(&mut Core, Reply)) -> Option<Answer> {
    let (to, mut answers) = unbounded_channel();
    step(core, Reply { request: 1, to, held: None });
    answers.try_recv().ok().map(|outgoing| outgoing.answer)
}

fn put(core: &mut Core, ids: std::ops::Range<u128>) {
    let count = ids.end - ids.start;
    let shapes = vec![Shape { id_len: 1, len: 1, crc: 0 }; count as usize];
    let area = Bytes::from(vec![0; 2 * count as usize]);
    let new = NewItems { shapes, ids: ids.collect(), held: area.len(), area };
    call(core, |core, reply| core.put(POSTS, new, reply));
}

/// What the writer does, without a disk.
fn write(core: &mut Core) {
    for command in std::mem::take(&mut core.pending) {
        if let Some(record) = &command.record {
            core.apply(record, Place { segment: 1, offset: 100 });
        }
        core.remember(&command.ids);
    }
}

fn lease(core: &mut Core, connection: Connection, items_max: u32) -> Vec<u64> {
    let want = Want { items_max, bytes_max: u32::MAX, wait: Duration::ZERO };
    let answer = call(core, |core, reply| {
        core.lease(connection, POSTS, want, reply);
    });
    match answer {
        Some(Answer::Granted(grant)) => grant.items.iter().map(|item| item.seq).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_queue_is_not_done_while_something_is_on_its_way_into_it() {
    let mut core = core();
    put(&mut core, 0..1);
    core.close(POSTS);
    assert!(!core.is_done(POSTS));
    write(&mut core);
    let (connection, session, _) = core.begin_session();
    assert_eq!(lease(&mut core, connection, 1), [0]);
    call(&mut core, |core, reply| core.settle(connection, (POSTS, session), vec![0], None, reply));
    assert!(!core.is_done(POSTS), "done before that is written");
    write(&mut core);
    assert!(core.is_done(POSTS));
}

#[test]
fn a_lost_connection_is_blamed_for_what_it_was_sent_and_for_nothing_else() {
    let mut core = core();
    put(&mut core, 0..4);
    write(&mut core);
    let (connection, _, sent) = core.begin_session();
    assert_eq!((lease(&mut core, connection, 2), lease(&mut core, connection, 2)), (vec![0, 1], vec![2, 3]));
    sent.store(1, Ordering::Release);
    core.end_session(connection, End::Lost);
    write(&mut core);
    let attempts: Vec<u32> = core.queues[0].items.values().map(|entry| entry.attempts).collect();
    assert_eq!(attempts, [1, 1, 0, 0]);
}

#[test]
fn a_lease_is_good_for_the_session_that_it_names() {
    let mut core = core();
    put(&mut core, 0..1);
    write(&mut core);
    let (connection, session, _) = core.begin_session();
    assert_eq!(lease(&mut core, connection, 1), [0]);
    for (connection, session) in [(connection, session + 1), (connection + 1, session)] {
        let answer = call(&mut core, |core, reply| core.release(connection, POSTS, session, vec![0], reply));
        assert!(matches!(answer, Some(Answer::Failed(QueueError::LeaseLost))));
    }
    let answer = call(&mut core, |core, reply| core.release(connection, POSTS, session, vec![0], reply));
    assert!(matches!(answer, Some(Answer::Done)));
}

#[test]
fn an_id_that_is_out_of_the_window_is_new_again() {
    let mut core = Core { window: Window::new(2), ..core() };
    put(&mut core, 0..3);
    write(&mut core);
    put(&mut core, 0..1);
    assert_eq!(core.pending.len(), 1);
}
