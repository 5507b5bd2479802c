//! What was answered is there after whatever happened to the process.

use std::path::Path;

use queue::*;

use crate::support::*;

#[tokio::test]
async fn a_put_survives_a_crash() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..100)).await.unwrap();
    let held = lease(&client, POSTS, 10).await;
    let outputs = Outputs { queue: RESULTS, items: vec![item("batch", "sums")] };
    client.settle(POSTS, leases(&held), Some(outputs)).await.unwrap();
    // What a killed process leaves behind is its files as they are at that moment.
    let copy = copy(dir.path());
    let after = start(settings(copy.path())).await;
    assert!(after.recovery.damage.is_empty() && after.recovery.torn_bytes == 0, "{:?}", after.recovery);
    let client = after.client("two").await;
    let again = lease(&client, POSTS, 1000).await;
    assert_eq!(again.len(), 90);
    assert!(again.iter().all(|delivery| delivery.attempt == 1), "a restart is nobody's failure");
    assert_eq!(&again[0].payload[..], b"payload of 10");
    assert_eq!(drain(&client, RESULTS).await, ["batch"]);
}

#[tokio::test]
async fn a_session_of_an_earlier_start_settles_nothing() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    client.put(POSTS, items(0..1)).await.unwrap();
    let held = lease(&client, POSTS, 1).await;
    let (settings, _) = (settings(dir.path()), running.stop().await);
    let again = start(settings).await;
    assert_eq!(client.settle(POSTS, leases(&held), None).await, Err(QueueError::LeaseLost));
    // The same client goes on by itself on a new session.
    let taken = lease(&client, POSTS, 1).await;
    assert_ne!(taken[0].lease.session, held[0].lease.session);
    client.settle(POSTS, leases(&taken), None).await.unwrap();
    assert_eq!(again.counts("posts").settled, 1);
}

#[tokio::test]
async fn a_second_manager_is_refused_and_told_who_has_the_directory() {
    let dir = dir();
    let (first, _) = open(settings(dir.path()));
    let error = Manager::open(settings(dir.path())).err().unwrap().to_string();
    assert!(error.contains(&std::process::id().to_string()), "{error}");
    drop(first);
    open(settings(dir.path()));
}

#[tokio::test]
async fn what_a_killed_manager_leaves_taken_for_a_moment_is_waited_for() {
    let dir = dir();
    drop(open(settings(dir.path())));
    let socket = dir.path().join("queue.sock");
    let address = Address::Unix(socket.clone());
    // As a child has it that was being started when its parent was killed.
    let held = |fd: std::os::fd::OwnedFd| {
        std::thread::spawn(move || {
            std::thread::sleep(std::time::Duration::from_millis(200));
            drop(fd);
        })
    };
    let listener = || {
        let _ = std::fs::remove_file(&socket);
        std::os::unix::net::UnixListener::bind(&socket).unwrap()
    };
    let lock = std::fs::File::open(dir.path().join("lock")).unwrap();
    lock.lock().unwrap();
    held(lock.into());
    Manager::open(settings(dir.path())).unwrap();
    held(listener().into());
    Listener::probe(&address).unwrap();
    held(listener().into());
    Listener::bind(&address).await.unwrap();
}

/// What a log holds: ids of posts, of results, and of dead letters with how often they failed.
type Held = (Vec<String>, Vec<String>, Vec<(String, u32)>);

async fn held(dir: &Path) -> (Held, Recovery) {
    let running = start(settings(dir)).await;
    let client = running.client("reader").await;
    let dead = client.dead_letters(None, 100).await.unwrap();
    let dead = dead.into_iter().map(|letter| (letter.id, letter.attempts)).collect();
    let held = (drain(&client, POSTS).await, drain(&client, RESULTS).await, dead);
    let recovery = running.recovery.clone();
    running.stop().await;
    (held, recovery)
}

#[tokio::test]
async fn every_truncation_of_the_tail_is_the_state_before_some_command() {
    let dir = dir();
    let running = start(settings(dir.path())).await;
    let client = running.client("one").await;
    let log = &files(dir.path(), "log")[0];
    let length = || std::fs::metadata(log).unwrap().len();
    let mut states: Vec<(u64, Held)> = Vec::new();
    let posts = |numbers: std::ops::Range<u32>| numbers.map(|number| format!("id-{number}")).collect::<Vec<_>>();
    states.push((length(), (vec![], vec![], vec![])));
    client.put(POSTS, items(0..3)).await.unwrap();
    states.push((length(), (posts(0..3), vec![], vec![])));
    client.put(POSTS, items(3..5)).await.unwrap();
    states.push((length(), (posts(0..5), vec![], vec![])));
    let taken = lease(&client, POSTS, 3).await;
    let outputs = Outputs { queue: RESULTS, items: vec![item("a", "1"), item("b", "2")] };
    client.settle(POSTS, leases(&taken[..2]), Some(outputs)).await.unwrap();
    let results = vec!["a".to_owned(), "b".to_owned()];
    states.push((length(), (posts(2..5), results.clone(), vec![])));
    client.bury(POSTS, taken[2].lease, "can't be".to_owned()).await.unwrap();
    states.push((length(), (posts(3..5), results.clone(), vec![("id-2".to_owned(), 1)])));
    client.retry_dead(POSTS, taken[2].lease.seq).await.unwrap();
    states.push((length(), (posts(2..5), results, vec![])));
    let whole = length();
    for cut in states[0].0..=whole {
        let copy = copy(dir.path());
        let file = std::fs::File::options().write(true).open(&files(copy.path(), "log")[0]).unwrap();
        file.set_len(cut).unwrap();
        let (state, recovery) = held(copy.path()).await;
        let (end, expected) = states.iter().rev().find(|(end, _)| *end <= cut).unwrap();
        assert_eq!(&state, expected, "cut at {cut} of {whole}");
        assert_eq!((recovery.torn_bytes, recovery.damage.len()), (cut - end, 0), "cut at {cut}");
    }
}
