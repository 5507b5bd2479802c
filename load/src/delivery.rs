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
        let mut results: Vec<Option<Rejected>> = vec![None; count];
        let is_complete = answer.is_complete_for(count);
        let message = answer.message;
        for item in answer.rejected {
            match results.get_mut(item.index) {
                Some(result @ None) => *result = Some(item),
                _ => return self.hear(Reply::Lost("its answer rejects posts that were not sent".to_owned())),
            }
        }
        let mut heard = Heard { accepted: 0, duplicates: 0, refused: Vec::new(), next: Next::Done };
        if is_complete {
            // The answer does not say which posts are duplicates. After a lost try they are taken for our own.
            match self.in_doubt {
                true => heard.accepted = answer.accepted + answer.duplicates,
                false => (heard.accepted, heard.duplicates) = (answer.accepted, answer.duplicates),
            }
        } else {
            // Which posts its counts are of is not known, so all that it does not refuse by name are sent again, and
            // counted when they come back as duplicates.
            self.in_doubt = true;
        }
        let mut reason = None;
        let mut pending = Vec::new();
        for (index, result) in std::mem::take(&mut self.pending).into_iter().zip(results) {
            match result {
                None if is_complete => {}
                None => pending.push(index),
                Some(item) if !item.retryable => heard.refused.push((index, item)),
                Some(item) => {
                    self.in_doubt |= !item.is_surely_not_stored();
                    reason.get_or_insert_with(|| format!("{}: {}", item.code, item.message));
                    pending.push(index);
                }
            }
        }
        self.pending = pending;
        if self.pending.len() < count {
            self.failures = 0;
        }
        if !self.pending.is_empty() {
            let reason = message.or(reason).unwrap_or_else(|| "its answer leaves posts out".to_owned());
            heard.next = self.again(retry_after, reason);
        }
        heard
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
            let code = if retryable { "queue_full" } else { "nul_byte" };
            Rejected { index, id: None, code: code.to_owned(), message: String::new(), retryable }
        };
        let rejected = rejected.iter().map(item).collect();
        let answer = Answer { accepted, duplicates, rejected, ..Answer::default() };
        Reply::Results { answer, retry_after: None }
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
    fn a_duplicate_after_a_full_queue_is_not_our_own_but_after_an_unavailable_one_it_is() {
        for (code, expected) in [("queue_full", (1, 1, vec![])), ("queue_unavailable", (2, 0, vec![]))] {
            let mut delivery = Delivery::new(2);
            let Reply::Results { mut answer, .. } = results(0, 0, &[(0, true), (1, true)]) else { unreachable!() };
            code.clone_into(&mut answer.rejected[0].code);
            delivery.hear(Reply::Results { answer, retry_after: None });
            assert_eq!(counts(&delivery.hear(results(1, 1, &[]))), expected, "{code}");
        }
    }

    #[test]
    fn an_answer_about_some_posts_settles_what_it_names_and_the_rest_is_sent_again() {
        let odd = [
            Answer { unread_from: Some(3), ..Answer::default() },
            Answer { accepted: 0, rejected_total: Some(6), ..Answer::default() },
            Answer { accepted: 3, ..Answer::default() },
            Answer { accepted: u64::MAX, duplicates: 3, ..Answer::default() },
        ];
        for odd in odd {
            let mut delivery = Delivery::new(6);
            let Reply::Results { answer, .. } = results(0, 0, &[(1, false), (2, true)]) else { unreachable!() };
            let answer = Answer { rejected: answer.rejected, ..odd };
            let heard = delivery.hear(Reply::Results { answer, retry_after: None });
            assert_eq!(counts(&heard), (0, 0, vec![1]));
            assert_eq!(delivery.pending(), [0, 2, 3, 4, 5]);
            assert_eq!(counts(&delivery.hear(results(2, 3, &[]))), (5, 0, vec![]));
        }
    }

    #[test]
    fn an_answer_about_other_posts_is_a_lost_one() {
        for odd in [results(1, 0, &[(2, false)]), results(0, 0, &[(0, false), (0, true)])] {
            let mut delivery = Delivery::new(2);
            let heard = delivery.hear(odd);
            assert_eq!(counts(&heard), (0, 0, vec![]));
            assert!(matches!(heard.next, Next::Again { .. }));
            assert_eq!(counts(&delivery.hear(results(0, 2, &[]))), (2, 0, vec![]));
        }
    }
}
