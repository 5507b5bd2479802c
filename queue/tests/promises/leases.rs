//! Who gets what, and when there is nothing more to get.

use std::time::Duration;

use queue::*;

use crate::support::*;

#[tokio::test]
async fn items_are_delivered_once_and_in_order() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    assert_eq!(client.put(POSTS, items(0..10)).await.unwrap(), vec![PutOutcome::Accepted; 10]);
    let first = lease(&client, POSTS, 4).await;
    assert_eq!(ids(&first), ["id-0", "id-1", "id-2", "id-3"]);
    assert_eq!((&first[2].payload[..], first[2].attempt), (&b"payload of 2"[..], 1));
    let second = lease(&client, POSTS, 100).await;
    assert_eq!(second.len(), 6);
    assert_eq!(client.lease(POSTS, want(1)).await.unwrap(), Leased::Empty);
    let counts = running.counts("posts");
    assert_eq!((counts.ready, counts.leased, counts.accepted, counts.settled), (0, 10, 10, 0));
    client.settle(POSTS, leases(&first), None).await.unwrap();
    client.settle(POSTS, leases(&second), None).await.unwrap();
    let counts = running.counts("posts");
    assert_eq!((counts.ready, counts.leased, counts.bytes, counts.settled), (0, 0, 0, 10));
}

#[tokio::test]
async fn a_lease_waits_for_an_item() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let (consumer, producer) = (running.client("consumer").await, running.client("producer").await);
    let waiting = tokio::spawn(async move { lease(&consumer, POSTS, 10).await.len() });
    tokio::task::yield_now().await;
    producer.put(POSTS, items(0..1)).await.unwrap();
    assert_eq!(waiting.await.unwrap(), 1);
}

#[tokio::test]
async fn a_lease_ends_empty_when_its_wait_is_over() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    let began = std::time::Instant::now();
    let wait = Duration::from_millis(150);
    assert_eq!(client.lease(POSTS, Want { wait, ..want(1) }).await.unwrap(), Leased::Empty);
    assert!(began.elapsed() >= wait);
    // And it takes nothing afterwards.
    client.put(POSTS, items(0..1)).await.unwrap();
    assert_eq!(running.counts("posts").ready, 1);
}

#[tokio::test]
async fn one_item_is_delivered_even_if_it_is_larger_than_wanted() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, vec![item("a", vec![1; 5000]), item("b", vec![2; 5000])]).await.unwrap();
    let Leased::Items { deliveries, .. } = client.lease(POSTS, Want { bytes_max: 10, ..want(9) }).await.unwrap() else {
        panic!("nothing came")
    };
    assert_eq!(ids(&deliveries), ["a"]);
}

#[tokio::test]
async fn released_items_come_back_first_and_uncounted() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..4)).await.unwrap();
    let taken = lease(&client, POSTS, 2).await;
    client.release(POSTS, leases(&taken)).await.unwrap();
    let again = lease(&client, POSTS, 4).await;
    assert_eq!(ids(&again), ["id-0", "id-1", "id-2", "id-3"]);
    assert!(again.iter().all(|delivery| delivery.attempt == 1));
    assert_eq!(client.release(POSTS, vec![LeaseId { seq: 99, ..taken[0].lease }]).await, Err(QueueError::LeaseLost));
}

#[tokio::test]
async fn a_closed_queue_refuses_puts_takes_outputs_and_ends_with_flush_and_stop() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let (one, two) = (running.client("one").await, running.client("two").await);
    one.put(POSTS, items(0..2)).await.unwrap();
    running.manager.close(POSTS);
    running.manager.close(RESULTS);
    assert_eq!(one.put(POSTS, items(5..6)).await, Err(QueueError::Closed));
    let held = lease(&one, POSTS, 9).await;
    assert_eq!(held.len(), 2);
    assert_eq!(one.lease(POSTS, want(1)).await.unwrap(), Leased::Flush);
    assert!(!running.manager.is_done(POSTS));
    // Another consumer waits: one may die, and the other takes over.
    let waiting = tokio::spawn({
        let two = two.clone();
        async move { two.lease(POSTS, want_soon(1)).await.unwrap() }
    });
    let outputs = Outputs { queue: RESULTS, items: vec![item("batch", "sums")] };
    one.settle(POSTS, leases(&held), Some(outputs)).await.unwrap();
    assert_eq!(waiting.await.unwrap(), Leased::Stop);
    assert_eq!(one.lease(POSTS, want(1)).await.unwrap(), Leased::Stop);
    assert!(running.manager.is_done(POSTS) && !running.manager.is_done(RESULTS));
    assert_eq!(drain(&one, RESULTS).await, ["batch"]);
    assert!(running.manager.is_done(RESULTS));
}

#[tokio::test]
async fn a_stopped_queue_answers_stop_and_keeps_what_is_ready() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..5)).await.unwrap();
    let held = lease(&client, POSTS, 1).await;
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { client.lease(RESULTS, want_soon(1)).await.unwrap() }
    });
    running.manager.stop(POSTS);
    running.manager.stop(RESULTS);
    assert_eq!(waiting.await.unwrap(), Leased::Stop);
    assert_eq!(client.lease(POSTS, want(1)).await.unwrap(), Leased::Stop);
    client.settle(POSTS, leases(&held), None).await.unwrap();
    assert_eq!(running.counts("posts").ready, 4);
}

#[tokio::test]
async fn a_lease_of_another_session_settles_nothing() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let (one, two) = (running.client("one").await, running.client("two").await);
    one.put(POSTS, items(0..2)).await.unwrap();
    let held = lease(&one, POSTS, 2).await;
    let outputs = || Some(Outputs { queue: RESULTS, items: vec![item("x", "y")] });
    assert_eq!(two.settle(POSTS, leases(&held), outputs()).await, Err(QueueError::LeaseLost));
    // One wrong lease among right ones: nothing happens.
    let mut mixed = leases(&held);
    mixed.push(LeaseId { seq: 77, ..mixed[0] });
    assert_eq!(one.settle(POSTS, mixed, outputs()).await, Err(QueueError::LeaseLost));
    assert_eq!(running.counts("results").ready, 0);
    // The same lease named twice counts once, and can't be settled again.
    let twice = [leases(&held), leases(&held)].concat();
    one.settle(POSTS, twice, outputs()).await.unwrap();
    assert_eq!(one.settle(POSTS, leases(&held), outputs()).await, Err(QueueError::LeaseLost));
    assert_eq!((running.counts("results").ready, running.counts("posts").settled), (1, 2));
}

#[tokio::test]
async fn a_full_queue_refuses_whole_puts_and_takes_outputs() {
    let dir = dir();
    let mut settings = settings(dir.path());
    for queue in &mut settings.queues {
        queue.items_max = 3;
    }
    let running = start(settings).await;
    let client = running.client("one").await;
    // Empty: even more than the bound is taken, or nothing could ever be.
    client.put(POSTS, items(0..4)).await.unwrap();
    let Err(QueueError::Full(reason)) = client.put(POSTS, items(3..5)).await else { panic!("not full") };
    assert!(reason.contains("posts"), "{reason}");
    // Nothing of it was stored, and its ids are not taken for duplicates.
    assert_eq!(running.counts("posts").ready, 4);
    assert_eq!(client.put(POSTS, items(0..4)).await.unwrap(), vec![PutOutcome::Duplicate; 4]);
    let held = lease(&client, POSTS, 4).await;
    let outputs = Outputs { queue: RESULTS, items: items(100..110) };
    client.settle(POSTS, leases(&held), Some(outputs)).await.unwrap();
    assert_eq!(client.put(POSTS, items(4..5)).await.unwrap(), [PutOutcome::Accepted]);
    assert_eq!(running.counts("results").ready, 10);
}

#[tokio::test]
async fn workers_wait_while_the_queue_they_feed_is_over_its_bound() {
    let dir = dir();
    let mut settings = settings(dir.path());
    settings.queues[1].items_max = 2;
    let running = start(settings).await;
    let (worker, saver) = (running.client("worker").await, running.client("saver").await);
    worker.put(POSTS, items(0..3)).await.unwrap();
    let held = lease(&worker, POSTS, 1).await;
    let outputs = Outputs { queue: RESULTS, items: items(10..13) };
    worker.settle(POSTS, leases(&held), Some(outputs)).await.unwrap();
    assert_eq!(worker.lease(POSTS, want(1)).await.unwrap(), Leased::Empty);
    let waiting = tokio::spawn(async move { lease(&worker, POSTS, 1).await.len() });
    assert_eq!(drain(&saver, RESULTS).await.len(), 3);
    assert_eq!(waiting.await.unwrap(), 1);
}
