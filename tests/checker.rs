//! What should be in the store, and whether it is: counters per publication, label and entity, compared one by one.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::harness::copydesk_ok;

/// Counters: `(publication key, label, entity)` to count; articles stand under `(key, "", "")`.
pub type Counters = BTreeMap<(String, String, String), u64>;

/// What `copydesk extract` finds in posts, summed up here.
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

/// What the store of a data directory holds.
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

/// Fails with the first differences if the counters are not the same.
pub fn assert_same(stored: &Counters, expected: &Counters) {
    let lost: Vec<_> = expected.iter().filter(|(key, count)| stored.get(key).copied().unwrap_or(0) < **count).collect();
    let excess: Vec<_> =
        stored.iter().filter(|(key, count)| expected.get(key).copied().unwrap_or(0) < **count).collect();
    assert!(
        lost.is_empty() && excess.is_empty(),
        "{} counters too low, such as {:?}; {} too high, such as {:?}",
        lost.len(),
        &lost[..lost.len().min(3)],
        excess.len(),
        &excess[..excess.len().min(3)]
    );
}

/// All articles in the counters.
pub fn articles(counters: &Counters) -> u64 {
    counters.iter().filter(|((_, label, _), _)| label.is_empty()).map(|(_, count)| count).sum()
}
