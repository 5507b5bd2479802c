//! Every batch is applied once, however often and with whom it is delivered; what is kept is kept once.

use common::{Batch, KeptMention, KeptPost, Place as In};
use store::Applied::{Before, Now, Refused};
use store::Target;

use crate::support::{Place, apply_one, batch};

#[test]
fn a_batch_is_applied_once_however_often_it_is_delivered() {
    let place = Place::new();
    let one = batch("1", "A", &[("PER", "x", 2)]);
    let mut store = place.open();
    let outcomes = store.apply(&[one.clone(), one.clone()]).expect("applies");
    assert_eq!(outcomes, [Now, Before], "twice in one call");
    assert_eq!(apply_one(&mut *store, one.clone()), Before, "in a later call");
    drop(store);
    assert_eq!(apply_one(&mut *place.open(), one), Before, "by another process");
    assert_eq!(place.counters(), ["a/PER/x=2"]);
    assert_eq!(place.number("SELECT articles FROM publications"), 1);
}

#[test]
fn batches_of_one_call_are_summed_up() {
    let place = Place::new();
    let batches = [
        batch("1", "A", &[("LOC", "y", 1), ("PER", "x", 2)]),
        batch("2", "B", &[("PER", "x", 7)]),
        batch("3", " a ", &[("PER", "x", 3)]),
    ];
    assert_eq!(place.open().apply(&batches).expect("applies"), [Now, Now, Now]);
    assert_eq!(place.counters(), ["b/PER/x=7", "a/PER/x=5", "a/LOC/y=1"]);
    let publications = place.target().reader().expect("a reader").publications().expect("publications");
    let publications: Vec<_> = publications.iter().map(|row| (row.publication.as_str(), row.articles)).collect();
    assert_eq!(publications, [("a", 2), ("b", 1)]);
}

#[test]
fn a_batch_that_can_never_be_applied_is_refused_alone_and_changes_nothing() {
    let place = Place::new();
    let mut store = place.open();
    let full = u64::try_from(i64::MAX).expect("positive");
    assert_eq!(apply_one(&mut *store, batch("0", "A", &[("PER", "x", full - 1)])), Now);
    let overflows = batch("2", "A", &[("LOC", "y", 5), ("PER", "x", 2)]);
    let too_large = batch("3", "A", &[("PER", "z", u64::MAX)]);
    let batches = [batch("1", "A", &[("PER", "x", 1)]), overflows, too_large, batch("4", "B", &[("PER", "x", 1)])];
    for round in 0..2 {
        let outcomes = store.apply(&batches).expect("applies");
        let good = if round == 0 { Now } else { Before };
        assert_eq!((&outcomes[0], &outcomes[3]), (&good, &good));
        assert!(matches!((&outcomes[1], &outcomes[2]), (Refused(_), Refused(_))), "{outcomes:?}");
    }
    assert_eq!(place.counters(), [format!("a/PER/x={full}"), "b/PER/x=1".to_owned()]);
    assert_eq!(place.number("SELECT count(*) FROM batches"), 3, "the refused have no marker");
}

#[test]
fn markers_are_pruned_when_confirmed_and_old_and_never_before() {
    let place = Place::new();
    let mut store = place.open();
    for id in ["old confirmed", "old", "new confirmed", "new"] {
        apply_one(&mut *store, batch(id, "A", &[]));
    }
    store.confirm(&["old confirmed".to_owned(), "new confirmed".to_owned()]).expect("confirms");
    // The end of a store writes down what was confirmed.
    drop(store);
    let eight_days_ago = "UPDATE batches SET applied_at = unixepoch() - 8 * 86400 WHERE id LIKE 'old%'";
    place.database().execute(eight_days_ago, []).expect("the clock is turned back");
    apply_one(&mut *place.open(), batch("next", "A", &[]));
    assert_eq!(place.number("SELECT count(*) FROM batches"), 4);
    assert_eq!(place.number("SELECT count(*) FROM batches WHERE id = 'old confirmed'"), 0);
    assert_eq!(place.number("SELECT count(*) FROM batches WHERE confirmed = 1"), 1);
}

#[test]
fn a_confirmation_is_written_with_the_next_call() {
    let place = Place::new();
    let mut store = place.open();
    apply_one(&mut *store, batch("1", "A", &[]));
    store.confirm(&["1".to_owned()]).expect("confirms");
    apply_one(&mut *store, batch("2", "A", &[]));
    assert_eq!(place.number("SELECT count(*) FROM batches WHERE confirmed = 1"), 1);
}

fn kept(batch_id: &str, post_id: &str) -> Batch {
    let mention = |text: &str, start: usize, place| KeptMention {
        label: "PER".to_owned(),
        text: text.to_owned(),
        start,
        end: start + text.chars().count(),
        entity: text.to_lowercase(),
        place,
    };
    let post = KeptPost {
        id: post_id.to_owned(),
        publication: "p".to_owned(),
        title: Some("Zoë".to_owned()),
        published_at: None,
        url: Some("https://example.org/1".to_owned()),
        mentions: vec![mention("Zoë", 0, In::Title), mention("Zoë", 6, In::Content), mention("Ana", 14, In::Content)],
    };
    Batch { id: batch_id.to_owned(), publications: Vec::new(), posts: vec![post] }
}

#[test]
fn a_kept_post_is_kept_once_with_its_mentions_in_reading_order() {
    let place = Place::new();
    let mut store = place.open();
    // Its counters may come in another batch, before or after it.
    let batches = [kept("1", "post"), kept("2", "post"), batch("3", "P", &[("PER", "zoë", 2)]), kept("4", "other")];
    assert_eq!(store.apply(&batches).expect("applies"), [Now, Now, Now, Now]);
    assert_eq!(apply_one(&mut *store, kept("5", "post")), Now);
    assert_eq!(place.number("SELECT count(*) FROM posts"), 2);
    assert_eq!(place.number("SELECT articles FROM publications WHERE key = 'p' AND name = 'P'"), 1);
    let database = place.database();
    let sql = "SELECT text || ' ' || place || ' ' || start || ' ' || \"end\"
        FROM mentions JOIN posts ON posts.number = mentions.post WHERE posts.id = 'post' ORDER BY position";
    let mut statement = database.prepare(sql).expect(sql);
    let rows = statement.query_map([], |row| row.get::<_, String>(0)).expect("rows");
    let rows: Vec<_> = rows.map(|row| row.expect("row")).collect();
    assert_eq!(rows, ["Zoë title 0 3", "Zoë content 6 9", "Ana content 14 17"]);
}

#[test]
fn the_store_that_keeps_nothing_takes_everything() {
    let mut store = Target::None.open().expect("opens");
    assert_eq!(apply_one(&mut *store, batch("1", "A", &[("PER", "x", 1)])), Now);
    store.confirm(&["1".to_owned()]).expect("confirms");
}
