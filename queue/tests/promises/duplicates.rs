//! A repeated put is stored once.

use queue::*;

use crate::support::*;

#[tokio::test]
async fn a_repeat_is_a_duplicate_within_a_put_across_puts_and_across_starts() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    let twice = vec![item("a", "1"), item("b", "2"), item("a", "3")];
    use PutOutcome::{Accepted, Duplicate};
    assert_eq!(client.put(POSTS, twice).await.unwrap(), [Accepted, Accepted, Duplicate]);
    let mixed = vec![item("b", "x"), item("c", "3"), item("a", "y")];
    assert_eq!(client.put(POSTS, mixed).await.unwrap(), [Duplicate, Accepted, Duplicate]);
    let taken = lease(&client, POSTS, 10).await;
    assert_eq!(taken.iter().map(|taken| &taken.payload[..]).collect::<Vec<_>>(), [b"1", b"2", b"3"]);
    client.settle(POSTS, leases(&taken), None).await.unwrap();
    running.stop().await;
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    let again = vec![item("a", ""), item("d", ""), item("c", "")];
    assert_eq!(client.put(POSTS, again).await.unwrap(), [Duplicate, Accepted, Duplicate]);
    // Only where it was asked for: results repeat.
    for _ in 0..2 {
        assert_eq!(client.put(RESULTS, vec![item("a", "")]).await.unwrap(), [Accepted]);
    }
}

#[tokio::test]
async fn concurrent_repeats_are_stored_once() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let mut puts = tokio::task::JoinSet::new();
    for _ in 0..8 {
        let client = running.client("many").await;
        puts.spawn(async move { client.put(POSTS, items(0..50)).await.unwrap() });
    }
    let outcomes = puts.join_all().await.concat();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == PutOutcome::Accepted).count(), 50);
    assert_eq!(running.counts("posts").ready, 50);
}

#[tokio::test]
async fn ids_outlive_their_segment_until_they_are_out_of_the_window() {
    let dir = dir();
    let small = || ManagerSettings { segment_bytes: 8 << 10, duplicate_window: 300, ..settings(dir.path()) };
    let running = start(small()).await;
    let client = running.client("one").await;
    for number in 0..100 {
        client.put(POSTS, vec![item(number, vec![0; 1000])]).await.unwrap();
        drain(&client, POSTS).await;
    }
    until("old segments are removed", || files(dir.path(), "log").len() <= 2).await;
    running.stop().await;
    let running = start(small()).await;
    assert_eq!(running.recovery.damage, []);
    let client = running.client("one").await;
    let again = (0..100).map(|number| item(number, "")).collect();
    assert_eq!(client.put(POSTS, again).await.unwrap(), vec![PutOutcome::Duplicate; 100]);
    // Three hundred others push them out, in memory and on disk.
    for number in 0..300 {
        client.put(POSTS, vec![item(format!("new {number}"), vec![0; 1000])]).await.unwrap();
        drain(&client, POSTS).await;
    }
    assert_eq!(client.put(POSTS, vec![item(99, "")]).await.unwrap(), [PutOutcome::Accepted]);
    until("old ids are removed", || files(dir.path(), "ids").len() < 60).await;
}
