//! What the queue promises, on real files and real sockets. Each test is named after its promise.

#![expect(clippy::unwrap_used, clippy::panic, reason = "helpers of tests are tests")]

mod aside;
mod crowds;
mod dead_letters;
mod duplicates;
mod durability;
mod faults;
mod leases;
mod log;
mod memory;
mod model;
mod poison;
mod power;
mod support;
mod turns;
mod wire;
