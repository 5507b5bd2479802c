//! A disk that fails at every point, one after the other; and a manager that is killed in the middle of its work.

use std::collections::BTreeSet;
use std::io::{self, BufRead, BufReader, IoSlice};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use queue::*;

use crate::support::*;

/// Fails for good from the given operation on.
struct FailingDisk {
    real: RealDisk,
    left: Arc<AtomicI64>,
}

struct FailingFile {
    real: Arc<dyn SegmentFile>,
    left: Arc<AtomicI64>,
}

fn spend(left: &AtomicI64) -> io::Result<()> {
    if left.fetch_sub(1, Ordering::SeqCst) > 0 { Ok(()) } else { Err(io::Error::other("injected")) }
}

impl FailingDisk {
    fn wrap(&self, file: Arc<dyn SegmentFile>) -> Arc<dyn SegmentFile> {
        Arc::new(FailingFile { real: file, left: Arc::clone(&self.left) })
    }
}

impl Disk for FailingDisk {
    fn names(&self) -> io::Result<Vec<String>> {
        self.real.names()
    }
    fn create(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        spend(&self.left)?;
        Ok(self.wrap(self.real.create(name)?))
    }
    fn open(&self, name: &str) -> io::Result<Arc<dyn SegmentFile>> {
        Ok(self.wrap(self.real.open(name)?))
    }
    fn remove(&self, name: &str) -> io::Result<()> {
        spend(&self.left)?;
        self.real.remove(name)
    }
    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        spend(&self.left)?;
        self.real.rename(from, to)
    }
    fn sync_names(&self) -> io::Result<()> {
        spend(&self.left)?;
        self.real.sync_names()
    }
    fn free_bytes(&self) -> io::Result<u64> {
        self.real.free_bytes()
    }
}

impl SegmentFile for FailingFile {
    fn append(&self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        if let Err(error) = spend(&self.left) {
            // Half of it is written all the same.
            let mut half = vec![IoSlice::new(&parts[0][..parts[0].len() / 2])];
            self.real.append(&mut half)?;
            return Err(error);
        }
        self.real.append(parts)
    }
    fn sync(&self) -> io::Result<()> {
        spend(&self.left)?;
        self.real.sync()
    }
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.real.read_at(buffer, offset)
    }
    fn size(&self) -> io::Result<u64> {
        self.real.size()
    }
    fn truncate(&self, len: u64) -> io::Result<()> {
        spend(&self.left)?;
        self.real.truncate(len)
    }
    fn overwrite(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        spend(&self.left)?;
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
}

impl Ledger {
    /// Every accepted post is either still there or its output is, and never both.
    async fn check(&self, dir: &Path, what: &str) {
        let running = start(small(dir)).await;
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
            assert!(self.accepted.contains(id) || self.unknown.contains(id), "{what}: {id} comes from nowhere");
        }
        running.stop().await;
    }
}

fn small(dir: &Path) -> ManagerSettings {
    ManagerSettings { segment_bytes: 4 << 10, duplicate_window: 10, ..settings(dir) }
}

/// Puts, leases and settles until it is done or refused.
async fn work(client: &Client, ledger: &mut Ledger) -> Result<(), QueueError> {
    for round in 0..12 {
        let ids: Vec<String> = (0..4).map(|number| format!("{round}-{number}")).collect();
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

#[tokio::test]
async fn a_disk_that_fails_at_any_point_breaks_no_promise() {
    for point in 1.. {
        let dir = dir();
        let left = Arc::new(AtomicI64::new(point));
        let disk = FailingDisk { real: RealDisk::new(dir.path()), left: Arc::clone(&left) };
        let mut ledger = Ledger::default();
        let what = format!("failure at operation {point}");
        let Ok(opened) = Manager::open_on(small(dir.path()), Arc::new(disk)) else {
            ledger.check(dir.path(), &what).await;
            continue;
        };
        let running = serve_in(dir.path(), opened, None).await;
        let client = running.client("one").await;
        match work(&client, &mut ledger).await {
            Ok(()) => {}
            Err(QueueError::Poisoned(reason)) => {
                assert!(reason.contains("injected"), "{reason}");
                let failed = tokio::time::timeout(SOON, running.manager.failed()).await;
                assert!(failed.unwrap().contains("injected"));
                // And so it stays.
                let refused = client.put(POSTS, vec![item("late", "")]).await;
                assert!(matches!(refused, Err(QueueError::Poisoned(_))), "{refused:?}");
            }
            Err(other) => panic!("{what}: {other}"),
        }
        running.stop().await;
        ledger.check(dir.path(), &what).await;
        if left.load(Ordering::SeqCst) > 0 {
            assert!(point > 50, "so few operations: {point}");
            return;
        }
    }
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
    ledger.check(dir.path(), "after eight kills").await;
}
