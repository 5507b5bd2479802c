//! What is counted is what was posted.

use tempfile::TempDir;

use crate::checker::{articles, assert_same, expected, stored};
use crate::harness::{Pipeline, copydesk, copydesk_ok, repository, shared, write_posts};

/// Runs `copydesk up` over a file and gives its summary line.
fn up(data_dir: &TempDir, file: &str) -> serde_json::Value {
    let data_dir = format!("--data-dir={}", data_dir.path().display());
    let printed =
        copydesk_ok(&["up", file, &data_dir, "--listen=127.0.0.1:0", "--workers=2", "--exit-when-done", "--json"]);
    assert_eq!(printed.lines().count(), 1, "one line of JSON: {printed}");
    serde_json::from_str(&printed).expect("JSON")
}

#[test]
fn the_first_five_minutes_count_what_extract_finds() {
    let dir = TempDir::new().expect("temp dir");
    let file = repository("examples/articles.ndjson");
    let summary = up(&dir, &file);
    let stored = stored(dir.path());
    assert_same(&stored, &expected(&file));
    assert!(articles(&stored) >= 40);
    assert_eq!(summary["articles"], articles(&stored));
    assert_eq!(summary["load"]["rejected"], 0);
}

#[test]
fn of_two_ups_on_one_directory_one_does_the_work_and_the_other_says_why_not() {
    let dir = TempDir::new().expect("temp dir");
    let file = repository("examples/articles.ndjson");
    let data_dir = format!("--data-dir={}", dir.path().display());
    let args = ["up", &file, &data_dir, "--listen=127.0.0.1:0", "--workers=1", "--exit-when-done", "--json"];
    let both = [(), ()].map(|()| {
        let args = args.map(str::to_owned);
        std::thread::spawn(move || copydesk(&args.each_ref().map(String::as_str)))
    });
    let mut codes = both.map(|up| up.join().expect("it ends").status.code());
    codes.sort();
    assert_eq!(codes, [Some(0), Some(78)]);
    assert_same(&stored(dir.path()), &expected(&file));
}

#[test]
fn every_counter_of_845_real_articles_is_right_and_loading_twice_changes_nothing() {
    let Some(file) = shared("articles/articles.ndjson") else { return };
    let file = file.display().to_string();
    let dir = TempDir::new().expect("temp dir");
    let first = up(&dir, &file);
    let expected = expected(&file);
    assert_same(&stored(dir.path()), &expected);
    assert_eq!(articles(&expected), 845);
    assert_eq!(first["load"]["accepted"], 845);
    let second = up(&dir, &file);
    assert_same(&stored(dir.path()), &expected);
    assert_eq!(second["load"]["duplicates"], 845);
}

#[test]
fn posts_without_ids_are_counted_once_however_often_their_file_is_loaded() {
    let dir = TempDir::new().expect("temp dir");
    let twin = serde_json::json!({"publication": "Twins", "content": "Kofi Annan was born in Kumasi."});
    let file = write_posts(&dir.path().join("posts.ndjson"), [twin.clone(), twin].into_iter());
    up(&dir, &file);
    let second = up(&dir, &file);
    assert_eq!(second["load"]["duplicates"], 2);
    let stored = stored(dir.path());
    assert_eq!(articles(&stored), 2, "equal lines of one file are two posts");
    assert_same(&stored, &expected(&file));
}

#[test]
fn strange_publication_names_come_back_as_they_were() {
    let dir = TempDir::new().expect("temp dir");
    let long = "ü".repeat(200);
    let names = ["../x", "__all__", "a/b", "🗞️ news", "o'hara; drop table publications", "%2e%2e", "日本", &long];
    let pipeline = Pipeline::start(dir.path(), &[]);
    for name in names {
        let post = serde_json::json!({"publication": name, "content": "Angela Merkel was born in Hamburg."});
        let (status, answer) = pipeline.post("application/json", post.to_string().as_bytes()).expect("an answer");
        assert_eq!((status, &answer["accepted"]), (202, &serde_json::json!(1)), "{name}: {answer}");
    }
    pipeline.wait_counted();
    for name in names {
        let path: String = name.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let (status, found) = pipeline.get(&format!("/v1/publications/{path}/entities")).expect("an answer");
        assert_eq!(status, 200, "{name}: {found}");
        assert!(found.as_array().is_some_and(|found| !found.is_empty()), "{name}: {found}");
        assert_eq!(found[0]["publication"], name);
    }
    let (_, publications) = pipeline.get("/v1/publications").expect("an answer");
    assert_eq!(publications.as_array().map(Vec::len), Some(names.len()));
    pipeline.stop();
}

#[test]
fn kept_mentions_slice_to_their_text() {
    let dir = TempDir::new().expect("temp dir");
    let content = "“Zoë” and 🎻 met Nelson Mandela in Johannesburg.";
    let pipeline = Pipeline::start(dir.path(), &["--mentions"]);
    let post = serde_json::json!({"id": "m", "publication": "p", "title": "Nelson Mandela", "content": content});
    pipeline.post("application/json", post.to_string().as_bytes()).expect("an answer");
    pipeline.wait_counted();
    pipeline.stop();
    let database = rusqlite::Connection::open(dir.path().join("copydesk.db")).expect("database");
    let mut query = database.prepare("SELECT start, \"end\", text, place FROM mentions").expect("the mentions table");
    let rows = query.query_map([], |row| {
        Ok((row.get::<_, usize>(0)?, row.get::<_, usize>(1)?, row.get::<_, String>(2)?, row.get::<_, String>(3)?))
    });
    let rows: Vec<_> = rows.expect("rows").map(|row| row.expect("row")).collect();
    assert!(rows.iter().any(|(.., text, place)| text == "Nelson Mandela" && place == "title"), "{rows:?}");
    assert!(rows.iter().any(|(.., text, place)| text == "Nelson Mandela" && place == "content"), "{rows:?}");
    for (start, end, text, place) in rows {
        let whole = if place == "title" { "Nelson Mandela" } else { content };
        let slice: String = whole.chars().skip(start).take(end - start).collect();
        assert_eq!(slice, text);
    }
}
