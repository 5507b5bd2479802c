//! The sum of several batches, so that a counter that all of them move is written once.

use std::collections::BTreeMap;

use common::Batch;

/// Increments per publication, in the order of the primary keys.
pub struct Merged<'b> {
    /// By the publication's key.
    pub publications: BTreeMap<&'b str, Increments<'b>>,
}

/// The increments of one publication.
pub struct Increments<'b> {
    /// The publication as one of the batches spells it.
    pub name: &'b str,
    /// Articles to add.
    pub articles: u64,
    /// `(label, entity, count to add)`, each `(label, entity)` once, sorted.
    pub counters: Vec<(&'b str, &'b str, u64)>,
}

impl<'b> Merged<'b> {
    /// Sums up batches. Sums stop at the largest number, which no counter can hold: the store refuses it.
    pub fn of(batches: impl IntoIterator<Item = &'b Batch>) -> Merged<'b> {
        let mut publications: BTreeMap<&str, Increments<'_>> = BTreeMap::new();
        for counts in batches.into_iter().flat_map(|batch| &batch.publications) {
            let sum = publications.entry(&counts.key).or_insert_with(|| Increments {
                name: &counts.name,
                articles: 0,
                counters: Vec::with_capacity(counts.entities.len()),
            });
            sum.articles = sum.articles.saturating_add(counts.articles);
            let counters = counts.entities.iter();
            sum.counters.extend(counters.map(|(label, entity, count)| (label.as_str(), entity.as_str(), *count)));
        }
        for sum in publications.values_mut() {
            // Stable, because it is the sort that makes use of runs: each batch is one.
            sum.counters.sort_by_key(|&(label, entity, _)| (label, entity));
            sum.counters.dedup_by(|next, kept| {
                let same = (next.0, next.1) == (kept.0, kept.1);
                if same {
                    kept.2 = kept.2.saturating_add(next.2);
                }
                same
            });
        }
        Merged { publications }
    }
}

#[cfg(test)]
mod tests {
    use common::PublicationCounts;

    use super::*;

    fn batch(key: &str, articles: u64, entities: &[(&str, &str, u64)]) -> Batch {
        let entities = entities.iter().map(|&(label, entity, count)| (label.into(), entity.into(), count)).collect();
        let counts = PublicationCounts { key: key.into(), name: key.to_uppercase(), articles, entities };
        Batch { id: String::new(), publications: vec![counts], posts: Vec::new() }
    }

    #[test]
    fn a_counter_that_several_batches_move_is_summed_once() {
        let batches = [
            batch("a", 2, &[("LOC", "x", 1), ("PER", "x", 2)]),
            batch("a", 0, &[("LOC", "w", 5), ("PER", "x", u64::MAX)]),
            batch("b", 1, &[]),
        ];
        let merged = Merged::of(&batches);
        let keys: Vec<_> = merged.publications.keys().copied().collect();
        assert_eq!(keys, ["a", "b"]);
        assert_eq!(merged.publications["a"].articles, 2);
        let expected = [("LOC", "w", 5), ("LOC", "x", 1), ("PER", "x", u64::MAX)];
        assert_eq!(merged.publications["a"].counters, expected);
    }
}
