//! The writing half of a connection: reads the payloads that answers need, encodes, and writes as much as there is in
//! one go.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use bytes::Bytes;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::core::Connection;
use crate::core::answer::{Answer, Outgoing};
use crate::log::cache::{Wanted, read};
use crate::manager::Shared;
use crate::wire::frames::{Parts, frame, write_all};
use crate::wire::op;
use crate::wire::replies::{encode_dead, encode_error, encode_leased, encode_outcomes, encode_stats};

/// Answers taken at once.
const ANSWERS_MAX: usize = 64;
/// Bytes after which what there is is written.
const BYTES_MAX: usize = 1 << 20;

/// Writes answers until there will be no more, or the other side is gone.
pub(crate) async fn run<W: AsyncWrite + Unpin>(
    shared: Arc<Shared>,
    connection: Connection,
    mut answers: UnboundedReceiver<Outgoing>,
    sent: Arc<AtomicU32>,
    mut stream: W,
) -> io::Result<()> {
    let mut taken = Vec::new();
    let mut out = Vec::new();
    while answers.recv_many(&mut taken, ANSWERS_MAX).await > 0 {
        let (mut bytes, mut grants) = (0, 0);
        // Kept until the answers are written: the memory that they stand for is in use until then.
        let mut held = Vec::new();
        for Outgoing { request, answer, held: own } in taken.drain(..) {
            grants += u32::from(matches!(answer, Answer::Granted(_)));
            held.push(own);
            let (op, parts) = encode(&shared, connection, answer).await;
            bytes += parts.count();
            frame(op, request, parts.finish(), &mut out);
            if bytes >= BYTES_MAX {
                write_all(&mut stream, &mut out).await?;
                sent.fetch_add(std::mem::take(&mut grants), Ordering::Release);
                bytes = 0;
            }
        }
        write_all(&mut stream, &mut out).await?;
        sent.fetch_add(grants, Ordering::Release);
    }
    Ok(())
}

async fn encode(shared: &Arc<Shared>, connection: Connection, answer: Answer) -> (u8, Parts) {
    match answer {
        Answer::Put(outcomes) => (op::PUT_DONE, encode_outcomes(&outcomes)),
        Answer::Granted(mut grant) => {
            let wanted = std::mem::take(&mut grant.wanted);
            let (wanted, records) = load(shared, wanted).await;
            grant.wanted = wanted;
            for (item, _) in grant.items.iter().zip(&records).filter(|(_, record)| record.is_none()) {
                shared.step(|core| core.give_up_unreadable(connection, grant.queue, item.seq));
            }
            if records.iter().all(Option::is_none) {
                return (op::EMPTY, Parts::default());
            }
            (op::LEASED, encode_leased(&grant, records))
        }
        Answer::Empty => (op::EMPTY, Parts::default()),
        Answer::Flush => (op::FLUSH, Parts::default()),
        Answer::Stop => (op::STOP, Parts::default()),
        Answer::Done => (op::DONE, Parts::default()),
        Answer::Stats(stats) => (op::STATS_ARE, encode_stats(&stats)),
        Answer::DeadLetters(letters) => {
            let wanted = letters.iter().map(|letter| letter.wanted.clone()).collect();
            let (_, records) = load(shared, wanted).await;
            (op::DEAD_ARE, encode_dead(&letters, records))
        }
        Answer::Failed(error) => (op::ERROR, encode_error(&error)),
    }
}

/// The records, from memory or from the disk; `None` where the disk gives back something else than was written.
async fn load(shared: &Arc<Shared>, wanted: Vec<Wanted>) -> (Vec<Wanted>, Vec<Option<Bytes>>) {
    let mut found = shared.cache.get(&wanted);
    if found.iter().all(Option::is_some) {
        return (wanted, found);
    }
    let count = wanted.len();
    let reading = tokio::task::spawn_blocking(move || {
        let outcome = read(&wanted, &mut found);
        (wanted, found, outcome)
    });
    // It does not panic, and is not aborted before the runtime ends.
    let Ok((wanted, found, outcome)) = reading.await else { return (Vec::new(), vec![None; count]) };
    // A disk that can't be read is no fault of the items that are on it: nothing more is done until a new start.
    if let Err(error) = outcome {
        shared.fail(&error);
    }
    (wanted, found)
}
