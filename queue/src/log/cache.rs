//! Payloads: the ones written lately stay in memory, the others are read back from their segment.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use crate::log::disk::SegmentFile;
use crate::log::frame::Shape;

/// Bytes read from the disk in one call, about.
const READ_MAX: u64 = 1 << 20;

/// Where a record is: its segment and its offset there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) segment: u32,
    pub(crate) offset: u32,
}

/// A record to read.
#[derive(Clone)]
pub(crate) struct Wanted {
    pub(crate) place: Place,
    pub(crate) shape: Shape,
    pub(crate) file: Arc<dyn SegmentFile>,
}

/// Areas written lately, first in, first out.
pub(crate) struct Cache {
    bytes_max: usize,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    areas: BTreeMap<Place, Bytes>,
    order: VecDeque<(Place, usize)>,
    bytes: usize,
}

impl Cache {
    pub(crate) fn new(bytes_max: usize) -> Cache {
        Cache { bytes_max, inner: Mutex::default() }
    }

    /// Keeps an area, of which `held` bytes of memory are held.
    pub(crate) fn insert(&self, place: Place, area: Bytes, held: usize) {
        if held > self.bytes_max {
            return;
        }
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.areas.insert(place, area);
        inner.order.push_back((place, held));
        inner.bytes += held;
        while inner.bytes > self.bytes_max {
            let Some((oldest, held)) = inner.order.pop_front() else { break };
            inner.areas.remove(&oldest);
            inner.bytes -= held;
        }
    }

    /// Forgets a segment that is gone.
    pub(crate) fn forget(&self, segment: u32) {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        inner.areas.retain(|place, _| place.segment != segment);
        let before = inner.order.iter().map(|(_, held)| held).sum::<usize>();
        inner.order.retain(|(place, _)| place.segment != segment);
        let after = inner.order.iter().map(|(_, held)| held).sum::<usize>();
        inner.bytes -= before - after;
    }

    /// The records that are in memory.
    pub(crate) fn get(&self, wanted: &[Wanted]) -> Vec<Option<Bytes>> {
        let inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        let mut last: Option<(Place, &Bytes)> = None;
        let slice = |place: Place, len: usize, (at, area): (Place, &Bytes)| {
            let begin = place.offset.checked_sub(at.offset).filter(|_| at.segment == place.segment)? as usize;
            (begin + len <= area.len()).then(|| area.slice(begin..begin + len))
        };
        let find = |wanted: &Wanted| {
            let (place, len) = (wanted.place, wanted.shape.record_len() as usize);
            if let Some(found) = last.and_then(|last| slice(place, len, last)) {
                return Some(found);
            }
            last = inner.areas.range(..=place).next_back().map(|(at, area)| (*at, area));
            slice(place, len, last?)
        };
        wanted.iter().map(find).collect()
    }
}

/// Reads from the disk what `found` lacks, neighbours together. A record whose checksum is wrong stays `None`.
pub(crate) fn read(wanted: &[Wanted], found: &mut [Option<Bytes>]) -> io::Result<()> {
    let mut first = 0;
    while first < wanted.len() {
        if found[first].is_some() {
            first += 1;
            continue;
        }
        let begin = wanted[first].place;
        let mut len = wanted[first].shape.record_len();
        let mut end = first + 1;
        while end < wanted.len()
            && found[end].is_none()
            && wanted[end].place.segment == begin.segment
            && u64::from(wanted[end].place.offset) == u64::from(begin.offset) + len
            && len + wanted[end].shape.record_len() <= READ_MAX
        {
            len += wanted[end].shape.record_len();
            end += 1;
        }
        let mut buffer = vec![0; len as usize];
        wanted[first].file.read_at(&mut buffer, u64::from(begin.offset))?;
        let mut rest = Bytes::from(buffer);
        for (wanted, found) in wanted[first..end].iter().zip(&mut found[first..end]) {
            let record = rest.split_to(wanted.shape.record_len() as usize);
            *found = (crc32fast::hash(&record) == wanted.shape.crc).then_some(record);
        }
        first = end;
    }
    Ok(())
}
