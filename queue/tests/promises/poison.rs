//! Consumers that die, and the items that kill them.

use std::time::{Duration, Instant};

use queue::*;

use crate::support::*;

#[tokio::test]
async fn leases_of_a_dead_consumer_come_back_as_suspects() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..40)).await.unwrap();
    let lost = killed(&running, POSTS, 40).await;
    until("the dead consumer's leases are free", || running.counts("posts").leased == 0).await;
    let Leased::Items { deliveries, suspects: true } = client.lease(POSTS, want_soon(100)).await.unwrap() else {
        panic!("no suspects")
    };
    assert_eq!((deliveries.len(), deliveries[0].attempt, ids(&deliveries)), (32, 2, ids(&lost)[..32].to_vec()));
    // Nothing else until they are settled, although there is more.
    assert_eq!(client.lease(POSTS, want(1)).await.unwrap(), Leased::Empty);
    client.settle(POSTS, leases(&deliveries), None).await.unwrap();
    assert_eq!(lease(&client, POSTS, 100).await.len(), 8);
}

#[tokio::test]
async fn suspects_rest_before_their_next_try_and_keep_nobody_waiting() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..5)).await.unwrap();
    killed(&running, POSTS, 3).await;
    let died = Instant::now();
    until("the dead consumer's leases are free", || running.counts("posts").leased == 0).await;
    // They are ready, but others come first.
    assert_eq!(running.counts("posts").ready, 5);
    let others = lease(&client, POSTS, 100).await;
    assert_eq!(ids(&others), ["id-3", "id-4"]);
    client.settle(POSTS, leases(&others), None).await.unwrap();
    let suspects = lease(&client, POSTS, 100).await;
    assert_eq!(ids(&suspects), ["id-0", "id-1", "id-2"]);
    assert!(died.elapsed() > Duration::from_millis(400), "after {:?}", died.elapsed());
    // What is given back untouched does not rest.
    client.release(POSTS, leases(&suspects)).await.unwrap();
    assert_eq!(ids(&lease(&client, POSTS, 100).await), ["id-0", "id-1", "id-2"]);
}

#[tokio::test]
async fn a_last_try_waits_for_a_consumer_that_has_lived_for_a_while() {
    let dir = dir();
    let proven_after = Duration::from_secs(1);
    let running = start(ManagerSettings { max_deliveries: 2, proven_after, ..settings(dir.path()) }).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..2)).await.unwrap();
    killed(&running, POSTS, 1).await;
    let began = Instant::now();
    let young = running.client("young").await;
    // Everything else is given to it at once.
    let other = lease(&young, POSTS, 10).await;
    assert_eq!(ids(&other), ["id-1"]);
    young.settle(POSTS, leases(&other), None).await.unwrap();
    assert_eq!(ids(&lease(&young, POSTS, 10).await), ["id-0"]);
    assert!(began.elapsed() >= Duration::from_secs(1), "after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_storm_that_kills_every_consumer_gives_no_item_up() {
    let dir = dir();
    let proven_after = Duration::from_secs(1);
    let running = start(ManagerSettings { proven_after, ..settings(dir.path()) }).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..3)).await.unwrap();
    // Until the items have been on their last try for a while.
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(5) {
        let wait = Duration::from_millis(150);
        dies_after(running.client_settings("victim"), async move |client: &Client| {
            client.lease(POSTS, Want { wait, ..want(100) }).await.unwrap();
        })
        .await;
    }
    assert_eq!(running.manager.stats().dead_letters, 0);
    let mut taken = Vec::new();
    while taken.len() < 3 {
        let deliveries = lease(&client, POSTS, 100).await;
        client.settle(POSTS, leases(&deliveries), None).await.unwrap();
        taken.extend(deliveries);
    }
    assert!(taken.iter().all(|delivery| delivery.attempt == 3), "{taken:?}");
}

#[tokio::test]
async fn nothing_rests_when_the_end_of_the_queue_is_waited_for() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..3)).await.unwrap();
    killed(&running, POSTS, 3).await;
    until("the dead consumer's leases are free", || running.counts("posts").leased == 0).await;
    running.manager.close(POSTS);
    let mut taken = Vec::new();
    let began = Instant::now();
    while let Leased::Items { deliveries, .. } = client.lease(POSTS, want_soon(100)).await.unwrap() {
        client.settle(POSTS, leases(&deliveries), None).await.unwrap();
        taken.extend(deliveries);
    }
    assert_eq!(ids(&taken), ["id-0", "id-1", "id-2"]);
    assert!(began.elapsed() < Duration::from_millis(300), "after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_poison_item_is_found_and_takes_no_other_with_it() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..40)).await.unwrap();
    let mut kills = 0;
    let mut settled = Vec::new();
    while !running.counts("posts").eq(&QueueStats { accepted: 40, settled: 39, ..QueueStats::default() }) {
        assert!(kills < 10, "the poison item was not found");
        // A worker that dies whenever it holds number 17.
        let worked = dies_after(running.client_settings("worker"), async |client: &Client| {
            let mut settled = Vec::new();
            loop {
                // Longer than a suspect rests.
                let wait = Duration::from_secs(3);
                match client.lease(POSTS, Want { wait, ..want(64) }).await.unwrap() {
                    Leased::Items { deliveries, .. } if ids(&deliveries).contains(&"id-17") => return (settled, true),
                    Leased::Items { deliveries, .. } => {
                        client.settle(POSTS, leases(&deliveries), None).await.unwrap();
                        settled.extend(deliveries.into_iter().map(|delivery| delivery.id));
                    }
                    _ => return (settled, false),
                }
            }
        });
        let (own, died) = worked.await;
        settled.extend(own);
        kills += u32::from(died);
        until("nobody holds anything", || running.counts("posts").leased == 0).await;
    }
    settled.sort();
    settled.dedup();
    assert_eq!((kills, settled.len()), (3, 39));
    let letters = client.dead_letters(None, 10).await.unwrap();
    assert_eq!((letters.len(), letters[0].id.as_str(), letters[0].attempts), (1, "id-17", 3));
    assert!(letters[0].reason.contains("died 3 times"), "{}", letters[0].reason);
    assert_eq!(&letters[0].payload[..], b"payload of 17");
    // Somebody has a look, and lets it try again.
    client.retry_dead(POSTS, letters[0].seq).await.unwrap();
    assert_eq!(
        client.retry_dead(POSTS, letters[0].seq).await.unwrap_err().to_string(),
        "there is no dead letter 17 in queue 0"
    );
    let again = lease(&client, POSTS, 1).await;
    assert_eq!((again[0].id.as_str(), again[0].attempt), ("id-17", 1));
    client.bury(POSTS, again[0].lease, "still bad".to_owned()).await.unwrap();
    client.drop_dead(POSTS, letters[0].seq).await.unwrap();
    assert_eq!(running.manager.stats().dead_letters, 0);
}

#[tokio::test]
async fn a_busy_consumer_is_asked_to_settle_so_that_suspects_do_not_wait_for_ever() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..5)).await.unwrap();
    killed(&running, POSTS, 5).await;
    let suspects = lease(&client, POSTS, 5).await;
    client.put(POSTS, items(5..10)).await.unwrap();
    let other = running.client("two").await;
    let held = lease(&other, POSTS, 1).await;
    client.release(POSTS, leases(&suspects)).await.unwrap();
    // There is other work, but somebody has to take the suspects.
    assert_eq!(other.lease(POSTS, want(1)).await.unwrap(), Leased::Flush);
    other.settle(POSTS, leases(&held), None).await.unwrap();
    assert!(matches!(other.lease(POSTS, want(9)).await.unwrap(), Leased::Items { suspects: true, .. }));
}

#[tokio::test]
async fn failed_deliveries_are_remembered_across_starts() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..2)).await.unwrap();
    killed(&running, POSTS, 1).await;
    until("the lease is free", || running.counts("posts").leased == 0).await;
    running.stop().await;
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    let again = lease(&client, POSTS, 2).await;
    assert_eq!((again.len(), again[0].id.as_str(), again[0].attempt), (1, "id-0", 2));
}

#[tokio::test]
async fn a_good_bye_and_a_forgiving_manager_count_nothing() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..4)).await.unwrap();
    let polite = running.client("polite").await;
    lease(&polite, POSTS, 4).await;
    polite.close().await;
    assert_eq!(running.counts("posts").ready, 4);
    running.manager.forgive();
    killed(&running, POSTS, 4).await;
    until("the leases are free", || running.counts("posts").ready == 4).await;
    let again = lease(&client, POSTS, 4).await;
    assert!(again.iter().all(|delivery| delivery.attempt == 1), "{again:?}");
}

#[tokio::test]
async fn the_waiting_lease_of_a_dead_consumer_swallows_nothing() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    // Its caller is gone, its connection is not: what comes for it is given back.
    let impatient = running.client("impatient").await;
    let waiting = impatient.lease(POSTS, want_soon(10));
    assert!(tokio::time::timeout(Duration::from_millis(100), waiting).await.is_err());
    // Its process is gone.
    dies_after(running.client_settings("victim"), async |client: &Client| {
        let waiting = client.lease(POSTS, want_soon(10));
        assert!(tokio::time::timeout(Duration::from_millis(100), waiting).await.is_err());
    })
    .await;
    client.put(POSTS, items(0..3)).await.unwrap();
    let taken = lease(&client, POSTS, 10).await;
    assert!(taken.iter().all(|delivery| delivery.attempt == 1), "{taken:?}");
    let mut all: Vec<_> = ids(&taken).into_iter().map(str::to_owned).collect();
    client.settle(POSTS, leases(&taken), None).await.unwrap();
    until("what was given to nobody is back", || running.counts("posts").leased == 0).await;
    all.extend(drain(&client, POSTS).await);
    assert_eq!(all, ["id-0", "id-1", "id-2"]);
}
