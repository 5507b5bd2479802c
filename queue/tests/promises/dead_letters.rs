//! Dead letters: found page by page, retried, dropped.

use queue::*;

use crate::support::*;

/// Leases so many items and buries each.
async fn bury(client: &Client, queue: QueueId, count: u32) {
    let deliveries = lease(client, queue, count).await;
    assert_eq!(deliveries.len(), count as usize);
    for delivery in &deliveries {
        client.bury(queue, delivery.lease, format!("{} is bad", delivery.id)).await.unwrap();
    }
}

#[tokio::test]
async fn pages_show_every_dead_letter_once_and_in_order() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..25)).await.unwrap();
    client.put(RESULTS, items(0..12)).await.unwrap();
    bury(&client, POSTS, 25).await;
    bury(&client, RESULTS, 12).await;
    // Some are gone, so that a page may begin after one that is not there.
    for seq in [4, 9, 24] {
        client.drop_dead(POSTS, seq).await.unwrap();
    }
    let mut seen = Vec::new();
    let mut after = Some((POSTS, 4));
    while let Some(last) = after {
        let page = client.dead_letters(Some(last), 5).await.unwrap();
        assert!(page.len() <= 5);
        after = page.last().map(|letter| (letter.queue, letter.seq));
        seen.extend(page.into_iter().map(|letter| (letter.queue, letter.seq)));
    }
    let posts = (5..24).filter(|seq| *seq != 9).map(|seq| (POSTS, seq));
    let all: Vec<_> = posts.chain((0..12).map(|seq| (RESULTS, seq))).collect();
    assert_eq!(seen, all);
    let first = client.dead_letters(None, 1).await.unwrap();
    assert_eq!(
        (first[0].seq, first[0].reason.as_str(), &first[0].payload[..]),
        (0, "id-0 is bad", &b"payload of 0"[..])
    );
}

#[tokio::test]
async fn large_letters_come_in_pages_that_fit_one_answer() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    for number in 0..6 {
        client.put(POSTS, vec![item(number, vec![b'x'; 10 << 20])]).await.unwrap();
    }
    for _ in 0..6 {
        bury(&client, POSTS, 1).await;
    }
    let mut pages = Vec::new();
    let mut after = None;
    loop {
        let page = client.dead_letters(after, 1000).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some((last.queue, last.seq));
        pages.push(page.len());
    }
    assert_eq!(pages, [3, 3]);
}

#[tokio::test]
async fn a_queue_that_drains_takes_nothing_back_from_the_dead() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..2)).await.unwrap();
    bury(&client, POSTS, 2).await;
    running.manager.close(POSTS);
    assert_eq!(client.retry_dead(POSTS, 0).await.unwrap_err(), QueueError::Closed);
    assert!(running.manager.is_done(POSTS), "a drain is not held up by what is dead");
    // Forgetting one needs no consumer.
    client.drop_dead(POSTS, 1).await.unwrap();
    drop(client);
    running.stop().await;
    let running = start(settings(dir.path())).await;
    let client = running.client("two").await;
    client.retry_dead(POSTS, 0).await.unwrap();
    assert_eq!(drain(&client, POSTS).await, ["id-0"]);
    assert_eq!(running.manager.stats().dead_letters, 0);
}

#[tokio::test]
async fn a_post_that_was_dropped_is_still_known_when_it_is_sent_again() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..1)).await.unwrap();
    bury(&client, POSTS, 1).await;
    assert_eq!(client.put(POSTS, items(0..1)).await.unwrap(), [PutOutcome::Duplicate]);
    client.drop_dead(POSTS, 0).await.unwrap();
    assert_eq!(client.put(POSTS, items(0..1)).await.unwrap(), [PutOutcome::Duplicate]);
    drop(client);
    running.stop().await;
    let running = start(settings(dir.path())).await;
    let client = running.client("two").await;
    assert_eq!(client.put(POSTS, items(0..1)).await.unwrap(), [PutOutcome::Duplicate]);
}
