//! The network between the processes and the queue is cut at any byte, slow, or silent for longer than a lease lasts.
//! Everybody connects again, puts that were under way are told apart by their ids, and no lease is stuck.

use std::path::Path;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tempfile::TempDir;

use super::proxy::{Proxy, Weather};
use crate::client::{Client, Load};
use crate::harness::{Pipeline, Setup, sample_posts, wait_for};

/// Leases end this soon, so that tests need not wait long for it; failed deliveries are many, and no post's fault.
const HASTY: [&str; 4] = ["--mentions", "--lease-timeout=1500ms", "--flush-interval=100ms", "--max-deliveries=100"];

/// A pipeline whose processes all reach the queue through a proxy, the frontend over TCP.
struct Cut {
    pipeline: Pipeline,
    edge: Proxy,
    children: Proxy,
    /// Workers and savers, all behind the proxy.
    family: Vec<i32>,
}

impl Cut {
    fn start(dir: &Path, seed: u64) -> Cut {
        println!("seed {seed}");
        let socket = dir.join("queue.sock");
        let edge = Proxy::to_unix(&socket, seed);
        let setup = Setup { queue: Some(format!("tcp://{}", edge.address())), ..Setup::default() };
        let pipeline = Pipeline::start_with(setup, dir, &HASTY);
        let children = Proxy::in_place_of(&socket, seed + 1);
        let mut cut = Cut { pipeline, edge, children, family: Vec::new() };
        // Who was there before goes; who comes instead is behind the proxy.
        let before: Vec<i32> = cut.running();
        before.iter().for_each(|&pid| kill(Pid::from_raw(pid), Signal::SIGKILL).expect("a child"));
        cut.family = wait_for("other children", || {
            Some(cut.running()).filter(|family| family.len() == 4 && family.iter().all(|pid| !before.contains(pid)))
        });
        cut
    }

    fn running(&self) -> Vec<i32> {
        ["workers", "savers"].iter().flat_map(|kind| self.pipeline.children(kind)).collect()
    }

    fn set(&self, weather: Weather) {
        self.edge.set(weather);
        self.children.set(weather);
    }

    /// Waits until everything is counted, by the same children as in the beginning, and judges.
    fn end(self, client: Client, dir: &Path) {
        let ledger = client.finish();
        self.pipeline.wait_counted();
        assert_eq!(self.pipeline.queue().expect("an answer")["dead_letters"], 0);
        assert_eq!(self.running(), self.family, "a child ended for the network's sake");
        self.pipeline.stop();
        ledger.verdict(dir, &[]).assert_clean();
    }
}

#[test]
fn a_network_that_cuts_at_any_byte_and_delays_loses_nothing_and_counts_nothing_twice() {
    let dir = TempDir::new().expect("temp dir");
    let cut = Cut::start(dir.path(), 15);
    let client = Client::start(&cut.pipeline.url, sample_posts(3_000), Load::default());
    client.wait_acknowledged(200);
    for (cut_within, cuts) in [(40_000, 12), (400, 12), (100_000, 6)] {
        let before = (cut.edge.cuts(), cut.children.cuts());
        cut.set(Weather { cut_within: Some(cut_within), delay_ms: 20, ..Weather::default() });
        wait_for("cuts on both sides", || {
            let (edge, children) = (cut.edge.cuts() - before.0, cut.children.cuts() - before.1);
            (edge + children >= cuts && edge > 0 && children > 0).then_some(())
        });
    }
    cut.set(Weather::default());
    cut.end(client, dir.path());
}

#[test]
fn a_network_silent_for_longer_than_a_lease_leaves_no_lease_stuck() {
    let dir = TempDir::new().expect("temp dir");
    let cut = Cut::start(dir.path(), 16);
    let client = Client::start(&cut.pipeline.url, sample_posts(2_000), Load::default());
    for _ in 0..2 {
        client.wait_acknowledged(200);
        cut.set(Weather { is_stalled: true, ..Weather::default() });
        // Workers and savers have lost their connections when the manager has given them up, or they the manager.
        let lost = |log: &str| log.matches("fell silent").count() + log.matches("connection lost").count();
        let before = lost(&cut.pipeline.log());
        wait_for("lost leases", || (lost(&cut.pipeline.log()) >= before + 4).then_some(()));
        cut.set(Weather::default());
    }
    cut.end(client, dir.path());
}
