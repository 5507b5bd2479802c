//! A manager beside its model: every step is taken by both, and whatever can be seen of them has to agree.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use queue::*;
use tempfile::TempDir;
use tokio::runtime::{Builder, Runtime};

use super::plain::{Plain, PlainQueue, State, WINDOW};
use crate::memory::{Files, MemoryDisk};
use crate::support::{self, Running, SOON, item, leases, want};

/// Takes whatever is put. What is put here last is behind everything before it.
pub const OTHERS: QueueId = QueueId(2);
pub const QUEUES: [(QueueId, &str); 3] = [(POSTS, "posts"), (RESULTS, "results"), (OTHERS, "others")];
const SESSIONS: usize = 3;

/// A consumer, with a runtime of its own that can be taken away from it as from a killed process.
pub struct Session {
    pub client: Client,
    runtime: Runtime,
    /// What it holds, by queue.
    pub held: [Vec<Delivery>; 3],
    /// A lease that it holds no more.
    pub past: Option<(QueueId, LeaseId)>,
}

impl Session {
    fn begin(running: &Running) -> Session {
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let client = runtime.block_on(running.client("session"));
        Session { client, runtime, held: Default::default(), past: None }
    }

    /// The process is gone, and said nothing.
    fn kill(self) {
        self.runtime.shutdown_timeout(SOON);
    }
}

pub struct World {
    runtime: Runtime,
    dir: TempDir,
    disk: MemoryDisk,
    running: Option<Running>,
    sessions: Vec<Session>,
    pub plain: Plain,
    barriers: u32,
}

fn settings(dir: &Path, plain: &Plain) -> ManagerSettings {
    let queue = |(id, name): (QueueId, &str)| {
        let PlainQueue { items_max, bytes_max, deduplicates, .. } = plain.queues[usize::from(id.0)];
        QueueSettings {
            id,
            name: name.to_owned(),
            items_max: items_max as u64,
            bytes_max: bytes_max as u64,
            deduplicate: deduplicates,
            feeds: (id == POSTS).then_some(RESULTS),
        }
    };
    ManagerSettings {
        queues: QUEUES.map(queue).to_vec(),
        max_deliveries: plain.max_deliveries,
        duplicate_window: WINDOW,
        segment_bytes: 2 << 10,
        cache_bytes: 1 << 10,
        ..support::settings(dir)
    }
}

impl World {
    pub fn begin(max_deliveries: u32) -> World {
        let queues = vec![
            PlainQueue::new(24, 12_000, true),
            PlainQueue::new(8, 6_000, false),
            PlainQueue::new(1 << 20, 1 << 30, false),
        ];
        let mut world = World {
            runtime: Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap(),
            dir: support::dir(),
            disk: MemoryDisk::new(Files::new(), Duration::ZERO),
            running: None,
            sessions: Vec::new(),
            plain: Plain { queues, max_deliveries },
            barriers: 0,
        };
        world.start();
        world
    }

    pub fn session(&mut self, number: usize) -> &mut Session {
        &mut self.sessions[number % SESSIONS]
    }

    /// This session and queue, or the next where something is held, if there is any.
    pub fn holder(&self, session: usize, queue: usize) -> (usize, usize) {
        let all = (0..SESSIONS * 3).map(|at| ((session + at / 3) % SESSIONS, (queue + at) % 3));
        let holds = |(session, queue): &(usize, usize)| !self.sessions[*session].held[*queue].is_empty();
        all.clone().find(holds).unwrap_or((session, queue))
    }

    pub fn wait<T>(&self, future: impl Future<Output = T>) -> T {
        self.runtime.block_on(future)
    }

    /// Opens a disk, which has no damage. Only lock and socket are in the directory.
    fn open(&self, dir: &Path, disk: &MemoryDisk) -> Running {
        let deadline = Instant::now() + SOON;
        let opened = loop {
            match Manager::open_on(settings(dir, &self.plain), Arc::new(disk.clone())) {
                // A test beside this one may be starting a process, which has a copy of every lock until its exec.
                Err(OpenError::InUse { .. }) if Instant::now() < deadline => std::thread::yield_now(),
                opened => break opened.unwrap(),
            }
        };
        assert_eq!((&opened.1.damage, opened.1.torn_bytes), (&vec![], 0), "{:?}", opened.1);
        self.wait(support::serve_in(dir, opened, None))
    }

    fn start(&mut self) {
        let running = self.open(self.dir.path(), &self.disk);
        self.sessions = (0..SESSIONS).map(|_| Session::begin(&running)).collect();
        self.running = Some(running);
    }

    fn stop(&mut self) {
        let running = self.running.take().unwrap();
        self.wait(running.stop());
        self.sessions.drain(..).for_each(Session::kill);
    }

    fn manager(&self) -> &Manager {
        &self.running.as_ref().unwrap().manager
    }

    /// The files as they are at this moment, which is what a killed process leaves behind.
    fn copy(&self) -> MemoryDisk {
        MemoryDisk::after_kill(&self.disk.journal())
    }

    /// Stops and starts again; after a crash from the files as they were when it came.
    pub fn restart(&mut self, is_crash: bool) {
        let copy = is_crash.then(|| self.copy());
        self.stop();
        if let Some(copy) = copy {
            self.disk = copy;
        }
        self.plain.queues.iter_mut().for_each(PlainQueue::restart);
        self.start();
        self.check_letters();
        self.check_contents();
    }

    /// A session ends: with a good-bye, or as a killed process does. Another takes its place.
    pub fn end_session(&mut self, number: usize, is_polite: bool) {
        let next = Session::begin(self.running.as_ref().unwrap());
        let session = std::mem::replace(self.session(number), next);
        if is_polite {
            self.wait(session.client.close());
        }
        session.kill();
        let max_deliveries = self.plain.max_deliveries;
        for queue in &mut self.plain.queues {
            let held = queue.held(number);
            if is_polite { queue.release(held) } else { queue.fail(held, max_deliveries) }
        }
        let deadline = Instant::now() + SOON;
        while !self.is_leased_as_expected() {
            assert!(Instant::now() < deadline, "the leases of a session that has ended are still held");
            std::thread::sleep(Duration::from_millis(1));
        }
        self.pass_barrier();
        self.check_letters();
    }

    fn is_leased_as_expected(&self) -> bool {
        let stats = self.manager().stats();
        QUEUES.iter().zip(&self.plain.queues).all(|((_, name), queue)| stats.queues[*name].leased == queue.counts().1)
    }

    /// Nobody waits for what the manager writes of its own accord. It is written when this is.
    fn pass_barrier(&mut self) {
        let id = format!("barrier {}", self.barriers);
        self.barriers += 1;
        let client = self.session(0).client.clone();
        assert_eq!(self.wait(client.put(OTHERS, vec![item(&id, "")])), Ok(vec![PutOutcome::Accepted]));
        self.plain.queue(OTHERS).add(id, Vec::new());
    }

    /// The counts agree.
    pub fn check_counts(&self) {
        let stats = self.manager().stats();
        for ((_, name), queue) in QUEUES.iter().zip(&self.plain.queues) {
            let QueueStats { ready, leased, bytes, accepted, settled, .. } = stats.queues[*name];
            let expected = (queue.counts(), queue.accepted, queue.settled);
            assert_eq!(((ready, leased, bytes), accepted, settled), expected, "{name}");
        }
        assert_eq!((stats.dead_letters, stats.damaged), (self.plain.dead_letters().len() as u64, 0));
    }

    /// The dead letters agree, however they are asked for.
    pub fn check_letters(&mut self) {
        let client = self.session(0).client.clone();
        let mut letters: Vec<DeadLetter> = Vec::new();
        for page in [1, 3].into_iter().chain(std::iter::repeat(100)) {
            let after = letters.last().map(|letter| (letter.queue, letter.seq));
            let next = self.wait(client.dead_letters(after, page)).unwrap();
            assert!(next.len() <= page as usize);
            if next.is_empty() {
                break;
            }
            letters.extend(next);
        }
        self.compare_letters(&letters);
    }

    fn compare_letters(&self, letters: &[DeadLetter]) {
        let places: Vec<_> = letters.iter().map(|letter| (letter.queue.0, letter.seq)).collect();
        assert_eq!(places, self.plain.dead_letters());
        for letter in letters {
            let item = &self.plain.queues[usize::from(letter.queue.0)].items[&letter.seq];
            let told = (&letter.id, &letter.payload[..], letter.attempts, &letter.reason);
            assert_eq!(told, (&item.id, &item.payload[..], item.attempts, &item.reason));
        }
    }

    /// Everything is there exactly once, and nothing else: seen by taking it all out of a copy.
    pub fn check_contents(&mut self) {
        let (dir, copy) = (support::dir(), self.copy());
        let running = self.open(dir.path(), &copy);
        let client = self.wait(running.client("inspector"));
        for (queue, name) in [QUEUES[2], QUEUES[1], QUEUES[0]] {
            let mut found = Vec::new();
            while let Leased::Items { deliveries, .. } = self.wait(client.lease(queue, want(7))).unwrap() {
                self.wait(client.settle(queue, leases(&deliveries), None)).unwrap();
                found.extend(deliveries.into_iter().map(|it| (it.lease.seq, it.id, it.payload.to_vec(), it.attempt)));
            }
            found.sort();
            let live = self.plain.queue(queue).items.iter().filter(|(_, item)| item.state != State::Dead);
            let told = live.map(|(seq, item)| (*seq, item.id.clone(), item.payload.clone(), item.attempts + 1));
            assert_eq!(found, told.collect::<Vec<_>>(), "{name}");
        }
        self.wait(running.stop());
        let running = self.open(dir.path(), &copy);
        let client = self.wait(running.client("inspector"));
        self.compare_letters(&self.wait(client.dead_letters(None, 1000)).unwrap());
        assert_eq!(QUEUES.map(|(_, name)| running.counts(name)), [(); 3].map(|()| QueueStats::default()));
        self.wait(running.stop());
    }

    pub fn end(mut self) {
        self.check_contents();
        self.stop();
    }
}
