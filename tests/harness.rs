//! Starts pipelines in directories of their own, talks to them over HTTP, and ends them in every way.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;

/// The binary under test.
pub const COPYDESK: &str = env!("CARGO_BIN_EXE_copydesk");

/// How long anything may take before a test gives up on it. Generous: the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Waits until `condition` gives a value; fails naming what was awaited.
pub fn wait_for<T>(awaited: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(Instant::now() < deadline, "gave up waiting for {awaited}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Runs the binary to its end.
pub fn copydesk(args: &[&str]) -> Output {
    let output = Command::new(COPYDESK).args(args).stdin(Stdio::null()).output();
    output.expect("the binary starts")
}

/// Runs the binary, expects success, and gives what it printed.
pub fn copydesk_ok(args: &[&str]) -> String {
    let output = copydesk(args);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "copydesk {args:?} failed: {errors}");
    String::from_utf8(output.stdout).expect("output is UTF-8")
}

/// A file of the repository's neighbour with shared data; none if it is absent, after saying that a test is skipped.
pub fn shared(path: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared").join(path);
    if !file.exists() {
        println!("skipped: no {path}");
        return None;
    }
    Some(file)
}

/// A file of the repository.
pub fn repository(path: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path).display().to_string()
}

/// Whether a process has ended. One that nobody has reaped yet has.
pub fn is_gone(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().is_none_or(|rest| rest.trim_start().starts_with('Z') || rest.is_empty())
}

/// A process under test; killed when dropped.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts the binary; its log goes to `log`.
    pub fn start(args: &[String], log: &Path) -> Running {
        Running::start_in(&[], args, log)
    }

    /// The same, with additional environment.
    pub fn start_in(environment: &[(String, String)], args: &[String], log: &Path) -> Running {
        Running::start_limited("", environment, args, log)
    }

    /// The same, with less than the usual of something: `ulimit -n 100`.
    pub fn start_limited(limits: &str, environment: &[(String, String)], args: &[String], log: &Path) -> Running {
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log).expect("log file");
        let mut command = Command::new(if limits.is_empty() { COPYDESK } else { "sh" });
        if !limits.is_empty() {
            command.args(["-c", &format!("{limits} && exec \"$0\" \"$@\""), COPYDESK]);
        }
        command.args(args).envs(environment.iter().cloned());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        Running { child: command.spawn().expect("the binary starts") }
    }

    pub fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).expect("a pid")
    }

    /// The most memory that it had so far, in bytes.
    pub fn peak_memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid())).expect("the process is there");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("a peak");
        line.trim().trim_end_matches(" kB").parse::<u64>().expect("a number") * 1024
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.pid()), signal).expect("the process is there");
    }

    pub fn has_ended(&mut self) -> bool {
        self.child.try_wait().expect("wait").is_some()
    }

    /// Waits for the end.
    pub fn wait(&mut self, awaited: &str) -> ExitStatus {
        wait_for(awaited, || self.child.try_wait().expect("wait"))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is unusual about how a pipeline is started.
#[derive(Clone, Default)]
pub struct Setup {
    /// Additional environment, for both and for all that they start.
    pub environment: Vec<(String, String)>,
    /// Limits of the shell that becomes the backend.
    pub backend_limits: &'static str,
    /// Limits of the shell that becomes the frontend.
    pub frontend_limits: &'static str,
    /// Where the frontend looks for the queue, if not at the socket in the data directory.
    pub queue: Option<String>,
}

/// A frontend and a backend on one data directory.
pub struct Pipeline {
    pub dir: PathBuf,
    pub backend: Running,
    pub frontend: Running,
    pub url: String,
    backend_args: Vec<String>,
    setup: Setup,
}

impl Pipeline {
    /// Starts both with 2 workers and 2 savers, or as `extra` says, and waits until posts can be taken and counted.
    pub fn start(dir: &Path, extra: &[&str]) -> Pipeline {
        Pipeline::start_in(&[], dir, extra)
    }

    /// The same, with additional environment for both and for all that they start.
    pub fn start_in(environment: &[(String, String)], dir: &Path, extra: &[&str]) -> Pipeline {
        Pipeline::start_with(Setup { environment: environment.to_vec(), ..Setup::default() }, dir, extra)
    }

    /// The same, started in an unusual way.
    pub fn start_with(setup: Setup, dir: &Path, extra: &[&str]) -> Pipeline {
        let data_dir = format!("--data-dir={}", dir.display());
        let mut backend_args: Vec<String> = ["backend", &data_dir].iter().map(ToString::to_string).collect();
        let usual = [("--queue-listen", "none"), ("--workers", "2"), ("--savers", "2"), ("--flush-interval", "200ms")];
        for (flag, value) in usual {
            if !extra.iter().any(|arg| arg.starts_with(flag)) {
                backend_args.push(format!("{flag}={value}"));
            }
        }
        backend_args.extend(extra.iter().map(ToString::to_string));
        let backend = start_backend(&setup, &backend_args, dir);
        let (frontend, url) = start_frontend(&setup, dir);
        let mut pipeline = Pipeline { dir: dir.to_owned(), backend, frontend, url, backend_args, setup };
        pipeline.wait_ready();
        pipeline
    }

    pub fn wait_ready(&mut self) {
        wait_for("/readyz", || {
            assert!(!self.backend.has_ended(), "the backend ended: {}", self.log());
            self.get("/readyz").filter(|(status, _)| *status == 200)
        });
    }

    /// What the backend and its children have said.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.dir.join("backend.log")).unwrap_or_default()
    }

    /// Starts another backend on the same directory after the first has ended.
    pub fn restart_backend(&mut self) {
        self.spawn_backend();
        self.wait_ready();
    }

    /// The same, for one that may not get ready.
    pub fn spawn_backend(&mut self) {
        assert!(self.backend.has_ended(), "the first backend still runs");
        self.backend = start_backend(&self.setup, &self.backend_args, &self.dir);
    }

    /// Starts another frontend after the first has ended. It has another address.
    pub fn restart_frontend(&mut self) {
        assert!(self.frontend.has_ended(), "the first frontend still runs");
        (self.frontend, self.url) = start_frontend(&self.setup, &self.dir);
    }

    /// Status and body; none if there was no answer at all.
    pub fn get(&self, path: &str) -> Option<(u16, Value)> {
        answer(agent().get(format!("{}{path}", self.url)).call())
    }

    /// Posts a body; none if there was no answer at all.
    pub fn post(&self, content_type: &str, body: &[u8]) -> Option<(u16, Value)> {
        let request = agent().post(format!("{}/v1/posts", self.url)).header("content-type", content_type);
        answer(request.send(body))
    }

    /// The state of the queue.
    pub fn queue(&self) -> Option<Value> {
        self.get("/v1/queue").filter(|(status, _)| *status == 200).map(|(_, body)| body)
    }

    /// Dead letters without their payloads; a thousand at most.
    pub fn dead_letters(&self) -> Vec<Value> {
        let (status, page) = self.get("/v1/dead-letters?limit=1000").expect("an answer");
        assert!(status == 200 && page["next"].is_null(), "{page}");
        page["dead_letters"].as_array().expect("a list").clone()
    }

    /// Waits until nothing is queued any more.
    pub fn wait_counted(&self) {
        wait_for("empty queues", || {
            let queue = self.queue()?;
            let is_empty = |name: &str| queue["queues"][name]["ready"] == 0 && queue["queues"][name]["leased"] == 0;
            (is_empty("posts") && is_empty("results")).then_some(())
        });
    }

    /// Process ids of the workers or savers that are running.
    pub fn children(&self, kind: &str) -> Vec<i32> {
        let queue = self.queue().unwrap_or_default();
        let children = queue[kind].as_array().cloned().unwrap_or_default();
        let running = children.iter().filter(|child| child["state"] == "running");
        running.filter_map(|child| i32::try_from(child["pid"].as_i64()?).ok()).collect()
    }

    /// Stops both as an operator would, and expects exit code 0.
    pub fn stop(mut self) {
        self.frontend.signal(Signal::SIGTERM);
        assert!(self.frontend.wait("the frontend's end").success());
        self.backend.signal(Signal::SIGTERM);
        assert!(self.backend.wait("the backend's end").success());
    }
}

fn start_backend(setup: &Setup, args: &[String], dir: &Path) -> Running {
    Running::start_limited(setup.backend_limits, &setup.environment, args, &dir.join("backend.log"))
}

/// A frontend on a port of its own, and its address.
fn start_frontend(setup: &Setup, dir: &Path) -> (Running, String) {
    let address_file = dir.join("address");
    let _ = std::fs::remove_file(&address_file);
    let data_dir = format!("--data-dir={}", dir.display());
    let queue = setup.queue.clone().unwrap_or_else(|| format!("unix:{}", dir.join("queue.sock").display()));
    let queue = format!("--queue={queue}");
    let address = format!("--address-file={}", address_file.display());
    let args = ["frontend", &data_dir, "--listen=127.0.0.1:0", &queue, &address];
    let args: Vec<String> = args.iter().map(ToString::to_string).collect();
    let log = dir.join("frontend.log");
    let frontend = Running::start_limited(setup.frontend_limits, &setup.environment, &args, &log);
    let bound = wait_for("the frontend's address", || std::fs::read_to_string(&address_file).ok());
    (frontend, format!("http://{}", bound.trim()))
}

/// An HTTP client that takes every status for an answer.
pub fn agent() -> ureq::Agent {
    ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE)).build().into()
}

/// Status and body; none if there was no answer at all.
pub fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Option<(u16, Value)> {
    let mut response = response.ok()?;
    let status = response.status().as_u16();
    let body = response.body_mut().read_to_string().ok()?;
    Some((status, serde_json::from_str(&body).unwrap_or(Value::String(body))))
}

/// Writes posts as NDJSON and gives the file's path.
pub fn write_posts(file: &Path, posts: impl Iterator<Item = Value>) -> String {
    let mut out = std::io::BufWriter::new(std::fs::File::create(file).expect("create"));
    for post in posts {
        writeln!(out, "{post}").expect("write");
    }
    out.flush().expect("flush");
    file.display().to_string()
}

/// `count` short posts of five publications, with names that every engine knows, and ids `post-0`, `post-1`, ….
pub fn sample_posts(count: usize) -> impl Iterator<Item = Value> + Send + use<> {
    const PEOPLE: [&str; 5] = ["Angela Merkel", "Nelson Mandela", "Barack Obama", "Indira Gandhi", "Kofi Annan"];
    const PLACES: [&str; 4] = ["Germany", "South Africa", "Chicago", "India"];
    (0..count).map(|n| {
        let (person, place) = (PEOPLE[n % PEOPLE.len()], PLACES[n / 7 % PLACES.len()]);
        let content = format!("{person} arrived in {place} on Monday. The visit of {person} was the first since 2009.");
        serde_json::json!({"id": format!("post-{n}"), "publication": format!("Daily {}", n % 5), "content": content})
    })
}
