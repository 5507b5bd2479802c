//! `copydesk check`: everything that is wrong with settings and data, without starting anything or touching the data.
//!
//! What a start would refuse is found by the very functions that a start calls; beyond that the log and the store are
//! read through.

use std::io::{Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::Path;
use std::time::Duration;

use backend::preflight::{preflight, store_code};
use backend::{Settings, host};
use common::{Findings, Level};
use queue::{Address, OpenError, Recovery};
use store::{Health, Target};

use super::backend::QueueListenArgs;
use super::http::{Http, HttpArgs, bind};
use super::output::{cell, print};
use super::pipeline::PipelineArgs;
use super::shared::{DataArgs, SecretArgs};
use crate::failure::Failure;

/// Damaged places of a log that are listed one by one.
const DAMAGE_MAX: usize = 100;
/// How long whoever listens at our address has to say that it is a frontend.
const ALIVE_WITHIN: Duration = Duration::from_secs(1);

/// Arguments of `copydesk check`.
#[derive(clap::Args)]
#[command(after_help = "Takes what `backend` and `frontend` take, so that it can stand in their place:
  copydesk check --data-dir /var/lib/copydesk --workers 14 --savers 15

Exit code 0: a start would succeed and all data can be read. 78: something is wrong; all of it is listed.
Works beside a running Copydesk, and changes nothing.")]
pub struct Args {
    #[command(flatten)]
    data: DataArgs,

    #[command(flatten)]
    listen: QueueListenArgs,

    #[command(flatten)]
    secret: SecretArgs,

    #[command(flatten)]
    pipeline: PipelineArgs,

    #[command(flatten)]
    http: HttpArgs,

    /// Print what is found as a JSON array
    #[arg(long)]
    json: bool,
}

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    let mut found = Findings::default();
    let settings = super::backend::settings(&args.data, &args.listen, &args.secret, &args.pipeline, &mut found)?;
    let http = args.http.resolve(&args.data.data_dir, &mut found);
    let (_, target) = preflight(&settings, &mut found);
    // A backend that runs is no fault of its settings.
    let is_in_use = found.soften("data_dir_in_use");
    // Where only a frontend is to run, nobody says where the queue listens, and it makes no difference.
    if !args.listen.is_given() {
        found.soften("queue_listen_in_use");
    }
    listen(&http, &settings, &mut found);
    log(&settings, is_in_use, &mut found);
    if let Some(target) = target {
        store(&target, &mut found);
    }
    report(&found, args.json)?;
    if found.is_sound() {
        return Ok(());
    }
    let problems = match found.count(Level::Problem) {
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    Err(Failure::settings(format!("{problems}; correct what is listed above, then check again")))
}

/// Whether HTTP can be served.
fn listen(http: &Http, settings: &Settings, found: &mut Findings) {
    let addresses = |text: &str| text.to_socket_addrs().map(Iterator::collect::<Vec<_>>).unwrap_or_default();
    let own = addresses(&http.listen);
    let is_clash = settings.queue_listen.iter().any(|address| match address {
        Address::Tcp(host_port) => addresses(host_port).iter().any(|queue| queue.port() != 0 && own.contains(queue)),
        Address::Unix(_) => false,
    });
    if is_clash {
        let listen = &http.listen;
        let message = format!("--listen and --queue-listen are both {listen}; choose another port for one of them");
        found.problem("same_address", message);
    }
    let mut bound = Findings::default();
    drop(bind(&http.listen, &mut bound));
    if bound.has("http_listen_in_use") && is_frontend(&http.listen) {
        let message = format!("a frontend of Copydesk serves on {} now; stop it before you start another", http.listen);
        found.warning("http_listen_in_use", message);
        return;
    }
    // Where only a backend is to run, nobody says where HTTP is served, and it makes no difference.
    if !http.is_listen_given {
        bound.soften("http_listen_in_use");
    }
    found.0.append(&mut bound.0);
}

/// Whether what listens there says that it is a frontend.
fn is_frontend(listen: &str) -> bool {
    let ask = || -> std::io::Result<Vec<u8>> {
        let mut stream = TcpStream::connect(listen)?;
        stream.set_read_timeout(Some(ALIVE_WITHIN))?;
        stream.set_write_timeout(Some(ALIVE_WITHIN))?;
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")?;
        let mut answer = vec![0; 1024];
        let count = stream.read(&mut answer)?;
        answer.truncate(count);
        Ok(answer)
    };
    ask().is_ok_and(|answer| String::from_utf8_lossy(&answer).contains(r#"{"status":"alive"}"#))
}

/// Reads the queue's log through.
fn log(settings: &Settings, is_in_use: bool, found: &mut Findings) {
    let manager = host::manager_settings(settings);
    if !manager.dir.is_dir() {
        if !found.has("data_dir_unusable") {
            let dir = settings.data_dir.display();
            found.info("log_absent", format!("there is no log in {dir} yet; the first start makes it"));
        }
        return;
    }
    let mut recovery = match queue::inspect(&manager) {
        Ok(recovery) => recovery,
        Err(error) => return found.problem(open_code(&error), error),
    };
    // What a manager does while its log is read may look like damage, but not twice in the same place.
    if is_in_use
        && !recovery.damage.is_empty()
        && let Ok(again) = queue::inspect(&manager)
    {
        recovery.damage.retain(|damage| again.damage.contains(damage));
    }
    describe(&recovery, &manager.dir, is_in_use, found);
}

fn describe(recovery: &Recovery, dir: &Path, is_in_use: bool, found: &mut Findings) {
    let Recovery { segments, bytes, frames, ready, dead_letters, torn_bytes, damage, mended, .. } = recovery;
    let dir = dir.display();
    let sizes = format!("{frames} commands in {segments} segments of {bytes} bytes");
    found.info("log_read", format!("{dir}: {ready} items wait, {dead_letters} dead letters; {sizes}"));
    if *dead_letters > 0 {
        found.warning("dead_letters", format!("{dead_letters} dead letters; `copydesk dead-letters list` shows them"));
    }
    if *torn_bytes > 0 && !is_in_use {
        let message = format!(
            "{dir}: the last write was not finished: {torn_bytes} bytes, of which nobody was told that they are safe; \
             the next start cuts them away"
        );
        found.warning("log_torn_tail", message);
    }
    for damage in damage.iter().take(DAMAGE_MAX) {
        let message = format!(
            "{dir} is damaged: {damage}; what was there is lost and the rest is kept: look at the disk, and send again \
             what was accepted then, or put a backup in its place"
        );
        found.problem("log_damaged", message);
    }
    for place in mended.iter().take(DAMAGE_MAX) {
        let message = format!(
            "{dir} was damaged: {place}; the other copy is sound, nothing is lost, and the next start mends it; look at \
             the disk all the same"
        );
        found.warning("log_mendable", message);
    }
    if damage.len() > DAMAGE_MAX {
        found.problem("log_damaged", format!("{dir} has {} more damaged places", damage.len() - DAMAGE_MAX));
    }
}

fn open_code(error: &OpenError) -> &'static str {
    match error {
        OpenError::InUse { .. } => "data_dir_in_use",
        OpenError::Io { .. } => "log_unreadable",
        OpenError::Newer { .. } => "log_newer",
        OpenError::UnknownQueue { .. } => "log_unknown_queue",
        OpenError::Settings(_) => "wrong_value",
    }
}

/// Reads the store through.
fn store(target: &Target, found: &mut Findings) {
    match target.check() {
        Ok(Health::Sound { publications, articles }) => {
            found.info("store_read", format!("{target}: {articles} articles of {publications} publications"));
        }
        Ok(Health::Absent) if *target == Target::None => {}
        Ok(Health::Absent) => found.info("store_absent", format!("there is no {target} yet; the first start makes it")),
        Err(error) => {
            let (code, message) = (store_code(&error), error.to_string());
            // Its place may have been wrong already.
            if !found.0.iter().any(|finding| finding.message == message) {
                found.problem(code, message);
            }
        }
    }
}

fn report(found: &Findings, json: bool) -> Result<(), Failure> {
    if json {
        return print(&(serde_json::to_string(&found.0).map_err(Failure::new)? + "\n"));
    }
    let line = |finding: &common::Finding| {
        let level = match finding.level {
            Level::Problem => "problem",
            Level::Warning => "warning",
            Level::Info => "ok",
        };
        format!("{level:<7}  {} [{}]\n", cell(&finding.message, usize::MAX), finding.code)
    };
    print(&found.0.iter().map(line).collect::<String>())
}
