//! Trains the tagger: a linear-chain conditional random field, by stochastic gradients, on one thread. The same files
//! and the same seed give the same model, byte for byte.
//!
//! In order: [`examples`] turns documents into numbered features, [`chain`] computes what the model expects, [`weights`]
//! moves the model towards what is marked, [`pack`] keeps the rows that matter and writes the file.

mod chain;
mod examples;
mod pack;
mod random;
mod weights;

use crate::corpus::Document;
use crate::desk::Desk;
use crate::evaluate::{Report, evaluate};
use crate::mapped::Bytes;
use crate::scheme::{self, Scheme};
use crate::tagger::file::{FormatError, LABELS_MAX, Verify};
use examples::Examples;
use random::Random;
use weights::Weights;

/// What training is told.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The model's name, for logs and summaries.
    pub name: String,
    /// Goes into the model: whose data it is made from.
    pub notice: String,
    /// Passes over the data.
    pub epochs: u32,
    /// Of the order of examples and of what is dropped.
    pub seed: u64,
    /// The most features that are kept; they make up the size of the file.
    pub features_max: usize,
}

/// What happens, for whoever waits.
#[derive(Debug, Clone)]
pub enum Progress {
    /// The data is read.
    Ready {
        /// The labels that will be learned.
        labels: Vec<String>,
        /// Tokens.
        tokens: usize,
        /// Features that are common enough to get a weight.
        features: usize,
    },
    /// A pass is over.
    Epoch {
        /// Its number, from 1.
        number: u32,
        /// Mean negative log-likelihood of a token.
        loss: f64,
        /// On the held-out documents, of the model as it would be written now.
        dev: Report,
    },
}

/// Why nothing was trained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TrainError {
    /// There is nothing to learn.
    #[error("nothing is marked in the training files; every file needs tags such as B-PER")]
    NoLabels,
    /// There is too much to tell apart.
    #[error("the training files have {0} labels, at most {LABELS_MAX} are possible; merge some with --map")]
    TooManyLabels(usize),
    /// What was packed can't be read: a mistake of this program.
    #[error("the model can't be read back: {0}")]
    Unreadable(#[from] FormatError),
}

/// A feature that is seen less often than this gets no weight.
const SEEN_MIN: u32 = 3;

/// Trains on the documents and gives the bytes of the model file. `dev` is only measured.
pub fn train(
    documents: &[Document],
    dev: &[Document],
    settings: &Settings,
    mut progress: impl FnMut(Progress),
) -> Result<Vec<u8>, TrainError> {
    let labels = scheme::in_order(scheme::labels(documents));
    match labels.len() {
        0 => return Err(TrainError::NoLabels),
        1..=LABELS_MAX => {}
        count => return Err(TrainError::TooManyLabels(count)),
    }
    let examples = Examples::of(documents, &labels, SEEN_MIN);
    let features = examples.features();
    progress(Progress::Ready { labels: labels.clone(), tokens: examples.tokens(), features });

    let dev_labels = scheme::labels(dev);
    let scheme = Scheme::between(labels.iter().map(String::as_str), dev_labels);
    let mut weights = Weights::new(labels.len(), features);
    let mut random = Random::new(settings.seed);
    let mut order: Vec<usize> = (0..examples.len()).collect();
    let mut packed = Vec::new();
    for number in 1..=settings.epochs {
        random.shuffle(&mut order);
        let loss = weights.epoch(&examples, &order, &mut random);
        packed = pack::pack(&weights, &examples, &labels, settings);
        let mut desk = Desk::new(Bytes::Owned(packed.clone()), Verify::Checksum)?;
        let dev = evaluate(&mut desk, dev, &scheme);
        progress(Progress::Epoch { number, loss, dev });
    }
    Ok(packed)
}
