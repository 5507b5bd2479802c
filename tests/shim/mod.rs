//! Faults of the disk and the clock for the real binary: a small library ([`shim.c`](shim.c)) that is compiled once a
//! run, preloaded into a pipeline's processes and told through a file what should go wrong.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The control file of one pipeline's processes.
pub struct Shim {
    library: PathBuf,
    control: PathBuf,
}

impl Shim {
    /// Without any fault yet; none if there is no C compiler, after saying that a test is skipped.
    pub fn new(dir: &Path) -> Option<Shim> {
        static LIBRARY: OnceLock<Option<PathBuf>> = OnceLock::new();
        let Some(library) = LIBRARY.get_or_init(compile) else {
            println!("skipped: no C compiler (cc)");
            return None;
        };
        let shim = Shim { library: library.clone(), control: dir.join("faults") };
        shim.set(&[]);
        Some(shim)
    }

    /// What [`crate::harness::Pipeline::start_in`] takes.
    pub fn environment(&self) -> [(String, String); 2] {
        let pair = |name: &str, path: &Path| (name.to_owned(), path.display().to_string());
        [pair("LD_PRELOAD", &self.library), pair("COPYDESK_SHIM", &self.control)]
    }

    /// From now on these faults happen, and no others. Counts begin again.
    pub fn set(&self, faults: &[Fault]) {
        let lines: String = faults.iter().map(|fault| format!("{}\n", fault.0)).collect();
        let whole = self.control.with_extension("new");
        std::fs::write(&whole, lines).and_then(|()| std::fs::rename(&whole, &self.control)).expect("the control file");
    }

    /// From now on nothing fails.
    pub fn clear(&self) {
        self.set(&[]);
    }
}

fn compile() -> Option<PathBuf> {
    let library = Path::new(env!("CARGO_TARGET_TMPDIR")).join("shim.so");
    // Another run of the tests may be using it, or making it.
    let own = library.with_extension(std::process::id().to_string());
    let source = crate::harness::repository("tests/shim/shim.c");
    let mut cc = Command::new("cc");
    let cc = cc.args(["-O2", "-Wall", "-Werror", "-shared", "-fPIC", &source, "-ldl", "-o"]).arg(&own).status().ok()?;
    assert!(cc.success(), "cc does not compile {source}");
    std::fs::rename(&own, &library).expect("rename");
    Some(library)
}

/// One fault in the processes of a role (`frontend`, `backend`, `worker`, `saver`), on files whose path contains `path`.
#[derive(Clone)]
pub struct Fault(String);

impl Fault {
    /// Syncs fail with EIO, from the nth on.
    pub fn sync_error(role: &str, path: &str, nth: u64) -> Fault {
        Fault(format!("{role} sync-error {path} {nth}"))
    }

    /// So many bytes more can be written: then comes a short write, then ENOSPC.
    pub fn room(role: &str, path: &str, bytes: u64) -> Fault {
        Fault(format!("{role} room {path} {bytes}"))
    }

    /// A single write writes no more than so many bytes.
    pub fn short_writes(role: &str, path: &str, bytes: u64) -> Fault {
        Fault(format!("{role} short-write {path} {bytes}"))
    }

    /// The disk says that so much is free.
    pub fn free_bytes(role: &str, path: &str, bytes: u64) -> Fault {
        Fault(format!("{role} free-bytes {path} {bytes}"))
    }

    /// The wall clock, not the monotonic one, is ahead by so much; or behind.
    pub fn clock(role: &str, seconds: i64) -> Fault {
        Fault(format!("{role} clock - {seconds}"))
    }

    /// SIGKILL right before the nth sync.
    pub fn kill_before_sync(role: &str, path: &str, nth: u64) -> Fault {
        Fault(format!("{role} kill-before-sync {path} {nth}"))
    }

    /// SIGKILL right after the nth sync.
    pub fn kill_after_sync(role: &str, path: &str, nth: u64) -> Fault {
        Fault(format!("{role} kill-after-sync {path} {nth}"))
    }

    /// SIGKILL right before the nth removal.
    pub fn kill_before_unlink(role: &str, path: &str, nth: u64) -> Fault {
        Fault(format!("{role} kill-before-unlink {path} {nth}"))
    }

    /// SIGKILL right after the nth removal.
    pub fn kill_after_unlink(role: &str, path: &str, nth: u64) -> Fault {
        Fault(format!("{role} kill-after-unlink {path} {nth}"))
    }
}

#[test]
fn the_shim_shifts_the_clock_of_whom_it_is_told_to_and_of_nobody_else() {
    let dir = tempfile::TempDir::new().expect("temp dir");
    let Some(shim) = Shim::new(dir.path()) else { return };
    shim.set(&[Fault::clock("+%s", 7_200), Fault::clock("worker", -7_200)]);
    let date = |preloaded: bool, args: &[&str]| -> i64 {
        let environment = if preloaded { shim.environment().to_vec() } else { Vec::new() };
        let output = Command::new("date").args(args).envs(environment).output().expect("date");
        String::from_utf8_lossy(&output.stdout).trim().parse().expect("seconds")
    };
    let difference = date(true, &["+%s"]) - date(false, &["+%s"]);
    assert!((7_190..7_210).contains(&difference), "{difference} s");
    let difference = date(true, &["-u", "--", "+%s "]) - date(false, &["+%s"]);
    assert!((-10..10).contains(&difference), "{difference} s");
}
