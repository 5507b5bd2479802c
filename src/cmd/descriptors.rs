//! File descriptors: every connection is one, and the usual limit of a process is 1,024 although the system would allow
//! it far more.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// How many descriptors of this process are left for connections when it needs `others` for other things: `wanted`, if
/// its limit can be raised so far. Says so if it can't; then it takes fewer connections, so that it never lacks a
/// descriptor for what has to go on.
pub fn for_connections(wanted: u64, others: u64) -> usize {
    let needed = wanted + others;
    // A system that can't say is not likely to count.
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap_or((needed, needed));
    let limit = match soft {
        enough if enough >= needed => enough,
        _ => match setrlimit(Resource::RLIMIT_NOFILE, hard.min(needed), hard) {
            Ok(()) => hard.min(needed),
            Err(_) => soft,
        },
    };
    let left = limit.saturating_sub(others).min(wanted);
    if left < wanted {
        tracing::warn!(
            limit,
            needed,
            connections = left,
            "the limit of file descriptors is low, so fewer connections are taken; raise it: LimitNOFILE= in a systemd \
             unit, minfds= for supervisord, `ulimit -Hn` in a shell of root"
        );
    }
    usize::try_from(left).unwrap_or(usize::MAX)
}
