//! End-to-end tests: the real binary, real processes, real files. Each test is named for a promise to the user.
//!
//! One binary for all of them, so that they link once. `harness` starts pipelines and talks to them, `client` posts and
//! notes what it was told, `shim` makes the disk and the clock fail, `checker` judges what is in the store in the end;
//! none of them shares code with the product.

mod checker;
mod client;
mod harness;
mod shim;

mod chaos;
mod check;
mod counters;
mod dead_letters;
mod evaluate;
mod extract;
mod faults;
mod overload;
mod processes;
mod refusals;
mod stops;
mod supervisord;
