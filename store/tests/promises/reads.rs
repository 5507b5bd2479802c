//! Readers see what is committed, in the order that is documented, and create nothing.

use store::{Filter, Leader, StoreError, Target};

use crate::support::{Place, apply_one, batch};

fn filled() -> Place {
    let place = Place::new();
    let batches = [
        batch("1", "B", &[("LOC", "kenya", 3), ("PER", "ana", 5), ("PER", "zoë", 5)]),
        batch("2", "A", &[("LOC", "kenya", 4), ("PER", "zoë", 5)]),
        batch("3", "A", &[]),
    ];
    place.open().apply(&batches).expect("applies");
    place
}

#[test]
fn counters_are_ordered_by_count_then_publication_label_and_entity() {
    let place = filled();
    let all = ["a/PER/zoë=5", "b/PER/ana=5", "b/PER/zoë=5", "a/LOC/kenya=4", "b/LOC/kenya=3"];
    assert_eq!(place.counters(), all);
    let top = place.entities(&Filter { top: 2, ..Filter::default() });
    assert_eq!(top.iter().map(|row| row.entity.as_str()).collect::<Vec<_>>(), ["zoë", "ana"]);
}

#[test]
fn filters_narrow_and_the_publication_is_found_however_it_is_spelled() {
    let place = filled();
    let found = |publication: Option<&str>, label: Option<&str>| {
        let filter = Filter { publication: publication.map(str::to_owned), label: label.map(str::to_owned), top: 0 };
        place.entities(&filter).len()
    };
    assert_eq!(found(Some(" B "), None), 3);
    assert_eq!(found(Some("b"), Some("PER")), 2);
    assert_eq!(found(None, Some("LOC")), 2);
    assert_eq!(found(Some("c"), None), 0);
    assert_eq!(found(Some("b"), Some("per")), 0, "labels are as the engine writes them");
}

#[test]
fn the_overview_sums_over_publications() {
    let overview = filled().target().reader().expect("a reader").overview(1).expect("an overview");
    assert_eq!((overview.publications, overview.articles, overview.mentions), (2, 3, 22));
    let leader = |entity: &str, count| vec![Leader { entity: entity.to_owned(), count }];
    let leaders: Vec<_> = overview.leaders.into_iter().collect();
    assert_eq!(leaders, [("LOC".to_owned(), leader("kenya", 7)), ("PER".to_owned(), leader("zoë", 10))]);
}

#[test]
fn a_reader_sees_new_commits_and_holds_up_no_saver() {
    let place = filled();
    let mut store = place.open();
    let mut reader = place.target().reader().expect("a reader");
    for n in 0..3 {
        apply_one(&mut *store, batch(&format!("more {n}"), "A", &[]));
        let publications = reader.publications().expect("publications");
        assert_eq!(publications[0].articles, 3 + n);
    }
}

#[test]
fn reading_creates_nothing() {
    let place = Place::new();
    assert!(matches!(place.target().reader(), Err(StoreError::Absent(_))));
    assert!(!place.path.exists());
    assert!(matches!(Target::None.reader(), Err(StoreError::Absent(_))));
    // A file that its writer has only just made.
    std::fs::write(&place.path, b"").expect("write");
    assert!(matches!(place.target().reader(), Err(StoreError::Absent(_))));
}

#[test]
fn whoever_reads_while_the_store_is_made_finds_nothing_or_all_of_it() {
    for _ in 0..20 {
        let place = Place::new();
        let (target, path) = (place.target(), place.path.clone());
        let reading = std::thread::spawn(move || {
            loop {
                match target.reader().and_then(|mut reader| reader.publications()) {
                    Err(StoreError::Absent(_)) => {}
                    Ok(publications) if publications.is_empty() => {}
                    Ok(publications) => return publications[0].articles,
                    Err(error) => unreachable!("{}: {error}", path.display()),
                }
            }
        });
        apply_one(&mut *place.open(), batch("1", "A", &[]));
        assert_eq!(reading.join().expect("the reader"), 1);
    }
}
