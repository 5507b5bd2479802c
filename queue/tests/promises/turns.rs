//! Whose turn it is: what comes back goes to those who wait, once, and nobody waits for the dead.

use queue::*;

use crate::support::*;

/// What a consumer gets that waits for one item, and then holds it.
async fn waiting(client: &Client) -> tokio::task::JoinHandle<String> {
    let waiting = tokio::spawn({
        let client = client.clone();
        async move { ids(&lease(&client, POSTS, 1).await)[0].to_owned() }
    });
    tokio::task::yield_now().await;
    // Behind the lease on the same connection: it waits by now.
    client.stats().await.unwrap();
    waiting
}

#[tokio::test]
async fn what_is_given_back_goes_at_once_to_who_waits() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let (first, second, third) =
        (running.client("first").await, running.client("second").await, running.client("third").await);
    first.put(POSTS, items(0..2)).await.unwrap();
    let held = lease(&first, POSTS, 2).await;
    let began = std::time::Instant::now();
    let waits = waiting(&second).await;
    first.release(POSTS, leases(&held[..1])).await.unwrap();
    assert_eq!(waits.await.unwrap(), "id-0");
    let waits = waiting(&third).await;
    first.close().await;
    assert_eq!(waits.await.unwrap(), "id-1");
    assert!(began.elapsed() < SOON / 2, "after {:?}", began.elapsed());
}

#[tokio::test]
async fn a_lease_that_is_given_back_twice_is_there_once() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..2)).await.unwrap();
    let taken = lease(&client, POSTS, 2).await;
    client.release(POSTS, [leases(&taken), leases(&taken)].concat()).await.unwrap();
    assert_eq!(running.counts("posts").ready, 2);
    assert_eq!(ids(&lease(&client, POSTS, 10).await), ["id-0", "id-1"]);
}

#[tokio::test]
async fn a_death_after_the_sentinel_is_nobodys_fault() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..2)).await.unwrap();
    let manager = running.manager.clone();
    let told = dies_after(running.client_settings("victim"), async move |client: &Client| {
        lease(client, POSTS, 2).await;
        manager.stop(POSTS);
        client.lease(POSTS, want(1)).await.unwrap()
    });
    assert_eq!(told.await, Leased::Stop);
    until("the leases are free", || running.counts("posts").leased == 0).await;
    drop(client);
    running.stop().await;
    let running = start(settings(dir.path())).await;
    let again = lease(&running.client("one").await, POSTS, 2).await;
    assert!(again.len() == 2 && again.iter().all(|delivery| delivery.attempt == 1), "{again:?}");
}

#[tokio::test]
async fn nobody_waits_for_a_dead_consumer_that_was_to_take_the_suspects() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..5)).await.unwrap();
    killed(&running, POSTS, 5).await;
    let suspects = lease(&client, POSTS, 5).await;
    client.put(POSTS, items(5..10)).await.unwrap();
    let busy = running.client("busy").await;
    lease(&busy, POSTS, 1).await;
    let (releasing, suspects) = (client.clone(), leases(&suspects));
    let asked = dies_after(running.client_settings("victim"), async move |victim: &Client| {
        lease(victim, POSTS, 1).await;
        releasing.release(POSTS, suspects).await.unwrap();
        victim.lease(POSTS, want(1)).await.unwrap()
    });
    assert_eq!(asked.await, Leased::Flush);
    until("the dead consumer holds nothing", || running.counts("posts").leased == 1).await;
    // Now another is asked to make room for them.
    assert_eq!(busy.lease(POSTS, want(1)).await.unwrap(), Leased::Flush);
}

#[tokio::test]
async fn no_bound_is_too_small_to_go_on() {
    let dir = dir();
    let mut none = settings(dir.path());
    for queue in &mut none.queues {
        (queue.items_max, queue.bytes_max) = (0, 0);
    }
    let running = start(none).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..1)).await.unwrap();
    let taken = lease(&client, POSTS, 1).await;
    let outputs = Outputs { queue: RESULTS, items: items(10..11) };
    client.settle(POSTS, leases(&taken), Some(outputs)).await.unwrap();
    assert_eq!(drain(&client, RESULTS).await, ["id-10"]);
}
