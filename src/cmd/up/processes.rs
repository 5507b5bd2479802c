//! The two processes that `up` starts: found when they are ready, watched while they serve, stopped in order.

use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use backend::drain::GRACE;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Args, TICK};
use crate::cmd::pipeline::Pipeline;
use crate::failure::Failure;

/// How long the frontend may take to answer what is in flight.
const FRONTEND_STOP_MAX: Duration = Duration::from_secs(30);

/// Pause between the two signals that cut the draining short.
const SECOND_SIGNAL: Duration = Duration::from_millis(300);

/// CPU-seconds, user and system, of a process and all it started.
pub(super) type CpuSeconds = (&'static str, f64);

/// The frontend and the backend.
pub(super) struct Processes {
    backend: Process,
    frontend: Process,
    address_file: PathBuf,
}

struct Process {
    name: &'static str,
    child: Child,
    ended: Option<ExitStatus>,
}

impl Processes {
    /// Starts both; the frontend waits for the backend by itself.
    pub(super) fn start(args: &Args, pipeline: &Pipeline) -> Result<Processes, Failure> {
        let data_dir = &args.data.data_dir;
        backend::host::make_data_dir(data_dir).map_err(Failure::settings)?;
        // Named after this process: another `up` that is refused on this directory must not touch it.
        let address_file = data_dir.join(format!("http.{}.address", std::process::id()));
        let mut common = vec![format!("--data-dir={}", data_dir.display()), format!("--store={}", args.data.store)];
        common.push(format!("--parent={}", std::process::id()));

        let mut backend = common.clone();
        backend.push("--queue-listen=none".to_owned());
        backend.extend(pipeline.to_args());
        let mut frontend = common;
        frontend.push(format!("--listen={}", args.listen));
        frontend.push(format!("--queue={}", backend::host::socket(data_dir)));
        frontend.push(format!("--address-file={}", address_file.display()));

        let mut backend = Process::start("backend", &backend)?;
        let frontend = match Process::start("frontend", &frontend) {
            Ok(frontend) => frontend,
            Err(failure) => {
                backend.end(FRONTEND_STOP_MAX, || true);
                return Err(failure);
            }
        };
        Ok(Processes { backend, frontend, address_file })
    }

    /// Waits until posts can be taken and gives the URL; none if `interrupted` says so first.
    pub(super) fn wait_ready(
        &mut self,
        patience: Duration,
        mut interrupted: impl FnMut() -> bool,
    ) -> Result<Option<String>, Failure> {
        let deadline = Instant::now() + patience;
        while Instant::now() < deadline {
            if interrupted() {
                return Ok(None);
            }
            self.check()?;
            if let Ok(address) = std::fs::read_to_string(&self.address_file) {
                let url = format!("http://{}", address.trim());
                if load::is_ready(&url) {
                    return Ok(Some(url));
                }
            }
            std::thread::sleep(TICK);
        }
        Err(Failure::new(format!("nothing was ready after {} s; the messages above say why", patience.as_secs())))
    }

    /// Fails if one of them has ended by itself.
    pub(super) fn check(&mut self) -> Result<(), Failure> {
        for process in [&mut self.backend, &mut self.frontend] {
            if let Some(status) = process.poll() {
                let code = status.code().unwrap_or(1);
                return Err(Failure::with_code(
                    code,
                    format!("the {} ended ({status}); the messages above say why", process.name),
                ));
            }
        }
        Ok(())
    }

    /// Stops the frontend, then the backend, which drains. `again` says whether another signal has come, which makes the
    /// backend skip the draining. Returns what each has cost, this process, the client, included.
    pub(super) fn stop(
        mut self,
        drain_timeout: Duration,
        mut again: impl FnMut() -> bool,
    ) -> Result<Vec<CpuSeconds>, Failure> {
        let mut cpu = Vec::new();
        let mut failures = Vec::new();
        let mut hurried = false;
        let backend_max = drain_timeout + 3 * GRACE;
        for (process, patience) in [(&mut self.frontend, FRONTEND_STOP_MAX), (&mut self.backend, backend_max)] {
            let before = cpu_seconds(UsageWho::RUSAGE_CHILDREN);
            failures.extend(process.end(patience, || {
                hurried |= again();
                hurried
            }));
            cpu.push((process.name, cpu_seconds(UsageWho::RUSAGE_CHILDREN) - before));
        }
        cpu.push(("client", cpu_seconds(UsageWho::RUSAGE_SELF)));
        let _ = std::fs::remove_file(&self.address_file);
        if failures.is_empty() {
            return Ok(cpu);
        }
        let failures = failures.join("; ");
        Err(Failure::new(format!("{failures}; what was accepted is on disk and is resumed by the next start")))
    }
}

impl Process {
    fn start(name: &'static str, args: &[String]) -> Result<Process, Failure> {
        let program = std::env::current_exe().map_err(Failure::new)?;
        let child = Command::new(&program)
            .arg(name)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            // Ctrl-C is for `up`, which stops the others in order.
            .process_group(0)
            .spawn()
            .map_err(|error| Failure::new(format!("can't start {}: {error}", program.display())))?;
        Ok(Process { name, child, ended: None })
    }

    /// Has the process end, waits for that, and says if it did not end well. Once `hurried` says so, it is signalled a
    /// second time.
    fn end(&mut self, patience: Duration, mut hurried: impl FnMut() -> bool) -> Option<String> {
        if self.poll().is_some() {
            return None;
        }
        self.signal(Signal::SIGTERM);
        let began = Instant::now();
        let mut is_second_due = true;
        loop {
            if let Some(status) = self.poll() {
                return (!status.success()).then(|| format!("the {} ended badly ({status})", self.name));
            }
            if began.elapsed() > patience {
                let _ = self.child.kill();
                self.ended = self.child.wait().ok();
                return Some(format!("the {} did not stop in time and was killed", self.name));
            }
            // Not at once: two signals of one kind that come together are one.
            if is_second_due && hurried() && began.elapsed() > SECOND_SIGNAL {
                is_second_due = false;
                self.signal(Signal::SIGTERM);
            }
            std::thread::sleep(TICK);
        }
    }

    fn poll(&mut self) -> Option<ExitStatus> {
        if self.ended.is_none() {
            self.ended = self.child.try_wait().ok().flatten();
        }
        self.ended
    }

    /// Signals the process; nothing if it was seen to end, because its id may be another's by now.
    fn signal(&self, signal: Signal) {
        if self.ended.is_none()
            && let Ok(pid) = i32::try_from(self.child.id())
        {
            let _ = kill(Pid::from_raw(pid), signal);
        }
    }
}

/// CPU-seconds so far. Those of children count when they have been waited for.
fn cpu_seconds(who: UsageWho) -> f64 {
    let seconds = |time: nix::sys::time::TimeVal| time.tv_sec() as f64 + time.tv_usec() as f64 * 1e-6;
    getrusage(who).map_or(0.0, |usage| seconds(usage.user_time()) + seconds(usage.system_time()))
}
