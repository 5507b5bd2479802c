//! What can be wrong before a backend starts: its settings, and the places they point to. All of it is found at once, and
//! nothing is touched, so that `copydesk check` and `copydesk backend` say the same.

use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use common::Findings;
use entities::EngineError;
use nix::unistd::{AccessFlags, access};
use queue::{Address, Disk, Listener, RealDisk, Secret};
use store::{StoreError, Target};

use crate::control::WorkerSettings;
use crate::host::{Settings, log_dir, socket};

/// Bits of a file's mode with which others than its owner and group read or write it.
const OTHERS: u32 = 0o006;

/// Notes what is wrong. What the settings name is given back, as far as it can be used.
pub fn preflight(settings: &Settings, found: &mut Findings) -> (Option<Secret>, Option<Target>) {
    let secret = secret(settings.secret_file.as_deref(), found);
    let open = settings.queue_listen.iter().find(|address| !address.is_local());
    if let (None, Some(address)) = (&settings.secret_file, open) {
        found.problem(
            "secret_missing",
            format!(
                "the queue would listen on {address}, which others can reach, without a secret; give one with \
                 --queue-secret-file, or listen on 127.0.0.1"
            ),
        );
    }
    engine(&settings.worker, found);
    for (count, missing) in [(settings.workers, "workers: posts"), (settings.savers, "savers: batches")] {
        if count == 0 {
            found.warning("nobody_works", format!("there are no {missing} are only queued"));
        }
    }
    let dir = &settings.data_dir;
    directory(dir, found);
    let target = target(&settings.store, dir, found);
    match queue::owner(&log_dir(dir)) {
        Some(owner) => {
            // Whatever its addresses are: the one who has the directory listens there.
            let message = format!(
                "{} is in use by process {owner}; stop that one first, or give another directory",
                dir.display()
            );
            found.problem("data_dir_in_use", message);
        }
        None => listeners(settings, found),
    }
    free_space(settings, found);
    (secret, target)
}

/// Reads the secret, if there should be one.
pub fn secret(file: Option<&Path>, found: &mut Findings) -> Option<Secret> {
    let path = file?;
    let mode = std::fs::metadata(path).map_or(0, |metadata| metadata.permissions().mode());
    if mode & OTHERS != 0 {
        let path = path.display();
        let message = format!("the secret in {path} is open to every user of this machine; `chmod o-rwx {path}`");
        found.problem("secret_exposed", message);
    }
    Secret::from_file(path).map_err(|error| found.problem("secret_unusable", error)).ok()
}

/// Makes the engine once.
pub fn engine(worker: &WorkerSettings, found: &mut Findings) {
    if let Err(error) = entities::check(&worker.engine, worker.model.as_deref()) {
        let code = match &error {
            EngineError::Unknown(..) => "unknown_engine",
            EngineError::Model { .. } => "model_unusable",
        };
        found.problem(code, error);
    }
}

/// Reads `--store`, and looks at the place that it names.
pub fn target(store: &str, data_dir: &Path, found: &mut Findings) -> Option<Target> {
    let target = Target::parse(store, data_dir).map_err(|error| found.problem("unknown_store", error)).ok()?;
    // A data directory that is not there yet is made.
    let is_made = target.path().and_then(Path::parent) == Some(data_dir) && !data_dir.exists();
    if !is_made && let Err(error) = target.check_place() {
        found.problem(store_code(&error), error);
    }
    Some(target)
}

/// The code of a store that can't be used.
pub fn store_code(error: &StoreError) -> &'static str {
    match error {
        StoreError::UnknownStore(_) => "unknown_store",
        StoreError::Absent(_) => "store_absent",
        StoreError::Unavailable(_) => "store_unavailable",
        StoreError::Unusable(_) => "store_unusable",
    }
}

/// Whether this user may have the data here.
fn directory(dir: &Path, found: &mut Findings) {
    let all = AccessFlags::R_OK | AccessFlags::W_OK | AccessFlags::X_OK;
    for dir in [dir.to_owned(), log_dir(dir)] {
        let place = nearest(&dir);
        let usable = match std::fs::metadata(&place) {
            Ok(metadata) if !metadata.is_dir() => Err(io::ErrorKind::NotADirectory.into()),
            Ok(_) => access(&place, all).map_err(io::Error::from),
            Err(error) => Err(error),
        };
        if let Err(error) = usable {
            let (dir, place) = (dir.display(), place.display());
            let message = format!(
                "the data can't be in {dir}: {place}: {error}; give that to the user who runs this, or another \
                 --data-dir"
            );
            return found.problem("data_dir_unusable", message);
        }
    }
}

/// The path itself, or whatever of it there is.
fn nearest(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let there = absolute.ancestors().find(|ancestor| ancestor.symlink_metadata().is_ok());
    there.map_or_else(|| absolute.clone(), Path::to_owned)
}

fn listeners(settings: &Settings, found: &mut Findings) {
    let local = socket(&settings.data_dir);
    for address in std::iter::once(&local).chain(settings.queue_listen.iter().filter(|address| **address != local)) {
        if let Err(error) = Listener::probe(address) {
            let is_in_use = error.kind() == io::ErrorKind::AddrInUse;
            let code = match address {
                _ if !is_in_use => "queue_listen_unusable",
                Address::Unix(_) => "queue_socket_in_use",
                Address::Tcp(_) => "queue_listen_in_use",
            };
            let hint = if is_in_use { "" } else { "; correct --queue-listen or --data-dir" };
            found.problem(code, format!("{error}{hint}"));
        }
    }
}

fn free_space(settings: &Settings, found: &mut Findings) {
    let (place, min) = (nearest(&settings.data_dir), settings.queue.disk_free_min);
    // A file system that can't say counts as roomy, as it does for the manager.
    let free = RealDisk::new(&place).free_bytes().unwrap_or(u64::MAX);
    if free < min {
        let message = format!(
            "the disk of {} has {} MB free and --disk-free-min keeps {}: no post is taken until some is freed",
            place.display(),
            free >> 20,
            min >> 20
        );
        found.warning("disk_nearly_full", message);
    }
}
