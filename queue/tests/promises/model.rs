//! Any sequence of calls, ends of consumers, restarts and crashes does what a plain model says, and loses nothing.
//!
//! `PROPTEST_CASES` sets how many sequences are tried. A failure names its seed, and `QUEUE_MODEL_SEED` repeats it.

mod plain;
mod steps;
mod world;

use std::time::{SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestCaseError, TestError, TestRng, TestRunner};
use queue::*;

use crate::support::want;
use plain::{ITEM_BYTES_MAX, State};
use steps::{Step, step};
use world::{OTHERS, QUEUES, World};

const CASES: u32 = 64;
const STEPS: usize = 100;

/// Bytes that tell who they are.
fn payload(id: &str, size: u16) -> Vec<u8> {
    id.bytes().chain(*b" ").cycle().take(usize::from(size)).collect()
}

fn some_of(held: &[Delivery], choice: u8) -> Vec<Delivery> {
    let is_chosen = |at: usize| choice == 0 || choice >> (at % 8) & 1 == 1;
    held.iter().enumerate().filter(|(at, _)| is_chosen(*at)).map(|(_, delivery)| delivery.clone()).collect()
}

fn leases(deliveries: &[Delivery]) -> Vec<LeaseId> {
    deliveries.iter().map(|delivery| delivery.lease).collect()
}

fn seqs(deliveries: &[Delivery]) -> Vec<u64> {
    deliveries.iter().map(|delivery| delivery.lease.seq).collect()
}

fn take(world: &mut World, step: Step, number: usize) {
    match step {
        Step::Put { queue, items } => {
            let item = |(id, size): (u8, u16)| (format!("id-{id}"), payload(&format!("id-{id}/{number}"), size));
            put(world, QUEUES[queue].0, items.into_iter().map(item).collect());
        }
        Step::PutTooLarge => {
            let large = vec![7; ITEM_BYTES_MAX + 1];
            put(world, POSTS, vec![("small".to_owned(), vec![1]), ("large".to_owned(), large)]);
            put(world, POSTS, vec![("large".to_owned(), vec![1])]);
        }
        Step::Lease { session, queue, items_max, bytes_max } => {
            lease(world, session, QUEUES[queue].0, Want { bytes_max, ..want(items_max) });
        }
        // Everything at once: so old segments are done with, or only something stuck is left in them.
        Step::Work { session, queue } => {
            lease(world, session, QUEUES[queue].0, want(100));
            settle(world, (session, queue), 0, None);
        }
        Step::Settle { session, queue, choice, outputs } => {
            let holder = world.holder(session, queue);
            settle(world, holder, choice, outputs);
        }
        Step::SettlePast { session } => {
            let session = world.session(session);
            let (client, past) = (session.client.clone(), session.past);
            if let Some((queue, lease)) = past {
                let outputs = Outputs { queue: OTHERS, items: vec![Item { id: "x".into(), payload: Bytes::new() }] };
                let settled = world.wait(client.settle(queue, vec![lease], Some(outputs)));
                assert_eq!(settled, Err(QueueError::LeaseLost));
            }
        }
        Step::Release { session, queue, choice } => {
            let (session, queue) = world.holder(session, queue);
            let session = world.session(session);
            let (client, chosen) = (session.client.clone(), some_of(&session.held[queue], choice));
            session.held[queue].retain(|held| !chosen.contains(held));
            assert_eq!(world.wait(client.release(QUEUES[queue].0, leases(&chosen))), Ok(()));
            world.plain.queues[queue].release(seqs(&chosen));
        }
        Step::Bury { session, queue } => {
            let (session, queue) = world.holder(session, queue);
            let session = world.session(session);
            let client = session.client.clone();
            if let Some(chosen) = session.held[queue].pop() {
                session.past = Some((QUEUES[queue].0, chosen.lease));
                // Some are too long.
                let reason = format!("buried in step {number} {}", "é".repeat(number % 3 * 300));
                assert_eq!(world.wait(client.bury(QUEUES[queue].0, chosen.lease, reason.clone())), Ok(()));
                world.plain.queues[queue].bury(chosen.lease.seq, &reason);
                world.check_letters();
            }
        }
        Step::Lose { session } => {
            let (session, _) = world.holder(session, 0);
            world.end_session(session, false);
        }
        Step::Close { session } => {
            let (session, _) = world.holder(session, 0);
            world.end_session(session, true);
        }
        Step::RetryDead { choice } => raise(world, choice, true),
        Step::DropDead { choice } => raise(world, choice, false),
        Step::Reopen => world.restart(false),
        Step::Crash => world.restart(true),
    }
    world.check_counts();
}

fn put(world: &mut World, queue: QueueId, items: Vec<(String, Vec<u8>)>) {
    let client = world.session(0).client.clone();
    let sent = items.iter().map(|(id, payload)| Item { id: id.clone(), payload: payload.clone().into() }).collect();
    let told = match world.wait(client.put(queue, sent)) {
        Ok(outcomes) => Some(outcomes),
        Err(QueueError::Full(_)) => None,
        Err(other) => panic!("{other}"),
    };
    assert_eq!(told, world.plain.queue(queue).put(&items));
}

fn settle(world: &mut World, (session, queue): (usize, usize), choice: u8, outputs: Option<Vec<u16>>) {
    let session = world.session(session);
    let (client, chosen) = (session.client.clone(), some_of(&session.held[queue], choice));
    session.held[queue].retain(|held| !chosen.contains(held));
    let Some(first) = chosen.first() else { return };
    session.past = Some((QUEUES[queue].0, first.lease));
    let id = format!("made of {}", first.id);
    // Posts become results, and whatever else there is becomes others.
    let to = if queue == 0 { RESULTS } else { OTHERS };
    let items: Option<Vec<_>> = outputs.map(|sizes| sizes.into_iter().map(|size| payload(&id, size)).collect());
    let sent = items.clone().map(|payloads| Outputs {
        queue: to,
        items: payloads.into_iter().map(|payload| Item { id: id.clone(), payload: payload.into() }).collect(),
    });
    assert_eq!(world.wait(client.settle(QUEUES[queue].0, leases(&chosen), sent)), Ok(()));
    chosen.iter().for_each(|chosen| world.plain.queues[queue].settle(chosen.lease.seq));
    for payload in items.unwrap_or_default() {
        world.plain.queue(to).add(id.clone(), payload);
    }
}

/// Retries or drops a dead letter, or one that is not there.
fn raise(world: &mut World, choice: usize, is_retry: bool) {
    let client = world.session(0).client.clone();
    let dead = world.plain.dead_letters();
    let (queue, seq) = dead.get(choice % (dead.len() + 1)).copied().unwrap_or((0, 1 << 40));
    let raised = world.wait(async {
        if is_retry {
            client.retry_dead(QueueId(queue), seq).await
        } else {
            client.drop_dead(QueueId(queue), seq).await
        }
    });
    if !dead.contains(&(queue, seq)) {
        assert!(matches!(raised, Err(QueueError::NotFound(_))), "{raised:?}");
        return;
    }
    assert_eq!(raised, Ok(()));
    let plain = world.plain.queue(QueueId(queue));
    if is_retry {
        plain.retry(seq);
    } else {
        plain.items.remove(&seq);
    }
    world.check_letters();
}

fn lease(world: &mut World, number: usize, queue: QueueId, want: Want) {
    let client = world.session(number).client.clone();
    let leased = world.wait(client.lease(queue, want)).unwrap();
    // An answer to this comes when the manager knows that the one before was sent.
    world.wait(client.stats()).unwrap();
    let is_fed_full = queue == POSTS && world.plain.queue(RESULTS).is_over();
    let max_deliveries = world.plain.max_deliveries;
    let plain = world.plain.queue(queue);
    let held = plain.held(number % 3);
    let holds_suspects = held.iter().any(|seq| plain.items[seq].is_suspect());
    let (suspects, resting) = plain.suspects();
    let (deliveries, are_suspects) = match leased {
        Leased::Items { deliveries, suspects } => (deliveries, suspects),
        // Nothing that could be given: or it is given only to one that holds nothing.
        Leased::Empty => {
            let nothing = plain.order.is_empty() && (suspects.is_empty() || !held.is_empty());
            assert!(is_fed_full || holds_suspects || nothing, "nothing came");
            return;
        }
        Leased::Flush => {
            let is_idle = held.is_empty() || holds_suspects || is_fed_full;
            let is_crowded = !plain.order.is_empty() && suspects.len() + resting.len() > 0;
            return assert!(!is_idle && is_crowded, "a flush for no reason");
        }
        Leased::Stop => panic!("nobody stopped the queue"),
    };
    assert!(!is_fed_full && !holds_suspects && !deliveries.is_empty());
    let given = seqs(&deliveries);
    let bytes: usize = deliveries.iter().map(|delivery| delivery.payload.len()).sum();
    assert!(deliveries.len() == 1 || bytes <= want.bytes_max as usize, "{bytes} bytes");
    assert!(deliveries.len() <= want.items_max as usize, "{} items", deliveries.len());
    if are_suspects {
        assert!(held.is_empty(), "suspects for one that holds something");
        assert!(given.iter().all(|seq| suspects.contains(seq) || resting.contains(seq)), "{given:?} are no suspects");
        let is_last_try = deliveries.iter().any(|delivery| delivery.attempt == max_deliveries);
        assert!(!is_last_try || deliveries.len() == 1, "others with one that has its last try");
    } else {
        assert!(suspects.is_empty() || !held.is_empty(), "suspects wait, and come first");
        assert_eq!(given, plain.order[..given.len()], "in the order of their puts");
        let is_all = given.len() == plain.order.len().min(want.items_max as usize);
        assert!(is_all || want.bytes_max < u32::MAX, "{} of {} items", given.len(), plain.order.len());
    }
    for delivery in &deliveries {
        let item = &plain.items[&delivery.lease.seq];
        let told = (&delivery.id, &delivery.payload[..], delivery.attempt);
        assert_eq!(told, (&item.id, &item.payload[..], item.attempts + 1));
        assert!(matches!(item.state, State::Ready | State::Resting), "{} is given twice", item.id);
        plain.hold(number % 3, delivery.lease.seq);
    }
    world.session(number).held[usize::from(queue.0)].extend(deliveries);
}

fn run(max_deliveries: u32, steps: Vec<Step>) {
    let mut world = World::begin(max_deliveries);
    for (number, step) in steps.into_iter().enumerate() {
        take(&mut world, step, number);
    }
    world.end();
}

#[test]
fn every_sequence_of_steps_agrees_with_the_model() {
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_nanos() as u64);
    let seed = std::env::var("QUEUE_MODEL_SEED").map_or_else(|_| clock(), |seed| seed.parse().expect("a number"));
    let mut bytes = [0; 32];
    bytes[..8].copy_from_slice(&seed.to_le_bytes());
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { Config::default().cases } else { CASES };
    let config = Config { cases, failure_persistence: None, max_shrink_time: 120_000, ..Config::default() };
    println!("{cases} sequences, QUEUE_MODEL_SEED={seed}");
    let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &bytes));
    let outcome = runner.run(&(2..4_u32, vec(step(), 1..STEPS)), |(max_deliveries, steps)| {
        // The panic has said what is wrong.
        let ran = std::panic::catch_unwind(|| run(max_deliveries, steps));
        ran.map_err(|panic| {
            let message = panic.downcast_ref::<String>().cloned();
            TestCaseError::fail(message.or(panic.downcast_ref::<&str>().map(ToString::to_string)).unwrap_or_default())
        })
    });
    match outcome {
        Ok(()) => {}
        Err(TestError::Fail(reason, (max_deliveries, steps))) => {
            panic!("QUEUE_MODEL_SEED={seed} fails; so do, with {max_deliveries} deliveries, {steps:#?}\n{reason}")
        }
        Err(TestError::Abort(reason)) => panic!("{reason}"),
    }
}

#[test]
fn an_item_that_is_too_large_leaves_no_trace() {
    let steps = [Step::Reopen, Step::PutTooLarge, Step::Crash];
    run(3, steps.to_vec());
}
