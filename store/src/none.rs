//! The store that keeps nothing: for measuring everything before it.

use common::Batch;

use crate::api::{Applied, Store, StoreError};

/// Takes every batch and forgets it.
pub struct NoStore;

impl Store for NoStore {
    fn apply(&mut self, batches: &[Batch]) -> Result<Vec<Applied>, StoreError> {
        Ok(vec![Applied::Now; batches.len()])
    }

    fn confirm(&mut self, _: &[String]) -> Result<(), StoreError> {
        Ok(())
    }
}
