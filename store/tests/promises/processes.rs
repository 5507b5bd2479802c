//! Several savers at once, each a real process, and savers that are killed in the middle of a transaction.

use std::collections::BTreeSet;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use common::Batch;
use store::{Applied, Filter, Target};

use crate::support::{Place, batch};

/// Counters in every batch of these tests; half of them are the same in all.
const COUNTERS: usize = 100;
/// Batches in one call.
const BATCHES: usize = 3;

const PLACE: &str = "COPYDESK_TEST_STORE";
const NAME: &str = "COPYDESK_TEST_SAVER";

fn numbered(name: &str, n: usize) -> Batch {
    let common = (0..COUNTERS / 2).map(|m| ("PER", format!("common {m}")));
    let own = (0..COUNTERS / 2).map(|m| ("LOC", format!("{name} {}", (n * 31 + m * 7) % 1000)));
    let entities: Vec<_> = common.chain(own).collect();
    let entities: Vec<_> = entities.iter().map(|(label, entity)| (*label, entity.as_str(), 1)).collect();
    batch(&format!("{name}-{n}"), "the publication", &entities)
}

/// A process of this test program that only runs [`saver_process`].
struct Saver {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Saver {
    fn start(place: &Place, name: &str) -> Saver {
        let mut child = Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "processes::saver_process", "--ignored", "--nocapture"])
            .env(PLACE, &place.path)
            .env(NAME, name)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("a saver starts");
        let (stdin, stdout) = (child.stdin.take(), child.stdout.take().expect("piped"));
        let mut saver = Saver { child, stdin, stdout: BufReader::new(stdout) };
        saver.line_that_starts_with("ready");
        saver
    }

    fn go(&mut self) {
        self.stdin.as_mut().expect("not stopped").write_all(b"go\n").expect("it listens");
    }

    /// Ends the loop after the call in hand.
    fn stop(&mut self) {
        drop(self.stdin.take());
    }

    fn line_that_starts_with(&mut self, start: &str) -> String {
        let mut lines = self.stdout.by_ref().lines().map(|line| line.expect("a line"));
        let said = lines.find_map(|line| line.strip_prefix(start).map(|rest| rest.trim().to_owned()));
        said.unwrap_or_else(|| unreachable!("the saver ended before it said {start:?}"))
    }

    /// Kills it and gives the ids of the batches that it said were applied.
    fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("kill");
        self.child.wait().expect("wait");
        let mut said = String::new();
        self.stdout.read_to_string(&mut said).expect("read");
        // A last line without its end was not said.
        let lines = said.split_inclusive('\n').filter_map(|line| line.strip_prefix("applied ")?.strip_suffix('\n'));
        lines.flat_map(|line| line.split(' ')).map(str::to_owned).collect()
    }
}

#[test]
#[ignore = "a saver process, started by the tests below"]
fn saver_process() {
    let (Ok(path), Ok(name)) = (std::env::var(PLACE), std::env::var(NAME)) else { return };
    println!("\nready");
    std::io::stdin().read_line(&mut String::new()).expect("told to go");
    let stopped = std::thread::spawn(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
    let mut store = Target::Sqlite(path.into()).open().expect("opens");
    let (mut calls, mut longest) = (0, Duration::ZERO);
    while !stopped.is_finished() {
        let batches: Vec<_> = (0..BATCHES).map(|n| numbered(&name, calls * BATCHES + n)).collect();
        let ids: Vec<_> = batches.iter().map(|batch| batch.id.clone()).collect();
        let begun = Instant::now();
        assert_eq!(store.apply(&batches).expect("applies"), [Applied::Now, Applied::Now, Applied::Now]);
        longest = longest.max(begun.elapsed());
        println!("applied {}", ids.join(" "));
        store.confirm(&ids).expect("confirms");
        calls += 1;
    }
    println!("calls {calls} {}", longest.as_millis());
}

/// Every counter is what the markers say, whoever was killed when.
fn assert_counters_match_markers(place: &Place) -> u64 {
    let markers = u64::try_from(place.number("SELECT count(*) FROM batches")).expect("a count");
    let mut reader = place.target().reader().expect("a reader");
    let articles: u64 = reader.publications().expect("publications").iter().map(|row| row.articles).sum();
    let counters = reader.entities(&Filter::default()).expect("entities");
    assert_eq!(articles, markers, "articles and markers");
    assert_eq!(counters.iter().map(|row| row.count).sum::<u64>(), markers * COUNTERS as u64, "increments and markers");
    assert!(counters.iter().filter(|row| row.label == "PER").all(|row| row.count == markers), "common counters");
    assert_eq!(place.database().query_row("PRAGMA integrity_check", [], |row| row.get(0)), Ok("ok".to_owned()));
    markers
}

#[test]
fn savers_that_begin_on_no_database_take_turns_and_lose_nothing() {
    const SAVERS: usize = 5;
    let place = Place::new();
    let mut savers: Vec<_> = (0..SAVERS).map(|n| Saver::start(&place, &format!("saver {n}"))).collect();
    savers.iter_mut().for_each(Saver::go);
    // What is measured is the share of each in the same stretch of time.
    std::thread::sleep(Duration::from_secs(2));
    savers.iter_mut().for_each(Saver::stop);
    let mut calls = Vec::new();
    for saver in &mut savers {
        let said = saver.line_that_starts_with("calls ");
        let (count, longest) = said.split_once(' ').expect("two numbers");
        println!("{count} calls, the longest took {longest} ms");
        calls.push(count.parse::<usize>().expect("a number"));
        assert!(saver.child.wait().expect("wait").success());
    }
    assert_eq!(assert_counters_match_markers(&place), (calls.iter().sum::<usize>() * BATCHES) as u64);
    let (fewest, most) = (calls.iter().min().expect("some"), calls.iter().max().expect("some"));
    assert!(fewest * 3 >= *most, "one was starved: {calls:?}");
}

#[test]
fn a_saver_killed_at_any_moment_leaves_counters_and_markers_that_agree() {
    let place = Place::new();
    let mut said = BTreeSet::new();
    for round in 0..12_u64 {
        let mut savers: Vec<_> = (0..2).map(|n| Saver::start(&place, &format!("round{round}.{n}"))).collect();
        savers.iter_mut().for_each(Saver::go);
        savers[0].line_that_starts_with("applied ");
        // Not a wait for anything: the moment of the kill is spread over a few transactions.
        std::thread::sleep(Duration::from_micros(round * 7_919 % 20_000));
        said.extend(savers.into_iter().flat_map(Saver::kill));
        let markers = assert_counters_match_markers(&place);
        assert!(markers >= said.len() as u64);
    }
    let database = place.database();
    let mut marker = database.prepare("SELECT 1 FROM batches WHERE id = ?1").expect("SQL");
    for id in &said {
        assert!(marker.exists([id]).expect("query"), "{id} was applied and is gone");
    }
    assert!(!said.is_empty(), "nobody said anything");
}
