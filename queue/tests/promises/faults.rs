//! A disk that fails at every point, one after the other; and a manager that is killed in the middle of its work.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, IoSlice};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use nix::errno::Errno;
use queue::*;

use crate::memory::{Files, MemoryDisk};
use crate::support::*;

/// How a disk fails.
#[derive(Debug, Clone, Copy)]
struct Failure {
    /// What it says.
    errno: Errno,
    /// From then on always, or only once.
    is_lasting: bool,
    /// How much of a write is written all the same.
    part: usize,
}

/// Fails at the given operation.
#[derive(Clone)]
struct FailingDisk {
    real: MemoryDisk,
    failure: Failure,
    left: Arc<AtomicI64>,
}

struct FailingFile {
    real: Arc<dyn SegmentFile>,
    disk: FailingDisk,
}

impl FailingDisk {
    fn spend(&self) -> io::Result<()> {
        let left = self.left.fetch_sub(1, Ordering::SeqCst);
        if left > 1 || left < 1 && !self.failure.is_lasting { Ok(()) } else { Err(self.failure.errno.into()) }
    }

    fn wrap(&self, file: Arc<dyn SegmentFile>) -> Arc<dyn SegmentFile> {
        Arc::new(FailingFile { real: file, disk: self.clone() })
    }
}

impl Disk for FailingDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        self.spend()?;
        self.real.names()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        self.spend()?;
        Ok(self.wrap(self.real.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        self.spend()?;
        Ok(self.wrap(self.real.open(name)?))
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        self.spend()?;
        self.real.rename(from, to)
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        self.spend()?;
        self.real.remove(name)
    }
    fn sync_names(&self) -> io::Result<()> {
        self.spend()?;
        self.real.sync_names()
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.real.free_bytes()
    }
}

impl SegmentFile for FailingFile {
    fn append(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        if let Err(error) = self.disk.spend() {
            let bytes: Vec<u8> = parts.iter().flat_map(|part| part.iter().copied()).collect();
            self.real.append(&mut [IoSlice::new(&bytes[..bytes.len() * self.disk.failure.part / 4])])?;
            return Err(error);
        }
        self.real.append(parts)
    }
    fn sync(&self) -> io::Result<()> {
        self.disk.spend()?;
        self.real.sync()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.disk.spend()?;
        self.real.read_at(buffer, offset)
    }
    fn size(&self) -> io::Result<u64> {
        self.disk.spend()?;
        self.real.size()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        self.disk.spend()?;
        self.real.truncate(len)
    }
    fn overwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.disk.spend()?;
        self.real.overwrite(bytes, offset)
    }
}

/// What was promised to clients, and what they do not know.
#[derive(Default)]
struct Ledger {
    accepted: BTreeSet<String>,
    /// Settled together with the output of the same name.
    settled: BTreeSet<String>,
    unknown: BTreeSet<String>,
    /// There was something before.
    is_resumed: bool,
}

impl Ledger {
    /// Every accepted post is either still there or its output is, and never both.
    async fn check(&self, running: Running, what: &str) {
        assert_eq!(running.recovery.damage, [], "{what}");
        let client = running.client("checker").await;
        let posts = drain(&client, POSTS).await;
        let results = drain(&client, RESULTS).await;
        let (post_set, result_set) = (BTreeSet::from_iter(posts.clone()), BTreeSet::from_iter(results.clone()));
        assert_eq!(
            (posts.len(), results.len()),
            (post_set.len(), result_set.len()),
            "{what}: something is there twice"
        );
        for id in &self.accepted {
            assert!(post_set.contains(id) ^ result_set.contains(id), "{what}: {id} is lost or there twice");
        }
        for id in &self.settled {
            assert!(result_set.contains(id), "{what}: {id} was settled, and came back");
        }
        for id in post_set.union(&result_set) {
            let is_known = self.accepted.contains(id) || self.unknown.contains(id) || self.is_resumed || id == "late";
            assert!(is_known, "{what}: {id} comes from nowhere");
        }
        running.stop().await;
    }
}

fn small(dir: &Path) -> ManagerSettings {
    ManagerSettings { segment_bytes: 4 << 10, duplicate_window: 10, ..settings(dir) }
}

async fn start_small(disk: MemoryDisk, dir: &Path) -> Running {
    serve_in(dir, Manager::open_on(small(dir), Arc::new(disk)).unwrap(), None).await
}

/// Puts, leases and settles until it is done or refused.
async fn work(client: &Client, life: &str, ledger: &mut Ledger) -> Result<(), QueueError> {
    for round in 0..12 {
        let ids: Vec<String> = (0..4).map(|number| format!("{life} {round}-{number}")).collect();
        ledger.unknown.extend(ids.iter().cloned());
        client.put(POSTS, ids.iter().map(|id| item(id, vec![5; 300])).collect()).await?;
        ledger.accepted.extend(ids);
        // One in four stays behind, so that there is something to copy forward.
        let Leased::Items { deliveries, .. } = client.lease(POSTS, want(3)).await? else { continue };
        let outputs = deliveries.iter().map(|delivery| item(&delivery.id, "sums")).collect();
        client.settle(POSTS, leases(&deliveries), Some(Outputs { queue: RESULTS, items: outputs })).await?;
        ledger.settled.extend(deliveries.into_iter().map(|delivery| delivery.id));
    }
    Ok(())
}

/// Lets the disk fail at every operation in turn, until there are none left to fail at: first while a log is made and
/// used, then while it is opened again and used further.
async fn fail_everywhere(failure: Failure) {
    let first = dir();
    let used = MemoryDisk::new(Files::new(), Duration::ZERO);
    let running = start_small(used.clone(), first.path()).await;
    work(&running.client("one").await, "first", &mut Ledger::default()).await.unwrap();
    running.stop().await;
    for before in [Vec::new(), used.journal()] {
        for point in 1.. {
            let left = Arc::new(AtomicI64::new(point));
            let real = MemoryDisk::after_kill(&before);
            let disk = FailingDisk { real: real.clone(), failure, left: Arc::clone(&left) };
            let dir = dir();
            // Payloads are read from the disk, so that reading fails, too.
            let settings = ManagerSettings { cache_bytes: 0, ..small(dir.path()) };
            let mut ledger = Ledger { is_resumed: !before.is_empty(), ..Ledger::default() };
            let what = format!("{failure:?} at operation {point}");
            let Ok(opened) = Manager::open_on(settings, Arc::new(disk)) else {
                ledger.check(start_small(real, dir.path()).await, &what).await;
                continue;
            };
            let running = serve_in(dir.path(), opened, None).await;
            let client = running.client("one").await;
            let worked = work(&client, "second", &mut ledger).await;
            let refused = client.put(POSTS, vec![item("late", "")]).await;
            match worked {
                Ok(()) => ledger.accepted.extend(refused.is_ok().then(|| "late".to_owned())),
                Err(QueueError::Poisoned(reason)) => {
                    let error = io::Error::from(failure.errno).to_string();
                    assert!(reason.contains(&error), "{reason}");
                    let failed = tokio::time::timeout(SOON, running.manager.failed()).await;
                    assert!(failed.unwrap().contains(&error));
                    // And so it stays, also when the disk is well again: nobody knows what it has kept.
                    assert!(matches!(refused, Err(QueueError::Poisoned(_))), "{what}: {refused:?}");
                }
                Err(other) => panic!("{what}: {other}"),
            }
            running.stop().await;
            ledger.check(start_small(real, dir.path()).await, &what).await;
            if left.load(Ordering::SeqCst) > 0 {
                assert!(point > 50, "so few operations: {point}");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_disk_that_fails_for_good_at_any_point_breaks_no_promise() {
    fail_everywhere(Failure { errno: Errno::EIO, is_lasting: true, part: 2 }).await;
}

#[tokio::test]
async fn a_disk_that_fails_once_at_any_point_is_not_trusted_again() {
    fail_everywhere(Failure { errno: Errno::EIO, is_lasting: false, part: 4 }).await;
}

#[tokio::test]
async fn a_disk_that_is_full_at_any_point_breaks_no_promise() {
    fail_everywhere(Failure { errno: Errno::ENOSPC, is_lasting: true, part: 1 }).await;
}

#[tokio::test]
async fn a_disk_without_space_for_a_moment_breaks_no_promise() {
    fail_everywhere(Failure { errno: Errno::ENOSPC, is_lasting: false, part: 3 }).await;
}

const CHILD_DIR: &str = "QUEUE_TEST_CHILD_DIR";

/// Not a test: the process that is killed. Serves until then.
#[tokio::test(flavor = "multi_thread")]
async fn child_that_serves() {
    let Some(dir) = std::env::var_os(CHILD_DIR) else { return };
    let _running = start(small(Path::new(&dir))).await;
    println!("\nserving");
    std::future::pending().await
}

#[tokio::test]
async fn a_killed_manager_breaks_no_promise() {
    let dir = dir();
    let mut ledger = Ledger::default();
    let mut number = 0;
    for kill in 0..8 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "faults::child_that_serves", "--nocapture"])
            .env(CHILD_DIR, dir.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let _rest = lines.map_while(Result::ok).find(|line| line == "serving").unwrap();
        let address = Address::Unix(dir.path().join("queue.sock"));
        let client =
            Client::connect(ClientSettings { address, reconnect_for: SOON, ..ClientSettings::default() }).await;
        let client = client.unwrap();
        let killing = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(40 + kill * 17)).await;
            child.kill().unwrap();
            child.wait().unwrap();
        });
        // What is in flight when it dies is unknown to both sides.
        let working = async {
            loop {
                let ids: Vec<String> = (number..number + 4).map(|number| number.to_string()).collect();
                number += 4;
                ledger.unknown.extend(ids.iter().cloned());
                let put = client.put(POSTS, ids.iter().map(|id| item(id, vec![5; 300])).collect());
                if put.await.is_err() {
                    return;
                }
                ledger.accepted.extend(ids);
                let Ok(Leased::Items { deliveries, .. }) = client.lease(POSTS, want(3)).await else { return };
                let outputs = deliveries.iter().map(|delivery| item(&delivery.id, "sums")).collect();
                let outputs = Some(Outputs { queue: RESULTS, items: outputs });
                if client.settle(POSTS, leases(&deliveries), outputs).await.is_err() {
                    return;
                }
                ledger.settled.extend(deliveries.into_iter().map(|delivery| delivery.id));
            }
        };
        tokio::select! {
            () = working => {}
            killed = killing => killed.unwrap(),
        }
    }
    assert!(ledger.settled.len() > 20, "too little was done to prove anything");
    ledger.check(start(small(dir.path())).await, "after eight kills").await;
}
