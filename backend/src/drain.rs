//! The order of a stop, as a pure state machine.
//!
//! ```text
//!  Running ──signal──> DrainingPosts ──workers gone──> DrainingResults ──savers gone──> Stopping
//! ```
//!
//! In each draining phase the queue is closed, its consumers get what is ready, and when nothing is left the STOP
//! sentinel ends them. A second signal or the deadline sends the sentinel at once (what is unfinished stays on disk);
//! children that outstay [`GRACE`] after that are killed, which loses nothing either.

use std::time::{Duration, Instant};

use common::Phase;

/// How long a child may take to finish the piece in hand once draining is cut short.
pub const GRACE: Duration = Duration::from_secs(10);
/// A signal so soon after the first is the same one: the kernel tells of a parent's death once for each of its threads
/// that this process was handed to, while they die.
pub const SAME_WITHIN: Duration = Duration::from_millis(250);
/// How often the log names who is left.
pub const REPORT_EVERY: Duration = Duration::from_secs(5);

/// What the supervisor should do. Each is given once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Refuse posts; workers get what is ready, then the sentinel.
    ClosePosts,
    /// Close the results queue; savers get what is ready, then the sentinel.
    CloseResults,
    /// Sentinel and stop order to all workers now.
    StopWorkers,
    /// Sentinel and stop order to all savers now.
    StopSavers,
    /// Kill whoever is left of the kind that is being ended.
    KillRest,
    /// Name who is left in the log.
    Report,
    /// Everybody is gone: end.
    Finish,
}

/// The state of a stop.
#[derive(Debug)]
pub struct Drain {
    timeout: Duration,
    phase: Phase,
    signalled: Option<Instant>,
    deadline: Option<Instant>,
    hurried: bool,
    /// When the sentinel was forced in this phase.
    forced: Option<Instant>,
    killed: bool,
    reported: Option<Instant>,
}

impl Drain {
    /// A pipeline that is starting. `timeout` is the whole time for draining both queues.
    pub fn new(timeout: Duration) -> Drain {
        let phase = Phase::Starting;
        let (signalled, deadline, forced, reported) = (None, None, None, None);
        Drain { timeout, phase, signalled, deadline, hurried: false, forced, killed: false, reported }
    }

    /// The phase now.
    pub fn phase(&self) -> Phase {
        self.phase
    }

    /// Every slot has been ready.
    pub fn running(&mut self) {
        if self.phase == Phase::Starting {
            self.phase = Phase::Running;
        }
    }

    /// A signal to stop. The second one hurries.
    pub fn signal(&mut self, now: Instant) -> Vec<Step> {
        if self.phase >= Phase::DrainingPosts {
            self.hurried |= self.signalled.is_some_and(|first| now >= first + SAME_WITHIN);
            return Vec::new();
        }
        self.signalled = Some(now);
        self.phase = Phase::DrainingPosts;
        self.deadline = Some(now + self.timeout);
        self.reported = Some(now);
        vec![Step::ClosePosts]
    }

    /// What is due, given how many workers and savers are left.
    pub fn next(&mut self, now: Instant, workers_left: usize, savers_left: usize) -> Vec<Step> {
        let mut steps = Vec::new();
        if self.phase < Phase::DrainingPosts || self.phase == Phase::Stopping {
            return steps;
        }
        if self.phase == Phase::DrainingPosts && workers_left == 0 {
            self.phase = Phase::DrainingResults;
            (self.forced, self.killed) = (None, false);
            steps.push(Step::CloseResults);
        }
        if self.phase == Phase::DrainingResults && savers_left == 0 {
            self.phase = Phase::Stopping;
            steps.push(Step::Finish);
            return steps;
        }
        let is_late = self.deadline.is_some_and(|deadline| now >= deadline);
        match self.forced {
            None if self.hurried || is_late => {
                self.forced = Some(now);
                steps.push(match self.phase {
                    Phase::DrainingPosts => Step::StopWorkers,
                    _ => Step::StopSavers,
                });
            }
            Some(forced) if !self.killed && now >= forced + GRACE => {
                self.killed = true;
                steps.push(Step::KillRest);
            }
            _ => {}
        }
        if self.reported.is_some_and(|reported| now >= reported + REPORT_EVERY) {
            self.reported = Some(now);
            steps.push(Step::Report);
        }
        steps
    }

    /// Whether a child that dies now should be replaced, so that what it held can still be drained.
    pub fn wants(&self, is_worker: bool) -> bool {
        match self.phase {
            Phase::Starting | Phase::Running => true,
            Phase::DrainingPosts => !is_worker || self.forced.is_none(),
            Phase::DrainingResults => !is_worker && self.forced.is_none(),
            Phase::Stopping => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIMEOUT: Duration = Duration::from_secs(60);

    fn draining(now: Instant) -> Drain {
        let mut drain = Drain::new(TIMEOUT);
        drain.running();
        assert_eq!(drain.signal(now), [Step::ClosePosts]);
        drain
    }

    #[test]
    fn workers_go_first_and_savers_after_them() {
        let now = Instant::now();
        let mut drain = draining(now);
        assert_eq!(drain.next(now, 2, 3), []);
        assert_eq!(drain.next(now, 0, 3), [Step::CloseResults]);
        assert_eq!(drain.next(now, 0, 1), []);
        assert_eq!(drain.next(now, 0, 0), [Step::Finish]);
        assert_eq!(drain.phase(), Phase::Stopping);
        assert_eq!(drain.next(now, 0, 0), []);
    }

    #[test]
    fn a_second_signal_skips_the_draining() {
        let now = Instant::now();
        let mut drain = draining(now);
        drain.signal(now + SAME_WITHIN / 2);
        assert_eq!(drain.next(now, 2, 3), [], "an echo of the first");
        drain.signal(now + SAME_WITHIN);
        assert_eq!(drain.next(now, 2, 3), [Step::StopWorkers]);
        assert_eq!(drain.next(now, 2, 3), []);
        assert_eq!(drain.next(now, 0, 3), [Step::CloseResults, Step::StopSavers]);
        assert_eq!(drain.next(now, 0, 0), [Step::Finish]);
    }

    #[test]
    fn the_deadline_skips_the_draining_and_the_grace_ends_in_a_kill() {
        let now = Instant::now();
        let mut drain = draining(now);
        let late = now + TIMEOUT;
        assert_eq!(drain.next(late, 1, 1), [Step::StopWorkers, Step::Report]);
        assert_eq!(drain.next(late + GRACE, 1, 1), [Step::KillRest, Step::Report]);
        assert_eq!(drain.next(late + GRACE, 0, 1), [Step::CloseResults, Step::StopSavers]);
    }

    #[test]
    fn who_is_left_is_named_every_five_seconds() {
        let now = Instant::now();
        let mut drain = draining(now);
        assert_eq!(drain.next(now + REPORT_EVERY, 1, 1), [Step::Report]);
        assert_eq!(drain.next(now + REPORT_EVERY, 1, 1), []);
        assert_eq!(drain.next(now + 2 * REPORT_EVERY, 1, 1), [Step::Report]);
    }

    #[test]
    fn a_child_that_dies_while_draining_is_replaced_as_long_as_it_has_work() {
        let now = Instant::now();
        let mut drain = draining(now);
        assert!(drain.wants(true) && drain.wants(false));
        drain.next(now, 0, 1);
        assert!(!drain.wants(true) && drain.wants(false));
        drain.signal(now + SAME_WITHIN);
        drain.next(now, 0, 1);
        assert!(!drain.wants(false));
    }

    #[test]
    fn without_workers_the_results_are_drained_at_once() {
        let now = Instant::now();
        let mut drain = draining(now);
        assert_eq!(drain.next(now, 0, 0), [Step::CloseResults, Step::Finish]);
    }
}
