//! Names come back as they were.

use store::Filter;

use crate::support::{Place, apply_one, batch};

#[test]
fn every_name_comes_back_as_it_was() {
    let place = Place::new();
    let mut store = place.open();
    let long = "ü".repeat(200);
    let names = [
        "../x",
        "a/b",
        "__all__",
        "o'hara\"; drop table counters; --",
        "🗞️ новости",
        "日本",
        "%_",
        ":memory:",
        "nul\0in it",
        "",
        " spaced  out ",
        &long,
    ];
    for (n, name) in names.iter().enumerate() {
        let named = batch(&format!("batch {n} {name}"), &format!("p {name}|"), &[("L'\"", name, 1)]);
        apply_one(&mut *store, named);
    }
    let publications = place.target().reader().expect("a reader").publications().expect("publications");
    assert_eq!(publications.len(), names.len());
    for name in names {
        let publication = format!("p {name}|");
        let filter = Filter { publication: Some(publication.to_uppercase()), label: Some("L'\"".into()), top: 0 };
        // Upper-cased and back is the same for all of these.
        let found = place.entities(&filter);
        assert_eq!(found.len(), 1, "{name:?}");
        assert_eq!((&*found[0].publication, &*found[0].entity), (&*publication, name));
    }
}

#[test]
fn strange_file_names_are_files() {
    let dir = tempfile::TempDir::new().expect("temp dir");
    for name in ["file:x?mode=memory", ":memory:", "a b'\"%20ü.db"] {
        let target = store::Target::Sqlite(dir.path().join(name));
        apply_one(&mut *target.open().expect("opens"), batch("1", "A", &[]));
        assert!(dir.path().join(name).is_file(), "{name}");
        assert_eq!(target.reader().expect("reads").publications().expect("publications").len(), 1, "{name}");
    }
}
