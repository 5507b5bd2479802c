//! How long to wait before a repeat.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(100);
const LONGEST: Duration = Duration::from_secs(5);
/// What a server may ask for: never so short that it is asked in a busy loop, never so long that a typing error in a
/// proxy's settings stops a load.
const ASKED: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(60)];

/// The pause after the `failures`-th failure in a row (counted from 1). What the server asked for is a lower bound;
/// otherwise the pause doubles up to five seconds. Jitter keeps the senders from coming back all at once.
pub fn pause(failures: u32, asked: Option<Duration>) -> Duration {
    match asked {
        Some(asked) => asked.clamp(ASKED[0], ASKED[1]).mul_f64(1.0 + 0.1 * random()),
        None => {
            let doubled = FIRST.saturating_mul(1 << failures.saturating_sub(1).min(16)).min(LONGEST);
            doubled.mul_f64(0.5 + 0.5 * random())
        }
    }
}

/// From 0 to 1. The hasher's keys are the standard library's only source of randomness, and good enough for jitter.
fn random() -> f64 {
    RandomState::new().build_hasher().finish() as f64 / u64::MAX as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound() {
        for failures in [0, 1, 2, 5, 40, u32::MAX] {
            let pause = pause(failures, None);
            assert!(pause >= FIRST / 2 && pause <= LONGEST, "{failures}: {pause:?}");
        }
        assert!(pause(8, None) >= LONGEST / 2);
    }

    #[test]
    fn what_the_server_asks_for_is_the_least_pause_within_reason() {
        let asked = |seconds| pause(1, Some(Duration::from_secs(seconds)));
        assert!(asked(3) >= Duration::from_secs(3) && asked(3) < Duration::from_secs(4));
        assert!(asked(0) >= Duration::from_millis(100));
        assert!(asked(86_400) <= Duration::from_secs(66));
    }
}
