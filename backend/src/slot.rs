//! The life of one child, as a pure state machine: facts and the time go in, the next thing to do comes out. It starts
//! no process and reads no clock, so every rule below is a table test.
//!
//! ```text
//!   Vacant ──spawn──> Starting ──ready──> Running ──told to stop, exits 0──> Done
//!     ^                  │ dies / too slow    │ dies / silent
//!     └────── backoff ───┴────────────────────┘   five deaths in a minute: the slot is degraded
//! ```

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Pause before the first restart; doubles with every death, up to [`BACKOFF_MAX`].
const BACKOFF_MIN: Duration = Duration::from_millis(100);
const BACKOFF_MAX: Duration = Duration::from_secs(30);
/// A child that lived so long starts afresh: its next death is its first.
const HEALTHY_AFTER: Duration = Duration::from_secs(60);
/// So many deaths within [`CRASH_WINDOW`] make a crash loop.
const CRASHES: usize = 5;
const CRASH_WINDOW: Duration = Duration::from_secs(60);
/// A child that is not ready by then is killed. Loading a large model from a cold disk takes half a minute.
const START_MAX: Duration = Duration::from_secs(120);

/// Where a child is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// No process; one may be started from then on.
    Vacant(Instant),
    /// A process, not ready yet.
    Starting(Instant),
    /// A process at work, and when it started.
    Running(Instant),
    /// It was told to end and did, or is no longer wanted.
    Done,
}

/// What the supervisor should do about a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Action {
    /// Nothing.
    Wait,
    /// Start a process.
    Spawn,
    /// Kill the process: the reason is for the log.
    Kill(&'static str),
}

/// One place for a child.
#[derive(Debug)]
pub struct Slot {
    state: State,
    heard: Instant,
    silence_max: Duration,
    killed: bool,
    deaths: VecDeque<Instant>,
    backoff: Duration,
    restarts: u64,
    degraded: bool,
}

impl Slot {
    /// An empty slot that wants a child at once. A child that has not beaten for `silence_max` is stuck, and is killed.
    pub fn new(now: Instant, silence_max: Duration) -> Slot {
        Slot {
            state: State::Vacant(now),
            heard: now,
            silence_max,
            killed: false,
            deaths: VecDeque::new(),
            backoff: BACKOFF_MIN,
            restarts: 0,
            degraded: false,
        }
    }

    /// Where the child is in its life.
    pub fn state(&self) -> State {
        self.state
    }

    /// How long nothing was heard of the child; zero if there is none.
    pub fn silence(&self, now: Instant) -> Duration {
        if self.is_alive() { now - self.heard } else { Duration::ZERO }
    }

    /// How often a child was started again.
    pub fn restarts(&self) -> u64 {
        self.restarts
    }

    /// Whether the child is in a crash loop; cleared when one has been healthy for a minute.
    pub fn is_degraded(&self) -> bool {
        self.degraded
    }

    /// Whether a process is there.
    pub fn is_alive(&self) -> bool {
        matches!(self.state, State::Starting(_) | State::Running(_))
    }

    /// What is due now. `wanted` is whether a vacant slot should be filled at all. A kill is asked for once.
    pub fn due(&mut self, now: Instant, wanted: bool) -> Action {
        let action = self.next(now, wanted);
        match action {
            Action::Kill(_) if self.killed => Action::Wait,
            Action::Kill(_) => {
                self.killed = true;
                action
            }
            Action::Wait | Action::Spawn => action,
        }
    }

    fn next(&mut self, now: Instant, wanted: bool) -> Action {
        match self.state {
            State::Vacant(_) if !wanted => {
                self.state = State::Done;
                Action::Wait
            }
            State::Vacant(from) if now >= from => Action::Spawn,
            State::Starting(since) if now - since > START_MAX => Action::Kill("it was not ready in time"),
            State::Running(_) if now - self.heard > self.silence_max => {
                Action::Kill("it has not reported for too long")
            }
            State::Running(since) if self.degraded && now - since > HEALTHY_AFTER => {
                self.degraded = false;
                Action::Wait
            }
            _ => Action::Wait,
        }
    }

    /// A process was started.
    pub fn spawned(&mut self, now: Instant) {
        self.state = State::Starting(now);
        self.heard = now;
        self.killed = false;
    }

    /// The process reported that it is ready.
    pub fn ready(&mut self, now: Instant) {
        self.state = State::Running(now);
        self.heard = now;
    }

    /// The process reported that it is alive.
    pub fn beat(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The process ended, or could not be started. `finished` is whether it had been given the sentinel or an order to
    /// stop and left with exit code 0; anything else is a death. `jitter` in 0..1 spreads the restarts of many slots.
    pub fn ended(&mut self, now: Instant, finished: bool, jitter: f64) {
        if finished {
            self.state = State::Done;
            return;
        }
        if let State::Running(since) = self.state
            && now - since > HEALTHY_AFTER
        {
            self.backoff = BACKOFF_MIN;
            self.deaths.clear();
        }
        self.deaths.push_back(now);
        while self.deaths.front().is_some_and(|&death| now - death > CRASH_WINDOW) {
            self.deaths.pop_front();
        }
        self.degraded |= self.deaths.len() >= CRASHES;
        self.restarts += 1;
        self.state = State::Vacant(now + self.backoff.mul_f64(0.75 + 0.5 * jitter));
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JITTER: f64 = 0.5;
    const SILENCE_MAX: Duration = Duration::from_secs(120);

    fn seconds(count: f64) -> Duration {
        Duration::from_secs_f64(count)
    }

    fn running(now: Instant) -> Slot {
        let mut slot = Slot::new(now, SILENCE_MAX);
        assert_eq!(slot.due(now, true), Action::Spawn);
        slot.spawned(now);
        slot.ready(now);
        slot
    }

    #[test]
    fn a_dead_child_is_replaced_after_a_pause_that_doubles() {
        let mut now = Instant::now();
        let mut slot = running(now);
        for pause in [0.1, 0.2, 0.4, 0.8] {
            slot.ended(now, false, JITTER);
            assert_eq!(slot.due(now + seconds(pause * 0.9), true), Action::Wait);
            now += seconds(pause * 1.01);
            assert_eq!(slot.due(now, true), Action::Spawn);
            slot.spawned(now);
            slot.ready(now);
        }
        assert_eq!(slot.restarts(), 4);
    }

    #[test]
    fn the_pause_has_an_upper_bound() {
        let mut now = Instant::now();
        let mut slot = running(now);
        for _ in 0..20 {
            slot.ended(now, false, 1.0);
            now += BACKOFF_MAX * 2;
            assert_eq!(slot.due(now, true), Action::Spawn);
            slot.spawned(now);
        }
    }

    #[test]
    fn a_healthy_minute_forgives_earlier_deaths() {
        let start = Instant::now();
        let mut slot = running(start);
        for _ in 0..3 {
            slot.ended(start, false, JITTER);
            slot.spawned(start);
            slot.ready(start);
        }
        let later = start + seconds(61.0);
        slot.beat(later);
        slot.ended(later, false, JITTER);
        assert_eq!(slot.due(later + seconds(0.11), true), Action::Spawn);
    }

    #[test]
    fn five_deaths_in_a_minute_degrade_the_slot_until_it_is_healthy() {
        let start = Instant::now();
        let mut slot = running(start);
        for death in 1..=5 {
            assert!(!slot.is_degraded(), "before death {death}");
            slot.ended(start + seconds(f64::from(death)), false, JITTER);
            slot.spawned(start + seconds(f64::from(death)));
        }
        assert!(slot.is_degraded());
        slot.ready(start + seconds(6.0));
        slot.beat(start + seconds(67.0));
        slot.due(start + seconds(67.0), true);
        assert!(!slot.is_degraded());
    }

    #[test]
    fn a_finished_child_is_not_replaced() {
        let now = Instant::now();
        let mut slot = running(now);
        slot.ended(now, true, JITTER);
        assert_eq!(slot.state(), State::Done);
        assert_eq!(slot.due(now + seconds(100.0), true), Action::Wait);
    }

    #[test]
    fn a_vacant_slot_that_is_not_wanted_is_done() {
        let now = Instant::now();
        let mut slot = running(now);
        slot.ended(now, false, JITTER);
        assert_eq!(slot.due(now, false), Action::Wait);
        assert_eq!(slot.state(), State::Done);
    }

    #[test]
    fn silence_is_counted_from_the_last_word_of_a_living_child() {
        let now = Instant::now();
        let mut slot = running(now);
        slot.beat(now + seconds(5.0));
        assert_eq!(slot.silence(now + seconds(25.0)), seconds(20.0));
        slot.ended(now + seconds(25.0), false, JITTER);
        assert_eq!(slot.silence(now + seconds(30.0)), Duration::ZERO);
    }

    #[test]
    fn silence_and_slow_starts_are_ended() {
        let now = Instant::now();
        let mut slot = running(now);
        slot.beat(now + seconds(100.0));
        assert_eq!(slot.due(now + seconds(210.0), true), Action::Wait);
        assert!(matches!(slot.due(now + seconds(221.0), true), Action::Kill(_)));
        assert_eq!(slot.due(now + seconds(222.0), true), Action::Wait, "it is killed once");
        slot.ended(now, false, JITTER);
        slot.spawned(now);
        assert!(matches!(slot.due(now + seconds(121.0), true), Action::Kill(_)));
    }
}
