//! The file that runs Copydesk on a server, under the real supervisord.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use crate::checker::{assert_same, expected, stored};
use crate::client::{Client, Load};
use crate::harness::{COPYDESK, copydesk_ok, repository, sample_posts, wait_for, write_posts};
use crate::shim::{Fault, Shim};

/// supervisord, as `setup/test` installs it; none if it is absent, after saying that the test is skipped.
fn supervisord() -> Option<PathBuf> {
    let path = std::env::var_os("COPYDESK_TEST_SUPERVISORD").map(PathBuf::from);
    if path.is_none() {
        println!("skipped: no supervisord; ./setup/test installs it");
    }
    path
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("bind");
    listener.local_addr().expect("address").port()
}

/// supervisord with the shipped file; stopped with all it started when dropped.
struct Supervisord {
    child: std::process::Child,
}

impl Supervisord {
    fn start(program: &Path, dir: &Path, listen: &str, environment: &[(String, String)]) -> Supervisord {
        let child = Command::new(program)
            .envs(environment.iter().cloned())
            .args(["--nodaemon", "--configuration", &repository("supervisord.conf")])
            .env("COPYDESK_BIN", COPYDESK)
            .env("COPYDESK_DATA_DIR", dir.join("data"))
            .env("COPYDESK_RUN_DIR", dir)
            .env("COPYDESK_LISTEN", listen)
            .env("COPYDESK_QUEUE", format!("unix:{}", dir.join("data/queue.sock").display()))
            .env("COPYDESK_QUEUE_LISTEN", "none")
            .env("COPYDESK_WORKERS", "2")
            .env("COPYDESK_SAVERS", "2")
            .current_dir(dir)
            .stdout(Stdio::null())
            .spawn()
            .expect("supervisord starts");
        Supervisord { child }
    }

    /// SIGTERM, as a machine that shuts down sends it.
    fn stop(mut self) {
        self.signal();
        wait_for("supervisord's end", || self.child.try_wait().expect("wait"));
    }

    fn signal(&self) {
        let pid = Pid::from_raw(i32::try_from(self.child.id()).expect("pid"));
        kill(pid, Signal::SIGTERM).expect("kill");
    }
}

impl Drop for Supervisord {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.signal();
            let _ = self.child.wait();
        }
    }
}

#[test]
fn under_supervisord_a_stop_loses_nothing_that_was_accepted() {
    let Some(program) = supervisord() else { return };
    let dir = TempDir::new().expect("temp dir");
    std::fs::create_dir_all(dir.path().join("data")).expect("mkdir");
    let listen = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{listen}");
    let file = write_posts(&dir.path().join("posts.ndjson"), sample_posts(5_000));
    let is_ready = || ureq::get(format!("{url}/readyz")).call().ok().map(|_| ());

    let first = Supervisord::start(&program, dir.path(), &listen, &[]);
    wait_for("the pipeline under supervisord", is_ready);
    copydesk_ok(&["load", &file, "--to", &url, "--json"]);
    // The flush interval has not passed yet: the stop has to finish what is queued.
    first.stop();
    let after_stop = stored(&dir.path().join("data"));
    assert_same(&after_stop, &expected(&file));

    let second = Supervisord::start(&program, dir.path(), &listen, &[]);
    wait_for("the pipeline again", is_ready);
    let summary = copydesk_ok(&["load", &file, "--to", &url, "--wait", "--json"]);
    let summary: serde_json::Value = serde_json::from_str(summary.trim()).expect("JSON");
    assert_eq!(summary["duplicates"], 5_000);
    second.stop();
    assert_same(&stored(&dir.path().join("data")), &expected(&file));
}

#[test]
fn under_supervisord_a_backend_whose_disk_failed_goes_on_where_it_stopped() {
    let Some(program) = supervisord() else { return };
    let dir = TempDir::new().expect("temp dir");
    let Some(shim) = Shim::new(dir.path()) else { return };
    std::fs::create_dir_all(dir.path().join("data")).expect("mkdir");
    let listen = format!("127.0.0.1:{}", free_port());
    let url = format!("http://{listen}");
    let mut environment = shim.environment().to_vec();
    environment.push(("COPYDESK_MENTIONS".to_owned(), "true".to_owned()));
    let supervisord = Supervisord::start(&program, dir.path(), &listen, &environment);
    wait_for("the pipeline under supervisord", || ureq::get(format!("{url}/readyz")).call().ok().map(|_| ()));
    let client = Client::start(&url, sample_posts(3_000), Load { batch: 10, ..Load::default() });
    client.wait_acknowledged(100);
    shim.set(&[Fault::sync_error("backend", "/queue/0000", 10)]);
    let log = || std::fs::read_to_string(dir.path().join("supervisord.log")).unwrap_or_default();
    wait_for("the failure of the disk", || log().contains("exit status 74").then_some(()));
    assert!(client.ledger.acknowledged() < 3_000, "the load was over before the disk failed");
    shim.clear();
    let ledger = client.finish();
    supervisord.stop();
    let verdict = ledger.verdict(&dir.path().join("data"), &[]);
    verdict.assert_clean();
    assert_eq!(verdict.saved, 3_000);
}
