//! Real processes with telling names, tied to each other.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::harness::{Pipeline, is_gone, repository, wait_for};

/// All processes below one, from /proc.
pub fn descendants(root: i32) -> Vec<i32> {
    let mut family = vec![root];
    let mut parents = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("/proc").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        let Ok(stat) = std::fs::read_to_string(entry.path().join("stat")) else { continue };
        let parent = stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<i32>().ok());
        parents.push((pid, parent.unwrap_or(0)));
    }
    let mut next = 0;
    while next < family.len() {
        let parent = family[next];
        family.extend(parents.iter().filter(|(_, of)| *of == parent).map(|(pid, _)| *pid));
        next += 1;
    }
    family.split_off(1)
}

/// The words a process was started with.
pub fn command_line(pid: i32) -> String {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default().replace('\0', " ")
}

#[test]
fn ps_shows_every_process_by_its_role() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &["--workers=3", "--savers=2"]);
    assert!(command_line(pipeline.frontend.pid()).contains("copydesk frontend"));
    assert!(command_line(pipeline.backend.pid()).contains("copydesk backend"));
    let lines: Vec<_> = descendants(pipeline.backend.pid()).into_iter().map(command_line).collect();
    for (role, count) in [("copydesk worker --slot", 3), ("copydesk saver --slot", 2)] {
        assert_eq!(lines.iter().filter(|line| line.contains(role)).count(), count, "{role}: {lines:?}");
    }
    pipeline.stop();
}

#[test]
fn a_killed_worker_is_replaced() {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &[]);
    let before = pipeline.children("workers");
    assert_eq!(before.len(), 2);
    kill(Pid::from_raw(before[0]), Signal::SIGKILL).expect("kill");
    wait_for("a new worker", || {
        let now = pipeline.children("workers");
        (now.len() == 2 && !now.contains(&before[0])).then_some(())
    });
    pipeline.stop();
}

#[test]
fn workers_and_savers_die_with_their_supervisor() {
    let dir = TempDir::new().expect("temp dir");
    let mut pipeline = Pipeline::start(dir.path(), &[]);
    let children = descendants(pipeline.backend.pid());
    assert_eq!(children.len(), 4);
    // Also one that can't do anything for it.
    kill(Pid::from_raw(children[0]), Signal::SIGSTOP).expect("stop a child");
    pipeline.backend.signal(Signal::SIGKILL);
    pipeline.backend.wait("the backend's end");
    wait_for("the end of its children", || children.iter().all(|&pid| is_gone(pid)).then_some(()));
}

/// Most private memory of the workers of a pipeline that has worked a little.
fn private_bytes(engine: &str) -> u64 {
    let dir = TempDir::new().expect("temp dir");
    let pipeline = Pipeline::start(dir.path(), &[&format!("--engine={engine}")]);
    let post = br#"{"publication":"p","content":"Angela Merkel met Barack Obama in Berlin."}"#;
    for _ in 0..20 {
        pipeline.post("application/json", post).expect("an answer");
    }
    pipeline.wait_counted();
    let private = |pid: i32| -> u64 {
        let smaps = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).expect("smaps");
        let line = smaps.lines().find(|line| line.starts_with("Private_Dirty:")).expect("the field");
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).map(|kib: u64| kib * 1024).expect("a number")
    };
    let most = pipeline.children("workers").into_iter().map(private).max().expect("a worker");
    pipeline.stop();
    most
}

#[test]
fn the_model_is_shared_and_not_copied_into_each_worker() {
    let model = std::fs::metadata(repository("models/desk-en-2.bin")).expect("the model").len();
    let (with, without) = (private_bytes("desk"), private_bytes("none"));
    assert!(with < without + model / 2, "a worker has {with} private bytes, {without} without the model of {model}");
}
