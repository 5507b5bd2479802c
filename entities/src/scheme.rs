//! Label schemes: how the labels of one data set are read as those of another.

use std::collections::{BTreeMap, BTreeSet};
use std::str::FromStr;

use crate::corpus::Document;

/// A mapping of labels.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Scheme {
    pairs: BTreeMap<String, Option<String>>,
    /// Labels that are not named are dropped, not kept.
    is_closed: bool,
}

/// The labels of the engine that ships.
const FOUR: [&str; 4] = ["PER", "ORG", "LOC", "MISC"];

/// How nine-label news is read as four.
const NINE_TO_FOUR: [(&str, &str); 7] = [
    ("Person", "PER"),
    ("Organization", "ORG"),
    ("Location", "LOC"),
    ("Facility", "LOC"),
    ("NORP", "MISC"),
    ("Misc", "MISC"),
    ("Product", "MISC"),
];

/// Labels of nine-label news that the four don't cover.
const NINE_DROPPED: [&str; 2] = ["Date", "Money"];

/// Why a text is not a scheme.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no label scheme; use four, core, or pairs such as Person=PER,Date=")]
pub struct SchemeError(String);

impl Scheme {
    /// Every label is itself.
    pub fn same() -> Scheme {
        Scheme::default()
    }

    /// Nine labels as `PER`, `ORG`, `LOC`, `MISC`: facilities are locations; nationalities and products are `MISC`;
    /// dates and money are dropped.
    pub fn four() -> Scheme {
        let pairs = NINE_TO_FOUR.into_iter().chain(FOUR.map(|label| (label, label)));
        Scheme { pairs: pairs.map(|(from, to)| (from.to_owned(), Some(to.to_owned()))).collect(), is_closed: true }
    }

    /// `PER`, `ORG` and `LOC` alone, without facilities.
    pub fn core() -> Scheme {
        let mut scheme = Scheme::four();
        scheme.pairs.retain(|from, to| from != "Facility" && to.as_deref() != Some("MISC"));
        scheme
    }

    /// The scheme under which labels from both sides can be compared, if nobody asked for one: four where one side has
    /// only those and the other is nine-label news, otherwise the labels as they are.
    pub fn between<'a>(ours: impl IntoIterator<Item = &'a str>, theirs: impl IntoIterator<Item = &'a str>) -> Scheme {
        let (ours, theirs): (Vec<_>, Vec<_>) = (ours.into_iter().collect(), theirs.into_iter().collect());
        let is_four = |labels: &[&str]| labels.iter().all(|label| FOUR.contains(label));
        let is_nine =
            |label: &&&str| NINE_DROPPED.contains(*label) || NINE_TO_FOUR.iter().any(|(from, _)| from == *label);
        let has_nine = |labels: &[&str]| labels.iter().any(|label| is_nine(&label));
        let differ = is_four(&ours) && has_nine(&theirs) || is_four(&theirs) && has_nine(&ours);
        if differ { Scheme::four() } else { Scheme::same() }
    }

    /// What the label is read as; `None` if it is dropped.
    pub fn map<'a>(&'a self, label: &'a str) -> Option<&'a str> {
        match self.pairs.get(label) {
            Some(to) => to.as_deref(),
            None if self.is_closed => None,
            None => Some(label),
        }
    }

    /// Reads all labels of the documents.
    pub fn apply(&self, documents: &mut [Document]) {
        for document in documents {
            document.spans.retain_mut(|span| match self.map(&span.label) {
                Some(label) if label == span.label => true,
                Some(label) => {
                    span.label = label.to_owned();
                    true
                }
                None => false,
            });
        }
    }
}

impl FromStr for Scheme {
    type Err = SchemeError;

    fn from_str(text: &str) -> Result<Scheme, SchemeError> {
        match text {
            "four" => return Ok(Scheme::four()),
            "core" => return Ok(Scheme::core()),
            _ => {}
        }
        let pair = |pair: &str| -> Result<(String, Option<String>), SchemeError> {
            let (from, to) = pair.split_once('=').ok_or_else(|| SchemeError(text.to_owned()))?;
            let (from, to) = (from.trim(), to.trim());
            if from.is_empty() {
                return Err(SchemeError(text.to_owned()));
            }
            Ok((from.to_owned(), (!to.is_empty()).then(|| to.to_owned())))
        };
        Ok(Scheme { pairs: text.split(',').map(pair).collect::<Result<_, _>>()?, is_closed: false })
    }
}

/// The labels that documents use.
pub fn labels(documents: &[Document]) -> BTreeSet<&str> {
    documents.iter().flat_map(|document| &document.spans).map(|span| span.label.as_str()).collect()
}

/// Display order: the four in their usual order, then the rest by name.
pub fn in_order(labels: BTreeSet<&str>) -> Vec<String> {
    let first = FOUR.into_iter().filter(|label| labels.contains(label));
    let rest = labels.iter().copied().filter(|label| !FOUR.contains(label));
    first.chain(rest).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemes_say_what_becomes_of_every_label() {
        assert_eq!(Scheme::four().map("Facility"), Some("LOC"));
        assert_eq!(Scheme::four().map("Date"), None);
        assert_eq!(Scheme::four().map("MISC"), Some("MISC"));
        assert_eq!(Scheme::core().map("Person"), Some("PER"));
        assert_eq!(Scheme::core().map("NORP"), None);
        assert_eq!(Scheme::core().map("Facility"), None);
        let pairs: Scheme = "Person=PER, Date=".parse().expect("a scheme");
        assert_eq!((pairs.map("Person"), pairs.map("Date"), pairs.map("Misc")), (Some("PER"), None, Some("Misc")));
        assert!("nonsense".parse::<Scheme>().is_err() && "=x".parse::<Scheme>().is_err());
    }

    #[test]
    fn without_a_scheme_nine_labels_meet_four_as_four() {
        assert_eq!(Scheme::between(FOUR, ["Person", "Date"]), Scheme::four());
        assert_eq!(Scheme::between(["Person", "Date"], FOUR), Scheme::four());
        assert_eq!(Scheme::between(FOUR, FOUR), Scheme::same());
        assert_eq!(Scheme::between(["Person"], ["Person", "Date"]), Scheme::same());
        assert_eq!(Scheme::between(FOUR, ["Gene"]), Scheme::same());
    }
}
