//! What an increment costs, alone, merged with others, and with several savers at once.
//!
//! `cargo bench -p store --bench apply [-- DIR]` writes below DIR, or below the system's temporary directory; measure on
//! the disk that you will use. CPU is user and system time of the process; the wall includes the disk's syncs.

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{Batch, PublicationCounts};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike;
use store::{Filter, Store, Target};

const INCREMENTS: usize = 10_000;

/// Entities follow a long tail as in real text: of every two draws, one comes from the first thousandth of the names.
fn batch(id: &str, seed: u64, names: u64) -> Batch {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut draw = move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let mut entities = std::collections::BTreeMap::new();
    while entities.len() < INCREMENTS {
        let range = if draw() % 2 == 0 { (names / 1000).max(2 * INCREMENTS as u64) } else { names };
        let label = ["LOC", "MISC", "ORG", "PER"][(draw() % 4) as usize];
        entities.insert((label, format!("some entity {}", draw() % range)), 1 + draw() % 5);
    }
    let entities = entities.into_iter().map(|((label, entity), count)| (label.to_owned(), entity, count)).collect();
    let counts = PublicationCounts { key: "news".to_owned(), name: "News".to_owned(), articles: 1000, entities };
    Batch { id: id.to_owned(), publications: vec![counts], posts: Vec::new() }
}

fn cpu() -> Duration {
    let usage = getrusage(UsageWho::RUSAGE_SELF).expect("getrusage");
    let micros = usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    Duration::from_micros(u64::try_from(micros).expect("not negative"))
}

fn measure(what: &str, store: &mut dyn Store, calls: &[Vec<Batch>]) {
    let increments: usize = calls.iter().flatten().map(Batch::increments).sum();
    let (cpu_before, begun) = (cpu(), Instant::now());
    for call in calls {
        store.apply(call).expect("applies");
    }
    let (cpu, wall) = ((cpu() - cpu_before).as_secs_f64() * 1e6, begun.elapsed().as_secs_f64() * 1e6);
    let n = increments as f64;
    println!("{what:<58} {:>6.2} CPU-µs {:>7.2} µs wall per increment", cpu / n, wall / n);
}

/// Applies batches for some seconds, as one saver of several; prints its calls and the longest.
fn saver(path: &str, name: &str) {
    let target = Target::Sqlite(path.into());
    let mut store = target.open().expect("opens");
    let batches: Vec<_> = (0..20).map(|n| batch("", n, 100_000)).collect();
    println!("ready");
    std::io::stdin().read_exact(&mut [0]).expect("the go");
    let (cpu_before, begun, mut calls, mut longest) = (cpu(), Instant::now(), 0, Duration::ZERO);
    while begun.elapsed() < Duration::from_secs(5) {
        let mut next = batches[calls % batches.len()].clone();
        next.id = format!("{name} {calls}");
        let call = Instant::now();
        store.apply(&[next]).expect("applies");
        longest = longest.max(call.elapsed());
        calls += 1;
    }
    println!(
        "{calls:>5} calls of one batch, the longest took {:>5} ms, {:.2} CPU-s",
        longest.as_millis(),
        (cpu() - cpu_before).as_secs_f64()
    );
}

fn savers(count: usize, path: &Path) {
    println!("{count} savers at once for 5 s:");
    let mut children: Vec<_> = (0..count)
        .map(|n| {
            let mut command = Command::new(std::env::current_exe().expect("this program"));
            command.args(["--saver", &path.display().to_string(), &format!("{n} of {count}")]);
            let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("starts");
            let mut stdout = BufReader::new(child.stdout.take().expect("piped"));
            stdout.read_line(&mut String::new()).expect("ready");
            (child, stdout)
        })
        .collect();
    for (child, _) in &mut children {
        child.stdin.as_mut().expect("piped").write_all(b"!").expect("go");
    }
    for (mut child, mut stdout) in children {
        let mut said = String::new();
        stdout.read_to_string(&mut said).expect("read");
        print!("  {said}");
        assert!(child.wait().expect("wait").success());
    }
}

fn main() {
    let args: Vec<_> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if let [flag, path, name] = &args[..]
        && flag == "--saver"
    {
        return saver(path, name);
    }
    let parent = args.first().map_or_else(std::env::temp_dir, Into::into);
    let dir = tempfile::TempDir::new_in(parent).expect("a directory to write in");
    let path = dir.path().join("copydesk.db");
    let target = Target::Sqlite(path.clone());
    let mut store = target.open().expect("opens");
    let calls = |kind: &str, count: u64, each: u64| -> Vec<Vec<Batch>> {
        let batch = |call: u64, n: u64| batch(&format!("{kind} {call} {n}"), call * each + n, 100_000);
        (0..count).map(|call| (0..each).map(|n| batch(call, n)).collect()).collect()
    };
    measure("new and known counters, 1 batch of 10,000 a call", &mut *store, &calls("first", 20, 1));
    measure("known counters, 1 batch a call", &mut *store, &calls("again", 20, 1));
    measure("known counters, 8 batches merged a call", &mut *store, &calls("merged", 6, 8));
    measure("known counters, 64 batches merged a call", &mut *store, &calls("more", 2, 64));
    measure("batches that were applied before, 64 a call", &mut *store, &calls("more", 2, 64));
    savers(4, &path);
    savers(15, &path);

    let wide: Vec<Vec<_>> = (0..10)
        .map(|call| (0..50).map(|n| batch(&format!("wide {call} {n}"), 10_000 + call * 50 + n, 20_000_000)).collect())
        .collect();
    measure("a large store, 50 batches a call", &mut *store, &wide);
    let counters =
        target.reader().expect("reads").entities(&Filter { top: 0, ..Filter::default() }).expect("reads").len();
    let bytes = std::fs::metadata(&path).expect("the file").len();
    println!("{counters} counters, {} bytes each", bytes / counters as u64);
    let mut reader = target.reader().expect("reads");
    let mut time = |what: &str, filter: Filter| {
        let begun = Instant::now();
        let rows = reader.entities(&filter).expect("reads").len();
        println!("{what:<40} {:>8.1} ms, {rows} rows", begun.elapsed().as_secs_f64() * 1e3);
    };
    let news = Some("News".to_owned());
    time("top 20 of everything", Filter { top: 20, ..Filter::default() });
    time("top 20 of a publication and label", Filter { publication: news, label: Some("PER".into()), top: 20 });
    time("top 20 of a label", Filter { label: Some("PER".into()), top: 20, ..Filter::default() });
    let begun = Instant::now();
    reader.overview(8).expect("reads");
    println!("{:<40} {:>8.1} ms", "overview", begun.elapsed().as_secs_f64() * 1e3);
    let log = std::fs::metadata(path.with_file_name("copydesk.db-wal")).map_or(0, |file| file.len());
    println!("write-ahead log: {} MB", log >> 20);
}
