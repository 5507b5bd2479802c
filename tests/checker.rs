//! The one checker of all fault tests, as Jepsen's queue checker does it: from what was attempted, what was acknowledged
//! and what is saved it computes what is lost, unexpected and duplicated. All three have to be nothing.
//!
//! It shares no code with the product: the store is read with SQL of its own, and what counters should be is what
//! `copydesk extract`, which knows neither queue nor store, finds in the posts that are saved.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io::Write;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::harness::copydesk_ok;

/// Counters: `(publication key, label, entity)` to count; articles stand under `(key, "", "")`.
pub type Counters = BTreeMap<(String, String, String), u64>;

/// What clients did: filled by them while faults happen, read by the checker afterwards.
#[derive(Default)]
pub struct Ledger {
    entries: Mutex<BTreeMap<String, Entry>>,
    acknowledged: AtomicUsize,
}

struct Entry {
    post: Value,
    is_acknowledged: bool,
}

impl Ledger {
    /// Notes posts, each with an id, before they are sent for the first time.
    pub fn attempt(&self, posts: &[Value]) {
        let mut entries = self.entries();
        for post in posts {
            let entry = Entry { post: post.clone(), is_acknowledged: false };
            let first = &entries.entry(id(post)).or_insert(entry).post;
            assert_eq!(first, post, "two posts with one id");
        }
    }

    /// Notes posts that got a 202: each was taken, now or before.
    pub fn acknowledge<'a>(&self, posts: impl IntoIterator<Item = &'a Value>) {
        let mut entries = self.entries();
        for post in posts {
            let entry = entries.get_mut(&id(post)).expect("an attempt comes before its answer");
            if !std::mem::replace(&mut entry.is_acknowledged, true) {
                self.acknowledged.fetch_add(1, Ordering::Relaxed);
            }
        }
    }

    /// Posts acknowledged so far.
    pub fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }

    /// Judges the store of a data directory whose pipeline ran with `--mentions` and has stopped or drained, given the
    /// ids of the posts that are dead letters.
    pub fn verdict(&self, data_dir: &Path, dead_letters: &[String]) -> Verdict {
        let entries = self.entries();
        let (saved, stored) = saved(&data_dir.join("copydesk.db"));
        let dead: BTreeSet<_> = dead_letters.iter().cloned().collect();
        let acknowledged: BTreeSet<_> =
            entries.iter().filter(|(_, entry)| entry.is_acknowledged).map(|(id, _)| id.clone()).collect();
        let ended: BTreeSet<_> = saved.union(&dead).cloned().collect();
        let both = saved.intersection(&dead).map(|id| format!("{id}, saved and a dead letter"));
        let expected = expected_of(saved.iter().filter_map(|id| Some(&entries.get(id)?.post)));
        let differences = |too_low: bool| differences(&stored, &expected, too_low);
        Verdict {
            acknowledged: acknowledged.len(),
            saved: saved.len(),
            lost: acknowledged.difference(&ended).cloned().chain(differences(true)).collect(),
            unexpected: ended.iter().filter(|id| !entries.contains_key(*id)).cloned().collect(),
            duplicated: both.chain(differences(false)).collect(),
            dead_lettered: dead.len(),
            recovered: ended.difference(&acknowledged).count(),
        }
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<String, Entry>> {
        self.entries.lock().expect("no client panicked")
    }
}

fn id(post: &Value) -> String {
    post["id"].as_str().expect("a post that is checked has an id").to_owned()
}

/// What became of everything that was attempted.
#[derive(Debug)]
pub struct Verdict {
    /// Posts that got a 202.
    pub acknowledged: usize,
    /// Posts whose row is in the store.
    pub saved: usize,
    /// Posts that were acknowledged and are neither saved nor dead letters; and counters lower than what is saved.
    pub lost: Vec<String>,
    /// Posts that are saved or dead letters and that nobody sent.
    pub unexpected: Vec<String>,
    /// Counters higher than what is saved, and posts that are saved and dead letters.
    pub duplicated: Vec<String>,
    /// Posts that are dead letters.
    pub dead_lettered: usize,
    /// Posts that are saved or dead letters although their client never learned that they were taken.
    pub recovered: usize,
}

impl Verdict {
    /// Fails if anything was lost, came from nowhere or counts twice; prints the verdict in any case.
    pub fn assert_clean(&self) {
        println!("{self}");
        let is_clean = self.lost.is_empty() && self.unexpected.is_empty() && self.duplicated.is_empty();
        assert!(is_clean, "{self}");
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Verdict { acknowledged, saved, lost, unexpected, duplicated, dead_lettered, recovered } = self;
        write!(
            f,
            "acknowledged {acknowledged}, saved {saved}, dead-lettered {dead_lettered}, recovered {recovered}: "
        )?;
        write!(f, "lost {}, unexpected {}, duplicated {}", lost.len(), unexpected.len(), duplicated.len())?;
        for (name, list) in [("lost", lost), ("unexpected", unexpected), ("duplicated", duplicated)] {
            if !list.is_empty() {
                write!(f, "; {name}: {:?}", &list[..list.len().min(5)])?;
            }
        }
        Ok(())
    }
}

/// The ids and the counters in a store; nothing if there is none yet.
fn saved(database: &Path) -> (BTreeSet<String>, Counters) {
    if !database.exists() {
        return (BTreeSet::new(), Counters::new());
    }
    let mut connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_ONLY).expect("the store");
    // One moment, should somebody still write.
    let moment = connection.transaction().expect("a transaction");
    let mut query = moment.prepare("SELECT id FROM posts").expect("the posts table");
    let ids = query.query_map([], |row| row.get(0)).expect("posts").map(|id| id.expect("an id")).collect();
    let counters = "SELECT key, '', '', articles FROM publications UNION ALL
                    SELECT key, label, entity, count FROM counters JOIN publications ON publications.id = publication";
    let mut query = moment.prepare(counters).expect("the tables of counters");
    let row = |row: &rusqlite::Row<'_>| Ok(((row.get(0)?, row.get(1)?, row.get(2)?), row.get(3)?));
    let counters = query.query_map([], row).expect("counters").map(|row| row.expect("a counter")).collect();
    (ids, counters)
}

/// What `copydesk extract` finds in posts, summed up.
fn expected_of<'a>(posts: impl Iterator<Item = &'a Value>) -> Counters {
    let mut file = tempfile::NamedTempFile::new().expect("temp file");
    let lines: String = posts.map(|post| format!("{post}\n")).collect();
    file.write_all(lines.as_bytes()).expect("write");
    expected(&file.path().display().to_string())
}

/// What `copydesk extract` finds in a file of posts, summed up here.
pub fn expected(posts_file: &str) -> Counters {
    let mut counters = Counters::new();
    for line in copydesk_ok(&["extract", posts_file]).lines() {
        let post: Value = serde_json::from_str(line).expect("extract prints JSON");
        let key = post["publication"].as_str().expect("publication").trim().to_lowercase();
        *counters.entry((key.clone(), String::new(), String::new())).or_default() += 1;
        for mention in post["mentions"].as_array().expect("mentions") {
            let text = |field: &str| mention[field].as_str().expect("text").to_owned();
            *counters.entry((key.clone(), text("label"), text("entity"))).or_default() += 1;
        }
    }
    counters
}

/// What Copydesk says that the store of a data directory holds.
pub fn stored(data_dir: &Path) -> Counters {
    let data_dir = format!("--data-dir={}", data_dir.display());
    let array = |args: &[&str]| -> Vec<Value> { serde_json::from_str(&copydesk_ok(args)).expect("a JSON array") };
    let mut counters = Counters::new();
    for row in array(&["publications", "--json", &data_dir]) {
        let key = row["publication"].as_str().expect("publication").to_owned();
        counters.insert((key, String::new(), String::new()), row["articles"].as_u64().expect("articles"));
    }
    for row in array(&["entities", "--json", "--top=0", &data_dir]) {
        let text = |field: &str| row[field].as_str().expect("text").to_owned();
        let key = (text("publication"), text("label"), text("entity"));
        assert!(counters.insert(key, row["count"].as_u64().expect("count")).is_none(), "a counter twice");
    }
    counters
}

/// Counters that are too low, or too high.
fn differences(stored: &Counters, expected: &Counters, too_low: bool) -> Vec<String> {
    let count = |counters: &Counters, key: &_| counters.get(key).copied().unwrap_or(0);
    let keys: BTreeSet<_> = stored.keys().chain(expected.keys()).collect();
    let is_wrong = |key: &&_| match too_low {
        true => count(stored, key) < count(expected, key),
        false => count(stored, key) > count(expected, key),
    };
    let name = |key: &(String, String, String)| {
        format!("counter {key:?} is {} and not {}", count(stored, key), count(expected, key))
    };
    keys.into_iter().filter(is_wrong).map(name).collect()
}

/// Fails with the first differences if the counters are not the same.
pub fn assert_same(stored: &Counters, expected: &Counters) {
    for (too_low, what) in [(true, "low"), (false, "high")] {
        let wrong = differences(stored, expected, too_low);
        assert!(
            wrong.is_empty(),
            "{} counters are too {what}, such as {:?}",
            wrong.len(),
            &wrong[..wrong.len().min(3)]
        );
    }
}

/// All articles in the counters.
pub fn articles(counters: &Counters) -> u64 {
    counters.iter().filter(|((_, label, _), _)| label.is_empty()).map(|(_, count)| count).sum()
}

#[test]
fn the_checker_sees_what_is_lost_unexpected_and_duplicated() {
    let dir = tempfile::TempDir::new().expect("temp dir");
    let pipeline = crate::harness::Pipeline::start(dir.path(), &["--mentions"]);
    let load = crate::client::Load::default();
    let ledger = crate::client::Client::start(&pipeline.url, crate::harness::sample_posts(20), load).finish();
    pipeline.wait_counted();
    pipeline.stop();
    let counts = |dead: &[&str]| {
        let dead: Vec<_> = dead.iter().map(ToString::to_string).collect();
        let verdict = ledger.verdict(dir.path(), &dead);
        (verdict.saved, verdict.lost.len(), verdict.unexpected.len(), verdict.duplicated.len())
    };
    assert_eq!(counts(&[]), (20, 0, 0, 0));
    assert_eq!(counts(&["post-3"]), (20, 0, 0, 1), "saved and a dead letter");
    assert_eq!(counts(&["post-99"]), (20, 0, 1, 0), "a dead letter that nobody sent");
    let store = Connection::open(dir.path().join("copydesk.db")).expect("the store");
    let change = |sql: &str| assert_eq!(store.execute(sql, []).expect(sql), 1, "{sql}");
    change("UPDATE counters SET count = count + 1 WHERE entity = 'Kofi Annan'");
    assert_eq!(counts(&[]), (20, 0, 0, 1), "a mention counted twice");
    change("UPDATE counters SET count = count - 2 WHERE entity = 'Kofi Annan'");
    assert_eq!(counts(&[]), (20, 1, 0, 0), "a mention not counted");
    change("UPDATE counters SET count = count + 1 WHERE entity = 'Kofi Annan'");
    change("UPDATE posts SET id = 'nobody' WHERE id = 'post-7'");
    let (saved, lost, unexpected, _) = counts(&[]);
    assert!((saved, unexpected) == (20, 1) && lost >= 1, "one post in the place of another");
    change("DELETE FROM posts WHERE id = 'nobody'");
    let verdict = ledger.verdict(dir.path(), &[]);
    assert!(verdict.lost.contains(&"post-7".to_owned()), "{verdict}");
    assert!(std::panic::catch_unwind(|| verdict.assert_clean()).is_err());
}
