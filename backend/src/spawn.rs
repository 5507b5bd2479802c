//! Starts a child, and the two threads that pass on what happens to it: one hears its reports, one awaits its end.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child as Process, Command, Stdio};
use std::sync::mpsc::Sender;
use std::thread;

use ipc_channel::ipc::IpcOneShotServer;
use nix::errno::Errno;
use nix::sys::wait::{Id, WaitPidFlag, waitid};
use nix::unistd::Pid;

use crate::control::{Report, wake};
use crate::seat::SlotId;
use crate::supervisor::Event;

/// Starts a child. Call it on a thread that lives as long as the children should: the kernel ends them with it.
pub fn spawn(program: &Path, id: SlotId, incarnation: u64, events: &Sender<Event>) -> Result<Process, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let (server, server_name) = IpcOneShotServer::<Report>::new().map_err(|error| text(&error))?;
    let mut process = Command::new(program)
        .arg(id.kind.name())
        .args(["--slot", &id.number.to_string()])
        .args(["--supervisor", &std::process::id().to_string()])
        .args(["--control", &server_name])
        .stdin(Stdio::null())
        // Its own group: a Ctrl-C in the terminal, or a supervisor that signals our group, reaches only us.
        .process_group(0)
        .spawn()
        .map_err(|error| format!("{}: {error}", program.display()))?;
    let pid = process.id();

    let reports = events.clone();
    let listener = thread::Builder::new().name(format!("hear {id}")).spawn(move || {
        let Ok((receiver, first)) = server.accept() else { return };
        let mut next = Ok(first);
        while let Ok(report) = next {
            if reports.send(Event::Reported(id, incarnation, report)).is_err() {
                return;
            }
            next = receiver.recv();
        }
    });
    let ends = events.clone();
    let watcher = listener.and_then(|listener| {
        thread::Builder::new().name(format!("await {id}")).spawn(move || {
            wait_without_reaping(pid);
            wake(&server_name);
            // Its last report comes before its end.
            let _ = listener.join();
            let _ = ends.send(Event::Ended(id, incarnation));
        })
    });
    if let Err(error) = watcher {
        // Nobody would see its end.
        let _ = process.kill();
        let _ = process.wait();
        return Err(text(&error));
    }
    Ok(process)
}

/// Waits for the end of a child but leaves it to the supervisor to reap, so that its id stays taken until it knows.
fn wait_without_reaping(pid: u32) {
    let Ok(pid) = i32::try_from(pid) else { return };
    let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT;
    while waitid(Id::Pid(Pid::from_raw(pid)), flags) == Err(Errno::EINTR) {}
}
