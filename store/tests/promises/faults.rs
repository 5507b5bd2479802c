//! What is wrong is named, with the next thing to try, and nothing is damaged further.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use store::{Applied, StoreError, Target};

use crate::support::{Place, apply_one, batch};

fn unusable(path: &Path) -> String {
    let target = Target::Sqlite(path.to_owned());
    let writing = target.open().err().expect("can't be written");
    if path.is_file() {
        let reading = target.reader().err().expect("can't be read");
        assert_eq!(writing.to_string(), reading.to_string(), "both sides say the same");
    }
    assert!(matches!(writing, StoreError::Unusable(_)), "{writing:?}");
    writing.to_string()
}

#[test]
fn a_store_of_a_newer_version_is_left_alone() {
    let place = Place::new();
    apply_one(&mut *place.open(), batch("1", "A", &[]));
    place.database().pragma_update(None, "user_version", 2).expect("a newer version");
    let before = std::fs::read(&place.path).expect("read");
    assert!(unusable(&place.path).contains("newer Copydesk"));
    assert_eq!(std::fs::read(&place.path).expect("read"), before);
}

#[test]
fn a_database_of_another_program_is_left_alone() {
    let place = Place::new();
    place.database().execute_batch("CREATE TABLE theirs (x); PRAGMA user_version = 1").expect("their table");
    assert!(unusable(&place.path).contains("some other program"));
    assert_eq!(place.number("SELECT count(*) FROM sqlite_schema"), 1);
}

#[test]
fn a_file_that_is_no_database_is_left_alone() {
    let place = Place::new();
    std::fs::write(&place.path, "notes, and not a database at all".repeat(100)).expect("write");
    assert!(unusable(&place.path).contains("not a SQLite database"));
}

#[test]
fn a_store_that_was_removed_or_replaced_takes_nothing_more() {
    let place = Place::new();
    let mut store = place.open();
    apply_one(&mut *store, batch("1", "A", &[]));
    let refusal = |store: &mut dyn store::Store| {
        let error = store.apply(&[batch("2", "A", &[])]).expect_err("refused");
        assert!(matches!(error, StoreError::Unusable(_)), "{error:?}");
        error.to_string()
    };
    let elsewhere = place.path.with_extension("moved");
    std::fs::rename(&place.path, &elsewhere).expect("rename");
    assert!(refusal(&mut *store).contains("removed or replaced"));
    std::fs::copy(&elsewhere, &place.path).expect("copy");
    assert!(refusal(&mut *store).contains("removed or replaced"));
    std::fs::rename(&elsewhere, &place.path).expect("rename back");
    assert_eq!(apply_one(&mut *store, batch("2", "A", &[])), Applied::Now);
    let file = std::fs::File::options().write(true).open(&place.path).expect("open");
    file.set_len(0).expect("truncate");
    assert!(refusal(&mut *store).contains("overwritten"));
}

#[test]
fn a_missing_directory_is_named() {
    let place = Place::new();
    assert!(unusable(&place.path.with_file_name("no such").join("x.db")).contains("directory"));
}

#[test]
fn a_directory_in_the_place_of_the_file_is_named() {
    let place = Place::new();
    std::fs::create_dir(&place.path).expect("mkdir");
    assert!(place.target().open().is_err());
}

#[test]
fn a_file_that_may_not_be_written_is_named() {
    let place = Place::new();
    apply_one(&mut *place.open(), batch("1", "A", &[]));
    std::fs::set_permissions(&place.path, std::fs::Permissions::from_mode(0o400)).expect("chmod");
    if std::fs::OpenOptions::new().write(true).open(&place.path).is_ok() {
        println!("skipped: this user may write everything");
        return;
    }
    assert!(matches!(place.target().open(), Err(StoreError::Unusable(_))));
}

#[test]
fn damage_found_while_writing_is_unusable() {
    let place = Place::new();
    let entities: Vec<_> = (0..2000).map(|n| format!("entity {n}")).collect();
    let entities: Vec<_> = entities.iter().map(|entity| ("PER", entity.as_str(), 1)).collect();
    apply_one(&mut *place.open(), batch("1", "A", &entities));
    let mut bytes = std::fs::read(&place.path).expect("read");
    bytes[4096..].fill(0x55);
    std::fs::write(&place.path, bytes).expect("write");
    let applied = place.target().open().and_then(|mut store| store.apply(&[batch("2", "A", &entities)]));
    match applied {
        Err(StoreError::Unusable(message)) => assert!(message.contains("damaged"), "{message}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_lock_held_by_another_program_is_waited_for() {
    let place = Place::new();
    let mut store = place.open();
    let other = place.database();
    other.execute_batch("BEGIN IMMEDIATE").expect("the lock");
    let error = store.apply(&[batch("1", "A", &[])]).expect_err("locked");
    assert!(matches!(error, StoreError::Unavailable(_)), "{error:?}");
    other.execute_batch("COMMIT").expect("unlocks");
    assert_eq!(apply_one(&mut *store, batch("1", "A", &[])), Applied::Now);
}
