//! Twenty faults, and the tests that inject them into the real binary. In all of them nothing that was acknowledged is
//! lost, and nothing is counted twice: [`crate::checker`] judges that. Times are not waited for, seeds are printed.
//!
//! | # | fault | tests |
//! |---|---|---|
//! | 1 | SIGKILL of the queue manager under load | `log` |
//! | 2 | power loss: what was not synced is gone | `queue/tests` |
//! | 3 | torn last record | `log` |
//! | 4 | flipped bit in the middle of the log | `log` |
//! | 5 | crash between the last settlement of a segment and the removal of its file | `log` |
//! | 6 | a sync fails | `disk` |
//! | 7 | the disk is full on intake | `disk` |
//! | 8 | SIGKILL of a worker in the middle of its work | `children` |
//! | 9 | a post that kills its worker each time | `children` |
//! | 10 | a worker that hangs past its lease and wakes | `children` |
//! | 11 | a saver is killed after its commit, before its settlement | `store` |
//! | 12 | the store is busy, locked or full | `store` |
//! | 13 | a client goes away in the middle of a body, or retries after a lost answer | `clients` |
//! | 14 | a slow or malicious client | `clients`, `frontend/tests` |
//! | 15 | the network between processes and the queue is cut, slow or out of order | `network` |
//! | 16 | SIGTERM at full load | `shutdown`, `stops` |
//! | 17 | the supervisor is killed | `shutdown`, `stops`, `processes` |
//! | 18 | two queue managers on one directory; a child in a crash loop | `shutdown`, `children` |
//! | 19 | the clock jumps; a limit of descriptors or memory is reached | `limits` |
//! | 20 | upgrade and downgrade with data on disk | `upgrade` |

mod children;
mod clients;
mod disk;
mod limits;
mod log;
mod network;
mod proxy;
mod raw;
mod shutdown;
mod store;
mod upgrade;
