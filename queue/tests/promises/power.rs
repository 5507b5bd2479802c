//! The power goes, at every operation of the disk, and the disk keeps of what was not synced nothing, all, or any part.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use queue::*;

use crate::memory::{Coin, Files, MemoryDisk, Op, Survivors, after_power_loss};
use crate::support::*;

const PRODUCERS: usize = 4;
const ROUNDS: usize = 8;

/// What was promised, and how many operations the disk had done by then.
#[derive(Default)]
struct History {
    attempted: BTreeSet<String>,
    accepted: BTreeMap<String, usize>,
    settled: BTreeMap<String, usize>,
    buried: BTreeMap<String, usize>,
    /// Results that somebody began to settle then, and that may be gone since.
    leaving: BTreeMap<String, usize>,
    gone: BTreeMap<String, usize>,
}

fn small(dir: &Path) -> ManagerSettings {
    ManagerSettings { segment_bytes: 4 << 10, duplicate_window: 10, ..settings(dir) }
}

/// Puts, settles and buries, so that several commands of several sessions are written together.
async fn work(client: Client, producer: usize, disk: MemoryDisk, history: Arc<Mutex<History>>) {
    for round in 0..ROUNDS {
        let ids: Vec<String> = (0..4).map(|number| format!("{producer}-{round}-{number}")).collect();
        history.lock().unwrap().attempted.extend(ids.iter().cloned());
        client.put(POSTS, ids.iter().map(|id| item(id, vec![5; 200])).collect()).await.unwrap();
        let position = disk.position();
        history.lock().unwrap().accepted.extend(ids.into_iter().map(|id| (id, position)));
        // Some stay behind, so that there is something to copy forward.
        let Leased::Items { mut deliveries, .. } = client.lease(POSTS, want(3)).await.unwrap() else { continue };
        if round % 3 == 2 {
            let unlucky = deliveries.remove(0);
            client.bury(POSTS, unlucky.lease, "unlucky".to_owned()).await.unwrap();
            history.lock().unwrap().buried.insert(unlucky.id, disk.position());
        }
        let outputs = deliveries.iter().map(|delivery| item(&delivery.id, vec![7; 700])).collect();
        client.settle(POSTS, leases(&deliveries), Some(Outputs { queue: RESULTS, items: outputs })).await.unwrap();
        let position = disk.position();
        history.lock().unwrap().settled.extend(deliveries.into_iter().map(|delivery| (delivery.id, position)));
        let Leased::Items { deliveries, .. } = client.lease(RESULTS, want(4)).await.unwrap() else { continue };
        let position = disk.position();
        history.lock().unwrap().leaving.extend(deliveries.iter().map(|delivery| (delivery.id.clone(), position)));
        client.settle(RESULTS, leases(&deliveries), None).await.unwrap();
        let position = disk.position();
        history.lock().unwrap().gone.extend(deliveries.into_iter().map(|delivery| (delivery.id, position)));
    }
}

impl History {
    /// After a power loss at operation `position`, what was answered before is there, and nothing is there by halves.
    async fn check(&self, files: Files, position: usize, survivors: Survivors, what: &str) {
        let dir = dir();
        let disk = MemoryDisk::new(files, Duration::ZERO);
        let opened = Manager::open_on(small(dir.path()), Arc::new(disk));
        let (manager, recovery) = opened.unwrap_or_else(|error| panic!("{what}: {error}"));
        if !matches!(survivors, Survivors::Sectors(_)) {
            assert_eq!(recovery.damage, [], "{what}: a write that was broken off is no damage");
        }
        let running = serve_in(dir.path(), (manager, recovery), None).await;
        let client = running.client("checker").await;
        let mut places: BTreeMap<String, Vec<&str>> = BTreeMap::new();
        let mut note = |id: String, place| places.entry(id).or_default().push(place);
        for letter in client.dead_letters(None, 1000).await.unwrap() {
            note(letter.id, "dead");
        }
        for (queue, place) in [(POSTS, "post"), (RESULTS, "result")] {
            drain(&client, queue).await.into_iter().for_each(|id| note(id, place));
        }
        running.stop().await;
        for (id, places) in &places {
            assert!(self.attempted.contains(id), "{what}: {id} comes from nowhere");
            assert_eq!(places.len(), 1, "{what}: {id} is there twice: {places:?}");
        }
        let place = |id: &String| places.get(id).map_or("nowhere", |places| places[0]);
        let due = |promises: &BTreeMap<String, usize>| -> Vec<String> {
            promises.iter().filter(|(_, at)| **at <= position).map(|(id, _)| id.clone()).collect()
        };
        let is_leaving = |id: &String| self.leaving.get(id).is_some_and(|at| *at < position);
        for id in due(&self.accepted).into_iter().filter(|id| !is_leaving(id)) {
            assert_ne!(place(&id), "nowhere", "{what}: {id} was accepted, and is lost");
        }
        for id in due(&self.settled) {
            assert!(place(&id) == "result" || is_leaving(&id) && place(&id) == "nowhere", "{what}: {id} was settled");
        }
        for id in due(&self.gone) {
            assert_eq!(place(&id), "nowhere", "{what}: {id} was done with, and came back");
        }
        for id in due(&self.buried) {
            assert_eq!(place(&id), "dead", "{what}: {id} was buried");
        }
    }
}

/// A log's life on a disk in memory, and the promises made meanwhile.
async fn life() -> (MemoryDisk, History) {
    let dir = dir();
    let disk = MemoryDisk::new(Files::new(), Duration::from_micros(300));
    let opened = Manager::open_on(small(dir.path()), Arc::new(disk.clone())).unwrap();
    let running = serve_in(dir.path(), opened, None).await;
    let history = Arc::new(Mutex::new(History::default()));
    let mut workers = Vec::new();
    for producer in 0..PRODUCERS {
        let client = running.client("worker").await;
        workers.push(tokio::spawn(work(client, producer, disk.clone(), Arc::clone(&history))));
    }
    for worker in workers {
        worker.await.unwrap();
    }
    running.stop().await;
    (disk, Arc::into_inner(history).unwrap().into_inner().unwrap())
}

fn ways(seed: u64) -> [Survivors; 5] {
    [Survivors::Nothing, Survivors::Everything, Survivors::Halves, Survivors::Sectors(seed), Survivors::Sectors(!seed)]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_loss_at_any_operation_breaks_no_promise() {
    let seed = seed();
    let (disk, history) = life().await;
    let journal = disk.journal();
    let removed = journal.iter().filter(|op| matches!(op, Op::Remove(name) if name.ends_with(".log"))).count();
    assert!(history.settled.len() > 40 && !history.buried.is_empty() && removed > 2, "too little was done");
    let mut coin = Coin(seed);
    for position in 0..=journal.len() {
        for survivors in ways(coin.next()) {
            let files = after_power_loss(&Files::new(), &journal[..position], survivors);
            let what =
                format!("seed {seed}, power loss after operation {position} of {}, {survivors:?}", journal.len());
            history.check(files, position, survivors, &what).await;
        }
    }
}

/// Recovers a disk, and loses its power at every operation of that.
async fn lose_power_again(
    history: &History,
    before: &Files,
    disk: MemoryDisk,
    position: usize,
    coin: &mut Coin,
    what: &str,
) {
    let done = disk.position();
    let dir = dir();
    drop(Manager::open_on(small(dir.path()), Arc::new(disk.clone())).unwrap());
    let journal = disk.journal();
    for step in done..=journal.len() {
        let survivors = Survivors::Sectors(coin.next());
        let files = after_power_loss(before, &journal[..step], survivors);
        let what = format!("{what}, then a power loss after {} operations of the recovery, {survivors:?}", step - done);
        history.check(files, position, survivors, &what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_loss_while_recovering_from_another_breaks_no_promise() {
    let seed = seed();
    let (disk, history) = life().await;
    let journal = disk.journal();
    let mut coin = Coin(seed);
    for position in (1..=journal.len()).step_by(7) {
        let first = Survivors::Sectors(coin.next());
        let files = after_power_loss(&Files::new(), &journal[..position], first);
        let disk = MemoryDisk::new(files.clone(), Duration::ZERO);
        let what = format!("seed {seed}, power loss after operation {position}, {first:?}");
        lose_power_again(&history, &files, disk, position, &mut coin, &what).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_power_loss_while_recovering_from_a_kill_breaks_no_promise() {
    let seed = seed();
    let (disk, history) = life().await;
    let journal = disk.journal();
    let mut coin = Coin(seed);
    for position in (1..=journal.len()).step_by(5) {
        let disk = MemoryDisk::after_kill(&journal[..position]);
        let what = format!("seed {seed}, killed after operation {position}");
        lose_power_again(&history, &Files::new(), disk, position, &mut coin, &what).await;
    }
}
