//! What the store promises, on real files and with real processes.

mod check;
mod faults;
mod names;
mod once;
mod processes;
mod reads;
mod support;
