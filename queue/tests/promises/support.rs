//! A manager that serves in a directory of its own, and how to talk to it.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use queue::*;
use tempfile::TempDir;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::memory::MemoryDisk;

/// How long a test waits for what must come.
pub const SOON: Duration = Duration::from_secs(20);

/// A manager and its server. [`Running::stop`] makes the directory free for the next one.
pub struct Running {
    pub manager: Manager,
    pub recovery: Recovery,
    pub address: Address,
    stop: oneshot::Sender<()>,
    served: JoinHandle<()>,
}

/// Small segments, and bounds that no test meets by accident.
pub fn settings(dir: &Path) -> ManagerSettings {
    let (lease_timeout, proven_after) = (Duration::from_secs(10), Duration::ZERO);
    ManagerSettings { disk_free_min: 0, lease_timeout, proven_after, ..ManagerSettings::pipeline(dir) }
}

pub async fn start(settings: ManagerSettings) -> Running {
    start_with(settings, None).await
}

pub async fn start_with(settings: ManagerSettings, secret: Option<Secret>) -> Running {
    let dir = settings.dir.clone();
    serve_in(&dir, open(settings), secret).await
}

/// Opens a directory that no other manager has.
pub fn open(settings: ManagerSettings) -> (Manager, Recovery) {
    let deadline = std::time::Instant::now() + SOON;
    loop {
        match Manager::open(settings.clone()) {
            // A test beside this one may be starting a process, which has a copy of every lock from its fork to its exec.
            Err(OpenError::InUse { .. }) if std::time::Instant::now() < deadline => std::thread::yield_now(),
            opened => return opened.unwrap(),
        }
    }
}

/// A manager whose files are in memory; only its socket is in the directory.
pub async fn start_on(disk: MemoryDisk, dir: &Path) -> Running {
    serve_in(dir, Manager::open_on(settings(dir), Arc::new(disk)).unwrap(), None).await
}

/// Serves an open manager.
pub async fn serve_in(dir: &Path, (manager, recovery): (Manager, Recovery), secret: Option<Secret>) -> Running {
    let listener = Listener::bind(&Address::Unix(dir.join("queue.sock"))).await.unwrap();
    let address = listener.address().clone();
    let (stop, stopped) = oneshot::channel();
    let served = tokio::spawn(serve(manager.clone(), vec![listener], secret, async {
        let _ = stopped.await;
    }));
    Running { manager, recovery, address, stop, served }
}

impl Running {
    /// A new connection.
    pub async fn client(&self, name: &str) -> Client {
        Client::connect(self.client_settings(name)).await.unwrap()
    }

    pub fn client_settings(&self, name: &str) -> ClientSettings {
        let reconnect_for = Duration::from_secs(5);
        ClientSettings { address: self.address.clone(), secret: None, name: name.to_owned(), reconnect_for }
    }

    /// Ends the server and closes the log.
    pub async fn stop(self) {
        let Running { manager, stop, served, .. } = self;
        let _ = stop.send(());
        served.await.unwrap();
        drop(manager);
    }

    pub fn counts(&self, name: &str) -> QueueStats {
        self.manager.stats().queues[name].clone()
    }
}

pub fn dir() -> TempDir {
    tempfile::tempdir().unwrap()
}

pub fn item(id: impl ToString, payload: impl Into<Vec<u8>>) -> Item {
    Item { id: id.to_string(), payload: payload.into().into() }
}

/// Items whose payload says who they are.
pub fn items(numbers: std::ops::Range<u32>) -> Vec<Item> {
    numbers.map(|number| item(format!("id-{number}"), format!("payload of {number}"))).collect()
}

pub fn want(items_max: u32) -> Want {
    Want { items_max, bytes_max: u32::MAX, wait: Duration::ZERO }
}

pub fn want_soon(items_max: u32) -> Want {
    Want { wait: SOON, ..want(items_max) }
}

/// Leases what must be there.
pub async fn lease(client: &Client, queue: QueueId, items_max: u32) -> Vec<Delivery> {
    match client.lease(queue, want_soon(items_max)).await.unwrap() {
        Leased::Items { deliveries, .. } => deliveries,
        other => panic!("items were awaited, {other:?} came"),
    }
}

pub fn ids(deliveries: &[Delivery]) -> Vec<&str> {
    deliveries.iter().map(|delivery| delivery.id.as_str()).collect()
}

pub fn leases(deliveries: &[Delivery]) -> Vec<LeaseId> {
    deliveries.iter().map(|delivery| delivery.lease).collect()
}

/// Takes everything out of a queue, and returns the ids in order.
pub async fn drain(client: &Client, queue: QueueId) -> Vec<String> {
    let mut all = Vec::new();
    while let Leased::Items { deliveries, .. } = client.lease(queue, want(1000)).await.unwrap() {
        all.extend(deliveries.iter().map(|delivery| delivery.id.clone()));
        client.settle(queue, leases(&deliveries), None).await.unwrap();
    }
    all
}

/// Waits for a condition.
pub async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let began = Instant::now();
    while !condition() {
        assert!(began.elapsed() < SOON, "awaited in vain: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Files of the log with this extension, in order.
pub fn files(dir: &Path, extension: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|is| is == extension)).collect();
    files.sort();
    files
}

/// A copy of the log's files in a new directory.
pub fn copy(dir: &Path) -> TempDir {
    let copy = self::dir();
    for file in files(dir, "log").into_iter().chain(files(dir, "ids")) {
        std::fs::copy(&file, copy.path().join(file.file_name().unwrap())).unwrap();
    }
    copy
}

/// What random choices follow from: told by `QUEUE_TEST_SEED`, or new; failures name it.
pub fn seed() -> u64 {
    let told = std::env::var("QUEUE_TEST_SEED").ok().and_then(|seed| seed.parse().ok());
    told.unwrap_or_else(|| RandomState::new().build_hasher().finish())
}

/// Lets a consumer act whose process is killed then: its connection ends without a good-bye.
pub async fn dies_after<T: Send + 'static>(
    settings: ClientSettings,
    act: impl AsyncFnOnce(&Client) -> T + Send + 'static,
) -> T {
    let dying = tokio::task::spawn_blocking(move || {
        // A runtime of its own, which goes away as a killed process does.
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let result = runtime.block_on(async {
            let client = Client::connect(settings).await.unwrap();
            let result = act(&client).await;
            std::mem::forget(client);
            result
        });
        runtime.shutdown_background();
        result
    });
    dying.await.unwrap()
}

/// A consumer is killed when it has leased something.
pub async fn killed(running: &Running, queue: QueueId, items_max: u32) -> Vec<Delivery> {
    let act = async move |client: &Client| lease(client, queue, items_max).await;
    dies_after(running.client_settings("victim"), act).await
}
