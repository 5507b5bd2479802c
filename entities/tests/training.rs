//! Promises of training, on a small made-up language of names.

use entities::corpus::{Document, Span};
use entities::desk::Desk;
use entities::evaluate::evaluate;
use entities::mapped::Bytes;
use entities::tagger::file::Verify;
use entities::train::{Progress, Settings, TrainError, train};
use entities::{Engine, Scheme};

fn settings(seed: u64) -> Settings {
    Settings { name: "small".into(), notice: "made up".into(), epochs: 4, seed, features_max: 20_000 }
}

/// Sentences of which the labels can be told from context alone; `from` varies the names.
fn documents(from: usize) -> Vec<Document> {
    let syllables = ["ka", "ro", "mi", "tu", "le", "so", "ban", "dir"];
    let name = |n: usize| {
        let name: String = [n, n / 3, n / 7].iter().map(|n| syllables[n % syllables.len()]).collect();
        format!("{}{}", name[..1].to_uppercase(), &name[1..])
    };
    (from..from + 150)
        .map(|n| {
            let mut document = Document::default();
            let mut push = |text: &str, label: Option<&str>| {
                let start = document.text.len();
                document.text.push_str(text);
                if let Some(label) = label {
                    document.spans.push(Span { bytes: start..document.text.len(), label: label.into() });
                }
            };
            push("The minister Mr ", None);
            push(&format!("{} {}", name(n), name(n + 5)), Some("Human"));
            push(" said so in the city of ", None);
            push(&name(n * 5 + 1), Some("Town"));
            push(". It rained.\n", None);
            document
        })
        .collect()
}

#[test]
fn the_same_files_and_seed_give_the_same_model() {
    let (documents, dev) = (documents(0), documents(1_000));
    let train = |seed| train(&documents, &dev, &settings(seed), |_| {}).expect("trains");
    let first = train(1);
    assert!(first == train(1), "two runs with one seed differ");
    assert!(first != train(2), "the seed changes nothing");
}

#[test]
fn what_was_learned_holds_for_names_never_seen_and_any_labels() {
    let (documents, dev) = (documents(0), documents(1_000));
    let mut told = Vec::new();
    let model = train(&documents, &dev, &settings(1), |progress| told.push(progress)).expect("trains");
    let mut desk = Desk::new(Bytes::Owned(model), Verify::Checksum).expect("opens");
    assert_eq!((desk.name(), desk.notice(), desk.labels()), ("small", "made up", &["Human".into(), "Town".into()][..]));
    let report = evaluate(&mut desk, &dev, &Scheme::same());
    assert!(report.overall.f1 > 95.0, "{report:?}");
    // What progress said of the last epoch is what the written model reaches.
    let Some(Progress::Epoch { number: 4, dev, .. }) = told.last() else { panic!("{told:?}") };
    assert_eq!(*dev, report);
}

#[test]
fn nothing_to_learn_is_refused() {
    let plain = [Document { text: "Nothing here.".into(), spans: vec![] }];
    assert_eq!(train(&plain, &plain, &settings(1), |_| {}), Err(TrainError::NoLabels));
    let span = |n: usize| Span { bytes: n..n + 1, label: format!("L{n}") };
    let many = [Document { text: "a".repeat(100), spans: (0..100).map(span).collect() }];
    assert_eq!(train(&many, &many, &settings(1), |_| {}), Err(TrainError::TooManyLabels(100)));
}
