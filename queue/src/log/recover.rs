//! Reads the log back at start.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::core::Core;
use crate::log::cache::Place;
use crate::log::disk::{Disk, SegmentFile};
use crate::log::frame::{Batch, Record};
use crate::log::segment::{Found, PREAMBLE, Preamble, ids_name, number_of, scan, segment_name};
use crate::log::store::{Active, Log, Piece};
use crate::log::window::{decode_ids, id_hash};

/// Something in the log that can't be read. What it held is lost, and nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damage {
    /// Number of the segment, as in its file's name.
    pub segment: u32,
    /// Where it begins in that file.
    pub offset: u64,
    /// How much it is.
    pub bytes: u64,
    /// What was there.
    pub what: String,
}

/// What was found when the log was opened.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recovery {
    /// Segment files.
    pub segments: usize,
    /// Bytes of them.
    pub bytes: u64,
    /// Commands in them.
    pub frames: u64,
    /// Items that are ready.
    pub ready: u64,
    /// Dead letters.
    pub dead_letters: u64,
    /// Bytes at the end that could not be read, cut away: a write that a crash broke off, as a rule.
    pub torn_bytes: u64,
    /// Everything that can't be read.
    pub damage: Vec<Damage>,
    /// How long it took.
    pub took: Duration,
}

impl fmt::Display for Damage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Damage { segment, offset, bytes, what } = self;
        write!(f, "{what}: {bytes} bytes at {offset} in {}", segment_name(*segment))
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Recovery { segments, bytes, frames, ready, dead_letters, torn_bytes, damage, took } = self;
        write!(f, "{ready} items ready, {dead_letters} dead letters, {frames} commands in {segments} segments of ")?;
        write!(f, "{bytes} bytes, read in {took:.1?}")?;
        if *torn_bytes > 0 {
            write!(f, ", {torn_bytes} unreadable bytes at the end cut away")?;
        }
        if !damage.is_empty() {
            write!(f, ", {} damaged places", damage.len())?;
        }
        Ok(())
    }
}

/// Why the log can't be read at all.
pub(crate) enum RecoverError {
    Io(String, io::Error),
    Newer(String, u32),
    UnknownQueue(u8),
}

struct Recoverer<'a> {
    disk: Arc<dyn Disk>,
    core: &'a mut Core,
    recovery: Recovery,
    next_frame: Option<u64>,
    /// Whether damage was found since the last sound frame: then missing numbers are explained.
    is_after_damage: bool,
    unknown_queue: Option<u8>,
    /// The last segment had nothing yet, and was removed.
    is_last_removed: bool,
}

/// Brings `core` to where the log ends, and the log to where it can be continued.
pub(crate) fn recover(
    disk: Arc<dyn Disk>,
    core: &mut Core,
    segment_bytes: u64,
) -> Result<(Log, Recovery), RecoverError> {
    let began = Instant::now();
    let mut recoverer = Recoverer {
        disk: Arc::clone(&disk),
        core,
        recovery: Recovery::default(),
        next_frame: None,
        is_after_damage: false,
        unknown_queue: None,
        is_last_removed: false,
    };
    let (mut log, missing_ids) = recoverer.read_all(segment_bytes)?;
    for (segment, ids) in missing_ids {
        log.write_ids(segment, &ids).map_err(|error| RecoverError::Io(ids_name(segment), error))?;
    }
    let Recoverer { core, mut recovery, .. } = recoverer;
    core.finish_replay();
    let head = core.head();
    log.commit(&[Piece { record: &head, area: &[] }])
        .and_then(|_| disk.sync_names())
        .map_err(|error| RecoverError::Io(segment_name(log.active.number), error))?;
    core.segment_grew(log.active.number, &log.active.file, log.active.bytes);
    (recovery.ready, recovery.dead_letters) = core.totals();
    recovery.took = began.elapsed();
    for damage in &recovery.damage {
        tracing::error!(%damage, "the log is damaged here; what was there is lost");
    }
    if recovery.torn_bytes > 0 {
        tracing::warn!(
            bytes = recovery.torn_bytes,
            "the end of the log could not be read and was cut away; after a crash in the middle of a write that is \
             normal, and nobody had been told that it succeeded; otherwise the disk has damaged it"
        );
    }
    Ok((log, recovery))
}

type MissingIds = Vec<(u32, Vec<u128>)>;

impl Recoverer<'_> {
    fn read_all(&mut self, segment_bytes: u64) -> Result<(Log, MissingIds), RecoverError> {
        let names = self.disk.names().map_err(|error| RecoverError::Io(".".to_owned(), error))?;
        let numbers = |extension| names.iter().filter_map(|name| number_of(name, extension)).collect::<BTreeSet<u32>>();
        let (segments, ids) = (numbers("log"), numbers("ids"));
        let last = segments.last().copied();
        let mut ids_files = BTreeMap::new();
        let mut missing_ids = Vec::new();
        let mut active = None;
        let mut previous = None;
        for &number in segments.union(&ids) {
            // The last segment grows again from here on, so that its ids file, if a crash left one, is outdated.
            let known = if ids.contains(&number) && Some(number) != last { self.read_ids(number)? } else { None };
            if known.is_none() && !segments.contains(&number) {
                self.forget_damaged_ids(number)?;
                continue;
            }
            if let Some(known) = &known {
                known.iter().for_each(|id| self.core.window.insert(*id));
                ids_files.insert(number, known.len());
            }
            if !segments.contains(&number) {
                continue;
            }
            if let Some(expected) = previous.map(|previous: u32| previous + 1).filter(|expected| *expected != number) {
                self.damage(expected, 0, 0, format!("{} segments are missing", number - expected));
            }
            previous = Some(number);
            let mut own_ids = Vec::new();
            let hash_into = known.is_none().then_some(&mut own_ids);
            let end = self.read_segment(number, Some(number) == last, hash_into)?;
            if Some(number) == last {
                active = end
                    .filter(|active| active.bytes < segment_bytes)
                    .map(|active| Active { ids: own_ids.len(), ..active });
                if active.is_none() {
                    missing_ids.push((number, own_ids));
                }
            } else if known.is_none() {
                missing_ids.push((number, own_ids));
            }
        }
        if let Some(queue) = self.unknown_queue {
            return Err(RecoverError::UnknownQueue(queue));
        }
        let next_number = last.max(ids.last().copied()).map_or(1, |last| last + u32::from(!self.is_last_removed));
        let active = match active {
            Some(active) => active,
            None => Log::begin(self.disk.as_ref(), next_number)
                .map_err(|error| RecoverError::Io(segment_name(next_number), error))?,
        };
        let frame_number = self.next_frame.unwrap_or(1);
        Ok((Log::new(Arc::clone(&self.disk), active, frame_number, ids_files), missing_ids))
    }

    fn read_ids(&mut self, number: u32) -> Result<Option<Vec<u128>>, RecoverError> {
        let failed = |error| RecoverError::Io(ids_name(number), error);
        let file = self.disk.open(&ids_name(number)).map_err(failed)?;
        let mut bytes = vec![0; file.size().map_err(failed)? as usize];
        file.read_at(&mut bytes, 0).map_err(failed)?;
        Ok(decode_ids(number, &bytes))
    }

    /// What is remembered of a segment that is gone can't be made again.
    fn forget_damaged_ids(&mut self, number: u32) -> Result<(), RecoverError> {
        self.record_damage(number, 0, 0, "the remembered ids of a removed segment".to_owned());
        self.disk.remove(&ids_name(number)).map_err(|error| RecoverError::Io(ids_name(number), error))
    }

    /// Applies a segment's commands. Returns how to go on with it, if it can be continued.
    fn read_segment(
        &mut self,
        number: u32,
        is_last: bool,
        mut own_ids: Option<&mut Vec<u128>>,
    ) -> Result<Option<Active>, RecoverError> {
        let name = segment_name(number);
        let failed = |error| RecoverError::Io(segment_name(number), error);
        let file = self.disk.open(&name).map_err(failed)?;
        let size = file.size().map_err(failed)?;
        let seed = match Preamble::read(file.as_ref(), number).map_err(failed)? {
            Preamble::Seed(seed) => seed,
            Preamble::Newer(version) => return Err(RecoverError::Newer(name, version)),
            Preamble::Damaged => {
                self.unreadable_segment(number, is_last, size, &file).map_err(failed)?;
                return Ok(None);
            }
        };
        let next = self.next_frame.unwrap_or(0);
        let mut bytes = size;
        if is_last {
            bytes = scan(file.as_ref(), seed, next, &mut |_| {}).map_err(failed)?;
            if bytes < size {
                self.recovery.torn_bytes += size - bytes;
                file.truncate(bytes).map_err(failed)?;
            }
        }
        self.recovery.segments += 1;
        self.recovery.bytes += bytes;
        self.core.segment_grew(number, &file, bytes);
        scan(file.as_ref(), seed, next, &mut |found| match found {
            Found::Damage { at, bytes, what } => self.damage(number, at, bytes, what.to_owned()),
            Found::Frame { number: frame, record, area_at, area, damaged, at } => {
                self.check_frame_number(frame, number, at);
                let place = Place { segment: number, offset: area_at };
                if let (Some(ids), Record::Put(batch)) = (own_ids.as_deref_mut(), &record) {
                    self.remember_ids(batch, area, &damaged, ids);
                }
                self.name_damaged_records(&record, &damaged, place);
                if let Err(queue) = self.core.replay(&record, place, &damaged) {
                    self.unknown_queue = Some(queue);
                }
                self.recovery.frames += 1;
            }
        })
        .map_err(failed)?;
        Ok(Some(Active { number, seed, file, bytes, ids: 0 }))
    }

    fn unreadable_segment(
        &mut self,
        number: u32,
        is_last: bool,
        size: u64,
        file: &Arc<dyn SegmentFile>,
    ) -> io::Result<()> {
        if is_last && size <= PREAMBLE as u64 {
            // The crash came while it was made.
            self.recovery.torn_bytes += size;
            self.is_last_removed = true;
            self.disk.remove(&segment_name(number))?;
            return self.disk.sync_names();
        }
        self.core.segment_grew(number, file, size);
        self.damage(number, 0, size, "the beginning of a segment is damaged, and with it all of it".to_owned());
        Ok(())
    }

    fn check_frame_number(&mut self, frame: u64, segment: u32, at: u64) {
        if let Some(expected) = self.next_frame.filter(|expected| *expected != frame && !self.is_after_damage) {
            self.damage(
                segment,
                at,
                0,
                format!("commands {expected} to {} are missing before this", frame.saturating_sub(1)),
            );
        }
        self.is_after_damage = false;
        self.next_frame = Some(frame + 1);
    }

    fn remember_ids(&mut self, batch: &Batch, area: &[u8], damaged: &[bool], ids: &mut Vec<u128>) {
        if !self.core.deduplicates(batch.queue) {
            return;
        }
        let mut at = 0;
        for (shape, is_damaged) in batch.shapes.iter().zip(damaged) {
            if !is_damaged {
                let id = id_hash(batch.queue, &area[at..at + usize::from(shape.id_len)]);
                self.core.window.insert(id);
                ids.push(id);
            }
            at += shape.record_len() as usize;
        }
    }

    fn name_damaged_records(&mut self, record: &Record, damaged: &[bool], place: Place) {
        let mut offset = u64::from(place.offset);
        for (index, (shape, is_damaged)) in record.shapes().iter().zip(damaged).enumerate() {
            if *is_damaged {
                let what = match record {
                    Record::Put(batch) | Record::Settle { outputs: Some(batch), .. } => {
                        format!("item {} of queue {}", batch.first_seq + index as u64, batch.queue)
                    }
                    Record::Move(moved) => format!("item {} of queue {}", moved[index].seq, moved[index].queue),
                    _ => "an item".to_owned(),
                };
                self.record_damage(place.segment, offset, shape.record_len(), what);
            }
            offset += shape.record_len();
        }
    }

    /// Damage that swallowed commands.
    fn damage(&mut self, segment: u32, offset: u64, bytes: u64, what: String) {
        self.is_after_damage = true;
        self.record_damage(segment, offset, bytes, what);
    }

    fn record_damage(&mut self, segment: u32, offset: u64, bytes: u64, what: String) {
        self.core.damaged += 1;
        self.recovery.damage.push(Damage { segment, offset, bytes, what });
    }
}
