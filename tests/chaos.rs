//! Kills at random under load, again and again, and one verdict at the end.
//!
//! `COPYDESK_CHAOS_CYCLES` says how many (12 if it does not), `COPYDESK_CHAOS_SEED` repeats the choices of an earlier
//! run; what they meet is up to the machine:
//! ```text
//! COPYDESK_CHAOS_CYCLES=1000 cargo test -p copydesk --test pipeline -- --nocapture chaos
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::client::{Client, Load};
use crate::harness::{Pipeline, sample_posts, wait_for};
use crate::processes::{command_line, descendants};

/// Cycles if nothing else is said.
const CYCLES: u64 = 12;

/// Posts acknowledged between two blows, or batches saved, at most.
const POSTS_BETWEEN_MAX: u64 = 80;
const BATCHES_BETWEEN_MAX: u64 = 8;
/// How long they are waited for: with every worker dead, say, nothing is saved and the queue is full.
const BETWEEN_MAX: Duration = Duration::from_millis(600);

/// Random numbers that a seed repeats (SplitMix64).
pub struct Dice(pub u64);

impl Dice {
    /// A number below `bound`.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ mixed >> 31) % bound
    }
}

/// A pipeline that is struck.
struct Chaos {
    pipeline: Pipeline,
    client: Client,
    dice: Dice,
    /// Children that are stopped until one of the next cycles.
    stopped: Vec<Pid>,
    blows: BTreeMap<&'static str, u64>,
}

impl Chaos {
    fn cycle(&mut self) {
        let blow = match self.dice.below(100) {
            0..34 => self.kill_backend(),
            34..55 => self.kill_child("worker"),
            55..76 => self.kill_child("saver"),
            76..84 => self.end_frontend(Signal::SIGKILL),
            84..87 => self.end_frontend(Signal::SIGTERM),
            87..91 => self.stop_child("worker"),
            91..94 => self.stop_child("saver"),
            94..97 => self.pause_backend(),
            _ => self.terminate_backend(),
        };
        *self.blows.entry(blow).or_default() += 1;
        self.go_on();
        if self.dice.below(2) == 0 {
            self.wake();
        }
    }

    /// Lets the load go on for a moment: until some more posts are acknowledged, or some batches are saved.
    fn go_on(&mut self) {
        let saved = |pipeline: &Pipeline| pipeline.queue()?["queues"]["results"]["settled"].as_u64();
        let is_saving = self.dice.below(2) == 0;
        let more = self.dice.below(if is_saving { BATCHES_BETWEEN_MAX } else { POSTS_BETWEEN_MAX });
        let (posts, batches) = (self.client.ledger.acknowledged(), saved(&self.pipeline).unwrap_or(0));
        let deadline = Instant::now() + BETWEEN_MAX;
        wait_for("posts", || {
            assert!(!self.pipeline.backend.has_ended(), "the backend ended by itself: {}", self.pipeline.log());
            let is_enough = match is_saving {
                true => saved(&self.pipeline).is_some_and(|now| now >= batches + more),
                false => self.client.ledger.acknowledged() >= posts + more as usize,
            };
            (is_enough || Instant::now() > deadline).then_some(())
        });
    }

    fn kill_backend(&mut self) -> &'static str {
        self.pipeline.backend.signal(Signal::SIGKILL);
        self.pipeline.backend.wait("the backend's end");
        self.stopped.clear();
        self.pipeline.spawn_backend();
        "backend SIGKILL"
    }

    /// A stop: often with a second signal, which cuts it short.
    fn terminate_backend(&mut self) -> &'static str {
        self.wake();
        self.pipeline.backend.signal(Signal::SIGTERM);
        if self.dice.below(2) == 0 {
            self.go_on_while_it_ends();
            self.pipeline.backend.signal(Signal::SIGTERM);
        }
        let status = self.pipeline.backend.wait("the backend's end");
        // A signal that comes before anybody listens to it ends a process, too.
        let is_killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(Signal::SIGTERM as i32);
        assert!(status.success() || is_killed, "{status}: {}", self.pipeline.log());
        self.pipeline.spawn_backend();
        "backend SIGTERM"
    }

    fn go_on_while_it_ends(&mut self) {
        let deadline = Instant::now() + Duration::from_millis(self.dice.below(100));
        wait_for("a moment", || (Instant::now() > deadline).then_some(()));
    }

    fn pause_backend(&mut self) -> &'static str {
        self.pipeline.backend.signal(Signal::SIGSTOP);
        self.go_on();
        self.pipeline.backend.signal(Signal::SIGCONT);
        "backend SIGSTOP"
    }

    fn end_frontend(&mut self, signal: Signal) -> &'static str {
        self.pipeline.frontend.signal(signal);
        self.pipeline.frontend.wait("the frontend's end");
        self.pipeline.restart_frontend();
        self.client.turn_to(&self.pipeline.url);
        if signal == Signal::SIGKILL { "frontend SIGKILL" } else { "frontend SIGTERM" }
    }

    fn kill_child(&mut self, role: &'static str) -> &'static str {
        let victim = self.victim(role);
        // It may have ended in this moment.
        let _ = kill(victim, Signal::SIGKILL);
        if role == "worker" { "worker SIGKILL" } else { "saver SIGKILL" }
    }

    fn stop_child(&mut self, role: &'static str) -> &'static str {
        let victim = self.victim(role);
        let _ = kill(victim, Signal::SIGSTOP);
        self.stopped.push(victim);
        if role == "worker" { "worker SIGSTOP" } else { "saver SIGSTOP" }
    }

    /// One of the children of a kind; the next if there is none now.
    fn victim(&mut self, role: &str) -> Pid {
        let choice = self.dice.below(1 << 32) as usize;
        let word = format!("copydesk {role} ");
        wait_for("a victim", || {
            let family = descendants(self.pipeline.backend.pid());
            let children: Vec<_> = family.into_iter().filter(|&pid| command_line(pid).contains(&word)).collect();
            Some(Pid::from_raw(*children.get(choice % children.len().max(1))?))
        })
    }

    fn wake(&mut self) {
        for pid in self.stopped.drain(..) {
            let _ = kill(pid, Signal::SIGCONT);
        }
    }
}

fn setting(name: &str) -> Option<u64> {
    Some(std::env::var(name).ok()?.parse().expect("a number in the environment"))
}

#[test]
fn chaos_under_load_loses_nothing_and_counts_nothing_twice() {
    let cycles = setting("COPYDESK_CHAOS_CYCLES").unwrap_or(CYCLES);
    let now = || std::time::SystemTime::UNIX_EPOCH.elapsed().expect("a clock").subsec_nanos();
    let seed = setting("COPYDESK_CHAOS_SEED").unwrap_or_else(|| u64::from(now()));
    println!("{cycles} cycles, COPYDESK_CHAOS_SEED={seed}");

    let began = Instant::now();
    let dir = TempDir::new().expect("temp dir");
    // No post is given up for what happens to its workers here. A short queue fills, so that clients are put off, too.
    let args =
        ["--mentions", "--flush-interval=20ms", "--max-deliveries=100", "--drain-timeout=1s", "--posts-max=2000"];
    let pipeline = Pipeline::start(dir.path(), &args);
    let is_over = Arc::new(AtomicBool::new(false));
    let over = Arc::clone(&is_over);
    let posts = sample_posts(usize::MAX).take_while(move |_| !over.load(Ordering::Relaxed));
    // So large that segments of the log come and go in a long run.
    let load = Load { threads: 3, batch: 10, pause_max: Duration::from_millis(50), padding: 8 << 10 };
    let client = Client::start(&pipeline.url, posts, load);
    let mut chaos = Chaos { pipeline, client, dice: Dice(seed), stopped: Vec::new(), blows: BTreeMap::new() };
    for cycle in 1..=cycles {
        chaos.cycle();
        if cycle % 100 == 0 {
            println!("{cycle} cycles, {:.0?}, {} posts", began.elapsed(), chaos.client.ledger.acknowledged());
        }
    }
    let struck = began.elapsed();
    chaos.wake();
    is_over.store(true, Ordering::Relaxed);
    let Chaos { pipeline, client, blows, .. } = chaos;
    let (refused, duplicates) = (client.refused(), client.duplicates());
    let ledger = client.finish();
    pipeline.wait_counted();
    let queue = pipeline.queue().expect("an answer");
    assert_eq!((&queue["dead_letters"], &queue["damaged"]), (&0.into(), &0.into()), "seed {seed}: {queue}");
    pipeline.stop();
    let verdict = ledger.verdict(dir.path(), &[]);
    println!("{cycles} cycles in {struck:.0?} ({:.0?} with the end), seed {seed}: {blows:?}", began.elapsed());
    println!("requests put off {refused}, posts sent again although they had been taken {duplicates}");
    verdict.assert_clean();
    assert_eq!(verdict.saved, verdict.acknowledged, "seed {seed}");
    for log in ["backend.log", "frontend.log"] {
        let log = std::fs::read_to_string(dir.path().join(log)).expect("a log");
        let panicked = log.lines().find(|line| line.contains("panicked"));
        assert_eq!(panicked, None, "seed {seed}");
    }
}
