//! Turns weights into a model file: the features that matter most, rounded to a byte a weight, in a table.

use super::Settings;
use super::examples::Examples;
use super::weights::Weights;
use crate::tagger::file::{self, Parts};
use crate::tagger::model::{fingerprint, home};

/// Of 100 rows of the table, how many are used: full enough to be small, empty enough for short probes.
const FILL_PERCENT: usize = 80;

/// Weights beyond this multiple of the root mean square of all rows' largest weights are cut off.
const CLIP: f32 = 6.0;

/// Writes the model.
pub fn pack(weights: &Weights, examples: &Examples, labels: &[String], settings: &Settings) -> Vec<u8> {
    let largest: Vec<f32> = (0..examples.features())
        .map(|feature| {
            weights.row(feature, examples.kinds[feature]).fold(0.0_f32, |most, weight| most.max(weight.abs()))
        })
        .collect();
    // A weight matters as much as it is large and often used.
    let matters = |feature: usize| largest[feature] * (examples.seen[feature] as f32).sqrt().min(10.0);
    let mut kept: Vec<usize> = (0..examples.features()).filter(|&feature| largest[feature] > 0.0).collect();
    kept.sort_by(|&a, &b| matters(b).total_cmp(&matters(a)).then(a.cmp(&b)));
    kept.truncate(settings.features_max);

    let squares: f32 = kept.iter().map(|&feature| largest[feature] * largest[feature]).sum();
    let limit = CLIP * (squares / kept.len().max(1) as f32).sqrt();
    let scale = if limit > 0.0 { 127.0 / limit } else { 1.0 };
    let mut table = Table::new(kept.len() * 100 / FILL_PERCENT + 1, 4 * labels.len());
    for feature in kept {
        // What casts to a byte saturates.
        let row = weights.row(feature, examples.kinds[feature]).map(|weight| (weight * scale).round() as i8);
        table.insert(examples.hashes[feature], row);
    }
    let transitions: Vec<i16> =
        weights.mean_transitions().iter().map(|weight| (weight * scale).round() as i16).collect();
    file::write(&Parts {
        name: &settings.name,
        notice: &settings.notice,
        labels,
        transitions: &transitions,
        probe_max: table.probe_max as u32,
        fingerprints: &table.fingerprints,
        weights: &table.weights,
    })
}

struct Table {
    width: usize,
    fingerprints: Vec<u16>,
    weights: Vec<i8>,
    probe_max: usize,
}

impl Table {
    fn new(rows: usize, width: usize) -> Table {
        Table { width, fingerprints: vec![0; rows], weights: vec![0; rows * width], probe_max: 0 }
    }

    /// Inserts a feature. One that could not be told from a feature before it, which matters more, is left out.
    fn insert(&mut self, hash: u64, weights: impl Iterator<Item = i8>) {
        let rows = self.fingerprints.len();
        let mut row = home(hash, rows);
        for probe in 1..=rows {
            let found = self.fingerprints[row];
            if found == fingerprint(hash) {
                return;
            }
            if found == 0 {
                self.fingerprints[row] = fingerprint(hash);
                self.weights[row * self.width..][..self.width]
                    .iter_mut()
                    .zip(weights)
                    .for_each(|(to, from)| *to = from);
                self.probe_max = self.probe_max.max(probe);
                return;
            }
            row = (row + 1) % rows;
        }
    }
}
