//! The delivery of one batch, as a state machine: replies go in, what to count and what to do next comes out. Sends
//! nothing and waits for nothing itself.

use std::time::Duration;

use crate::answer::{Answer, Rejected, Reply};
use crate::backoff;

/// What is left of a batch.
#[derive(Debug)]
pub struct Delivery {
    /// Posts without a final result, in order.
    pending: Vec<usize>,
    /// Whether an earlier try may have been taken without our learning of it. Never unset: a server that is full need
    /// not look whether it has a post already, so the duplicate may show several tries later.
    in_doubt: bool,
    /// Since something was last dealt with.
    failures: u32,
}

/// What one reply means.
#[derive(Debug, PartialEq, Eq)]
pub struct Heard {
    pub accepted: u64,
    pub duplicates: u64,
    /// Refused for good, by index in the batch.
    pub refused: Vec<(usize, Rejected)>,
    pub next: Next,
}

/// What to do with the posts that are left.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// There are none.
    Done,
    /// Send them again after the pause.
    Again { pause: Duration, reason: String },
    /// They will never be taken.
    Never(String),
}

impl Delivery {
    /// Of a batch of so many posts.
    pub fn new(count: usize) -> Delivery {
        Delivery { pending: (0..count).collect(), in_doubt: false, failures: 0 }
    }

    /// The posts to send, by index in the batch.
    pub fn pending(&self) -> &[usize] {
        &self.pending
    }

    /// Takes the reply to a request with the pending posts.
    pub fn hear(&mut self, reply: Reply) -> Heard {
        let next = match reply {
            Reply::Results { answer, retry_after } => return self.settle(answer, retry_after),
            Reply::Unreachable(reason) => self.again(None, reason),
            Reply::Busy { retry_after, reason } => self.again(retry_after, reason),
            Reply::Lost(reason) => {
                self.in_doubt = true;
                self.again(None, reason)
            }
            Reply::Refused(reason) => Next::Never(reason),
        };
        Heard { accepted: 0, duplicates: 0, refused: Vec::new(), next }
    }

    fn settle(&mut self, answer: Answer, retry_after: Option<Duration>) -> Heard {
        let count = self.pending.len();
        let told = answer.accepted.saturating_add(answer.duplicates).saturating_add(answer.rejected.len() as u64);
        let mut seen = vec![false; count];
        let distinct = answer
            .rejected
            .iter()
            .all(|item| seen.get_mut(item.index).is_some_and(|seen| !std::mem::replace(seen, true)));
        if told != count as u64 || !distinct {
            return self.hear(Reply::Lost(format!("an answer about {told} posts to a request with {count}")));
        }
        let (again, refused): (Vec<_>, Vec<_>) = answer.rejected.into_iter().partition(|item| item.retryable);
        let reason = again.first().map(|item| format!("{}: {}", item.code, item.message));
        let refused = refused.into_iter().map(|item| (self.pending[item.index], item)).collect();
        let mut pending: Vec<_> = again.into_iter().map(|item| self.pending[item.index]).collect();
        pending.sort_unstable();
        if pending.len() < count {
            self.failures = 0;
        }
        self.pending = pending;
        // The answer does not say which posts are duplicates. After a lost try they are taken for our own.
        let (accepted, duplicates) = match self.in_doubt {
            true => (answer.accepted + answer.duplicates, 0),
            false => (answer.accepted, answer.duplicates),
        };
        let next = match reason {
            Some(reason) => self.again(retry_after, reason),
            None => Next::Done,
        };
        Heard { accepted, duplicates, refused, next }
    }

    fn again(&mut self, asked: Option<Duration>, reason: String) -> Next {
        self.failures = self.failures.saturating_add(1);
        Next::Again { pause: backoff::pause(self.failures, asked), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn results(accepted: u64, duplicates: u64, rejected: &[(usize, bool)]) -> Reply {
        let item = |&(index, retryable): &(usize, bool)| {
            let (code, message) = ("code".to_owned(), "message".to_owned());
            Rejected { index, id: None, code, message, retryable }
        };
        let rejected = rejected.iter().map(item).collect();
        Reply::Results { answer: Answer { accepted, duplicates, rejected }, retry_after: None }
    }

    fn counts(heard: &Heard) -> (u64, u64, Vec<usize>) {
        (heard.accepted, heard.duplicates, heard.refused.iter().map(|(index, _)| *index).collect())
    }

    #[test]
    fn a_duplicate_on_the_first_try_is_a_duplicate() {
        let mut delivery = Delivery::new(3);
        let heard = delivery.hear(results(1, 2, &[]));
        assert_eq!((counts(&heard), heard.next), ((1, 2, vec![]), Next::Done));
    }

    #[test]
    fn a_duplicate_after_a_lost_answer_is_our_own() {
        let mut delivery = Delivery::new(3);
        assert!(matches!(delivery.hear(Reply::Lost("reset".into())).next, Next::Again { .. }));
        assert_eq!(delivery.pending(), [0, 1, 2]);
        let heard = delivery.hear(results(1, 2, &[]));
        assert_eq!((counts(&heard), heard.next), ((3, 0, vec![]), Next::Done));
    }

    #[test]
    fn a_duplicate_after_a_refused_connection_is_not_our_own() {
        let mut delivery = Delivery::new(1);
        delivery.hear(Reply::Unreachable("refused".into()));
        delivery.hear(Reply::Busy { retry_after: None, reason: "503".into() });
        assert_eq!(counts(&delivery.hear(results(0, 1, &[]))), (0, 1, vec![]));
    }

    #[test]
    fn what_is_left_shrinks_and_keeps_its_order() {
        let mut delivery = Delivery::new(6);
        let heard = delivery.hear(results(2, 0, &[(5, true), (1, false), (0, true), (3, true)]));
        assert_eq!(counts(&heard), (2, 0, vec![1]));
        assert_eq!(delivery.pending(), [0, 3, 5]);
        let heard = delivery.hear(results(2, 0, &[(2, false)]));
        assert_eq!((counts(&heard), heard.next), ((2, 0, vec![5]), Next::Done));
    }

    #[test]
    fn an_answer_that_does_not_add_up_is_a_lost_one() {
        for odd in [
            results(1, 0, &[]),
            results(3, 0, &[]),
            results(1, 0, &[(2, false)]),
            results(0, 0, &[(0, true), (0, true)]),
            results(u64::MAX, 3, &[]),
        ] {
            let mut delivery = Delivery::new(2);
            let heard = delivery.hear(odd);
            assert_eq!(counts(&heard), (0, 0, vec![]));
            assert!(matches!(heard.next, Next::Again { .. }));
            assert_eq!(counts(&delivery.hear(results(0, 2, &[]))), (2, 0, vec![]));
        }
    }
}
