//! The child's side of being supervised: it dies with its parent, takes its settings, beats while it works, and learns
//! that it should stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use ipc_channel::ipc::IpcSender;
use nix::sys::prctl;
use nix::sys::signal::Signal;
use nix::unistd;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::control::{ChildSettings, Counters, Line, Order, Report};

/// Pause between two beats.
const BEAT_EVERY: Duration = Duration::from_secs(1);

/// Why a child can't begin.
#[derive(Debug, thiserror::Error)]
pub enum ChildError {
    /// The parent is not the process that started this one.
    #[error("the supervisor is gone; workers and savers are started by `copydesk backend`, not by hand")]
    Orphan,
    /// The control channel failed.
    #[error("no control channel to the supervisor: {0}")]
    Line(String),
}

/// Has the kernel send `signal` to this process when `parent`, the process that started it, dies.
///
/// The kernel watches the parent's *thread* that started this process, so that must be one that lives as long as the
/// parent does. If the parent died before the call took effect, this says so.
pub fn die_with_parent(parent: u32, signal: Signal) -> Result<(), ChildError> {
    prctl::set_pdeathsig(signal).map_err(|error| ChildError::Line(error.to_string()))?;
    if unistd::getppid().as_raw().unsigned_abs() != parent {
        return Err(ChildError::Orphan);
    }
    Ok(())
}

/// A supervised process.
pub struct Child {
    /// Its settings.
    pub settings: ChildSettings,
    reports: IpcSender<Report>,
    stop: Arc<AtomicBool>,
    beaten: Instant,
    /// What it has done so far; sent with every beat.
    pub counters: Counters,
}

impl Child {
    /// Ties this process to its supervisor and waits for the settings. `server` names the supervisor's one-shot server.
    pub fn begin(server: String, parent: u32) -> Result<Child, ChildError> {
        die_with_parent(parent, Signal::SIGKILL)?;
        let Line { reports, orders } = Line::connect(server).map_err(ChildError::Line)?;
        let settings = loop {
            match orders.recv() {
                Ok(Order::Settings(settings)) => break *settings,
                Ok(Order::Stop) => {}
                Err(error) => return Err(ChildError::Line(error.to_string())),
            }
        };
        let stop = Arc::new(AtomicBool::new(false));
        // Whoever signals the whole family, or this process alone, asks for an orderly end: what is held is settled or
        // given back, and no post is blamed for it. The supervisor decides whether a successor is needed.
        for signal in [SIGTERM, SIGINT] {
            signal_hook::flag::register(signal, Arc::clone(&stop))
                .map_err(|error| ChildError::Line(error.to_string()))?;
        }
        let told = Arc::clone(&stop);
        std::thread::spawn(move || {
            // Ends with the first order to stop, or with the supervisor: either way there is nothing more to do here.
            while let Ok(order) = orders.recv() {
                if matches!(order, Order::Stop) {
                    break;
                }
            }
            told.store(true, Ordering::Relaxed);
        });
        Ok(Child { settings, reports, stop, beaten: Instant::now(), counters: Counters::default() })
    }

    /// Reports that work begins, with that engine or store.
    pub fn ready(&self, with: &str) {
        self.send(Report::Ready { with: with.to_owned() });
    }

    /// Reports that this process is alive, if it is time to. Called between two pieces of work, so that a process that
    /// is stuck in one is found.
    pub fn beat(&mut self) {
        if self.beaten.elapsed() >= BEAT_EVERY {
            self.beaten = Instant::now();
            self.send(Report::Beat(self.counters));
        }
    }

    /// Reports the final counts.
    pub fn finish(self) {
        self.send(Report::Beat(self.counters));
    }

    /// Whether to finish the piece in hand and leave.
    pub fn should_stop(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn send(&self, report: Report) {
        // A lost supervisor ends this process by signal; a report to it can only be dropped.
        let _ = self.reports.send(report);
    }
}
