//! The manager: opens the log, owns the state and the writer, and is what the hosting process holds.

use std::fs::{DirBuilder, File, TryLockError};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::os::unix::fs::DirBuilderExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::{Map, Value};
use tokio::sync::watch;

use crate::api::{QueueId, Stats};
use crate::core::Core;
use crate::log::cache::Cache;
use crate::log::disk::{Disk, RealDisk};
use crate::log::recover::{Read as ReadLog, RecoverError, read, recover};
use crate::log::report::Recovery;
use crate::log::segment::VERSION;
use crate::settings::ManagerSettings;
use crate::writer::Writer;

/// Bytes of a segment at least: far more than its preamble and head.
const SEGMENT_BYTES_MIN: u64 = 2 << 10;
/// How often the free space is looked at.
const SPACE_EVERY: Duration = Duration::from_secs(1);

/// How long what a killed process had may stay taken: a child that it was just starting holds its lock and its sockets
/// until the child's program begins. Whoever finds them taken tries again for so long.
pub(crate) const AFTERLIFE: Duration = Duration::from_secs(1);
/// Pause between two tries.
pub(crate) const AFTERLIFE_STEP: Duration = Duration::from_millis(20);

/// Why a directory can't be opened.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another manager has it.
    #[error("{dir} is in use by process {owner}; stop that one first, or give another directory")]
    InUse {
        /// The directory.
        dir: PathBuf,
        /// The process that has it, as it noted itself.
        owner: String,
    },
    /// A file can't be read or written.
    #[error("{path}: {source}; check that the disk is healthy and that this user may write there")]
    Io {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Written by a newer Copydesk.
    #[error("{path} has format {version}, this version reads up to {known}; use the newer Copydesk that wrote it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        version: u32,
        /// The newest format this version reads.
        known: u32,
    },
    /// The log has items of a queue that the settings do not name.
    #[error("{dir} holds items of queue {queue}, which is not configured; open it with the queues it was written with")]
    UnknownQueue {
        /// The directory.
        dir: PathBuf,
        /// The queue.
        queue: u8,
    },
    /// Settings that can't be meant.
    #[error("{0}")]
    Settings(String),
}

impl OpenError {
    fn of(error: RecoverError, dir: &Path) -> OpenError {
        let dir = dir.to_owned();
        match error {
            RecoverError::Io(name, source) => OpenError::Io { path: dir.join(name), source },
            RecoverError::Newer(name, version) => OpenError::Newer { path: dir.join(name), version, known: VERSION },
            RecoverError::UnknownQueue(queue) => OpenError::UnknownQueue { dir, queue },
        }
    }
}

/// Times that a log which is in use is looked at until its segments stay while they are read.
const LOOKS: usize = 10;

/// Looks at a directory's log and changes nothing, also while a manager has it: then what that writes meanwhile may
/// show as torn bytes.
pub fn inspect(settings: &ManagerSettings) -> Result<Recovery, OpenError> {
    check(settings)?;
    let began = Instant::now();
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::new(&settings.dir));
    let mut look = 1;
    loop {
        match read(&disk, &mut Core::new(settings), settings.segment_bytes) {
            Ok(ReadLog { recovery, .. }) => return Ok(Recovery { took: began.elapsed(), ..recovery }),
            // A manager removes what is done.
            Err(RecoverError::Io(_, error)) if error.kind() == ErrorKind::NotFound && look < LOOKS => look += 1,
            Err(error) => return Err(OpenError::of(error, &settings.dir)),
        }
    }
}

/// What the manager's threads share.
pub(crate) struct Shared {
    pub(crate) settings: ManagerSettings,
    pub(crate) cache: Cache,
    disk: Arc<dyn Disk>,
    core: Mutex<Core>,
    wake: Condvar,
    space_checked: Mutex<Instant>,
    failure: watch::Sender<Option<String>>,
}

/// The durable queues of one directory. Clones are the same manager; when the last one is gone, so is its thread and
/// its hold on the directory, after everything that was taken has been written.
#[derive(Clone)]
pub struct Manager {
    pub(crate) shared: Arc<Shared>,
    _end: Arc<End>,
}

struct End {
    shared: Arc<Shared>,
    writer: Option<JoinHandle<()>>,
    _lock: File,
}

impl Manager {
    /// Opens a directory, making it if need be, and reads its log back.
    pub fn open(settings: ManagerSettings) -> Result<(Manager, Recovery), OpenError> {
        let disk = RealDisk::new(&settings.dir);
        Manager::open_on(settings, Arc::new(disk))
    }

    /// The same, on another disk than that of the operating system. The directory is still locked there.
    pub fn open_on(settings: ManagerSettings, disk: Arc<dyn Disk>) -> Result<(Manager, Recovery), OpenError> {
        check(&settings)?;
        let dir = settings.dir.clone();
        let lock = lock(&dir)?;
        let mut core = Core::new(&settings);
        let (log, recovery) = recover(Arc::clone(&disk), &mut core, settings.segment_bytes)
            .map_err(|error| OpenError::of(error, &dir))?;
        let shared = Arc::new(Shared {
            cache: Cache::new(settings.cache_bytes),
            settings,
            disk,
            core: Mutex::new(core),
            wake: Condvar::new(),
            space_checked: Mutex::new(Instant::now()),
            failure: watch::Sender::new(None),
        });
        shared.check_space(&mut shared.core());
        let writer = Writer::new(Arc::clone(&shared), log);
        let watched = Arc::clone(&shared);
        let writer = std::thread::Builder::new().name("log-writer".to_owned()).spawn(move || {
            // Whatever state a panic leaves behind: nothing is written from there.
            if catch_unwind(AssertUnwindSafe(|| writer.run())).is_err() {
                watched.fail(&io::Error::other("the log's writer panicked"));
            }
        });
        let writer = writer.map_err(|source| OpenError::Io { path: dir, source })?;
        let end = End { shared: Arc::clone(&shared), writer: Some(writer), _lock: lock };
        Ok((Manager { shared, _end: Arc::new(end) }, recovery))
    }

    /// Refuses puts from outside from now on; outputs of settlements are still taken.
    pub fn close(&self, queue: QueueId) {
        self.shared.core().close(queue);
    }

    /// Answers every lease with the sentinel from now on. What is ready stays on disk.
    pub fn stop(&self, queue: QueueId) {
        self.shared.core().stop(queue);
    }

    /// Whether a queue is closed and everything in it is settled or dead.
    pub fn is_done(&self, queue: QueueId) -> bool {
        self.shared.core().is_done(queue)
    }

    /// From now on a lost connection does not count as a failed delivery: the host itself is ending its consumers.
    pub fn forgive(&self) {
        self.shared.core().forgive();
    }

    /// The counts, as of now.
    pub fn stats(&self) -> Stats {
        let mut core = self.shared.core();
        // Also when no puts come, because nobody sends any while this says that they are refused.
        self.shared.check_space_sometimes(&mut core);
        let (mut stats, annex) = (core.stats(), core.annex.clone());
        drop(core);
        // Off the lock: it is the host's code.
        if let Some(annex) = annex {
            stats.annex = annex();
        }
        stats
    }

    /// Names the phase that the counts report.
    pub fn set_phase(&self, phase: &str) {
        phase.clone_into(&mut self.shared.core().phase);
    }

    /// Sets what else the counts report.
    pub fn set_annex(&self, annex: Arc<dyn Fn() -> Map<String, Value> + Send + Sync>) {
        self.shared.core().annex = Some(annex);
    }

    /// Resolves with the reason when the disk has failed and nothing is written any more.
    pub async fn failed(&self) -> String {
        let mut failure = self.shared.failure.subscribe();
        match failure.wait_for(Option::is_some).await.map(|reason| reason.clone()) {
            Ok(Some(reason)) => reason,
            // Its sender is in `self`.
            _ => std::future::pending().await,
        }
    }
}

impl Shared {
    pub(crate) fn core(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// For the writer: waits until something may be there for it.
    pub(crate) fn wait<'a>(&self, core: MutexGuard<'a, Core>) -> MutexGuard<'a, Core> {
        self.wake.wait(core).unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes one step, and wakes the writer if that left something for it.
    pub(crate) fn step<T>(&self, step: impl FnOnce(&mut Core) -> T) -> T {
        let mut core = self.core();
        let before = core.pending.len();
        let result = step(&mut core);
        let is_first = before == 0 && !core.pending.is_empty();
        drop(core);
        if is_first {
            self.wake.notify_one();
        }
        result
    }

    /// Looks at the free space if that has not been done for a while.
    pub(crate) fn check_space_sometimes(&self, core: &mut Core) {
        let is_due = {
            let checked = self.space_checked.lock().unwrap_or_else(PoisonError::into_inner);
            checked.elapsed() >= SPACE_EVERY
        };
        if is_due {
            self.check_space(core);
        }
    }

    /// Puts are refused while the disk is nearly full; what finishing needs still fits.
    pub(crate) fn check_space(&self, core: &mut Core) {
        *self.space_checked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let min = self.settings.disk_free_min;
        // A file system that can't say counts as roomy: a write will tell.
        let free = self.disk.free_bytes().unwrap_or(u64::MAX);
        let was_full = core.disk_full.is_some();
        core.disk_full =
            (free < min).then(|| format!("its disk has {} MB free and keeps {}; free some", free >> 20, min >> 20));
        match (&core.disk_full, was_full) {
            (Some(reason), false) => tracing::error!(reason, "puts are refused until there is space"),
            (None, true) => tracing::info!("there is space again: puts are taken"),
            _ => {}
        }
    }

    /// The disk has failed.
    pub(crate) fn fail(&self, error: &io::Error) {
        let reason = format!("the disk failed: {error}");
        tracing::error!(reason, "nothing is written any more; what was answered is safe");
        self.core().fail(&reason);
        self.failure.send_replace(Some(reason));
    }
}

impl Drop for End {
    fn drop(&mut self) {
        self.shared.core().is_ending = true;
        self.shared.wake.notify_one();
        if let Some(writer) = self.writer.take() {
            // A panic of the writer was reported by its thread.
            let _ = writer.join();
        }
    }
}

fn check(settings: &ManagerSettings) -> Result<(), OpenError> {
    let refused = |message: &str| Err(OpenError::Settings(message.to_owned()));
    if settings.queues.is_empty() {
        return refused("a manager needs at least one queue");
    }
    if settings.segment_bytes > 1 << 30 {
        return refused("a segment has at most 1 GiB; give a smaller segment_bytes");
    }
    if settings.segment_bytes < SEGMENT_BYTES_MIN {
        return refused("a segment has at least 2 KiB, or nothing but heads would fit; give a larger segment_bytes");
    }
    if settings.lease_timeout < Duration::from_millis(100) {
        return refused("consumers need at least 0.1 s between two signs of life; give a longer lease_timeout");
    }
    let mut ids: Vec<_> = settings.queues.iter().map(|queue| queue.id).collect();
    ids.sort_unstable();
    ids.dedup();
    if ids.len() < settings.queues.len() {
        return refused("two queues have the same number; give each its own");
    }
    Ok(())
}

/// Takes the directory for this process.
fn lock(dir: &Path) -> Result<File, OpenError> {
    let path = dir.join("lock");
    let failed = |source| OpenError::Io { path: path.clone(), source };
    // Payloads are nobody else's business.
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(failed)?;
    let mut file = File::options().read(true).write(true).create(true).truncate(false).open(&path).map_err(failed)?;
    let deadline = Instant::now() + AFTERLIFE;
    let locked = loop {
        match file.try_lock() {
            Err(TryLockError::WouldBlock) if Instant::now() < deadline => std::thread::sleep(AFTERLIFE_STEP),
            locked => break locked,
        }
    };
    match locked {
        Ok(()) => {
            file.set_len(0).and_then(|()| file.rewind()).map_err(failed)?;
            writeln!(file, "{}", std::process::id()).map_err(failed)?;
            Ok(file)
        }
        Err(TryLockError::WouldBlock) => {
            let mut owner = String::new();
            let _ = file.read_to_string(&mut owner);
            let owner = if owner.trim().is_empty() { "unknown".to_owned() } else { owner.trim().to_owned() };
            Err(OpenError::InUse { dir: dir.to_owned(), owner })
        }
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}
