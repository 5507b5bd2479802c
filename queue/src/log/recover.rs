//! Reads the log back: at start, to continue it, and at any time, to look at it.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Instant;

use crate::core::Core;
use crate::log::cache::Place;
use crate::log::disk::{Disk, SegmentFile};
use crate::log::frame::{Batch, Format, Record};
use crate::log::repair::Repair;
use crate::log::report::{Damage, Recovery};
use crate::log::scan::{Found, Tail, read_tail, scan};
use crate::log::segment::{PREAMBLE, Preamble, damaged_name, ids_name, number_of, number_of_damaged, segment_name};
use crate::log::store::{Active, Log, Piece};
use crate::log::window::{decode_ids, id_hash};

/// Why the log can't be read at all.
pub(crate) enum RecoverError {
    Io(String, io::Error),
    Newer(String, u32),
    UnknownQueue(u8),
}

/// Brings `core` to where the log ends, and the log to where it can be continued.
pub(crate) fn recover(
    disk: Arc<dyn Disk>,
    core: &mut Core,
    segment_bytes: u64,
) -> Result<(Log, Recovery), RecoverError> {
    let began = Instant::now();
    let Read { mut recovery, repairs, active, next_number, frame_number, ids_files } =
        read(&disk, core, segment_bytes)?;
    // Before anything is done about it: should that fail, it has been said.
    tell(&recovery);
    for repair in repairs {
        repair.carry_out(disk.as_ref()).map_err(|error| RecoverError::Io(repair.file_name(), error))?;
    }
    let number = active.as_ref().map_or(next_number, |active| active.number);
    let failed = |error| RecoverError::Io(segment_name(number), error);
    let active = match active {
        Some(active) => active,
        None => Log::begin(disk.as_ref(), next_number).map_err(failed)?,
    };
    let mut log = Log::new(Arc::clone(&disk), active, frame_number, ids_files);
    let head = core.head();
    log.commit(&[Piece { record: &head, area: &[] }]).and_then(|_| disk.sync_names()).map_err(failed)?;
    core.segment_grew(log.active.number, &log.active.file, log.active.bytes);
    recovery.took = began.elapsed();
    Ok((log, recovery))
}

fn tell(recovery: &Recovery) {
    for damage in &recovery.damage {
        tracing::error!(%damage, "the log is damaged here; what was there is lost");
    }
    for place in &recovery.mended {
        tracing::warn!(%place, "the log was damaged here; a copy was sound, nothing is lost and the damage is mended");
    }
    if recovery.torn_bytes > 0 {
        tracing::warn!(
            bytes = recovery.torn_bytes,
            "the last write to the log was not whole and was cut away; after a crash in the middle of a write that is \
             normal, and nobody had been told that it succeeded; otherwise the disk has damaged it"
        );
    }
}

/// What reading the log told. Nothing has been changed yet.
pub(crate) struct Read {
    pub(crate) recovery: Recovery,
    repairs: Vec<Repair>,
    /// The last segment, if it can be continued.
    active: Option<Active>,
    /// The number of the segment to begin if it can't.
    next_number: u32,
    frame_number: u64,
    ids_files: BTreeMap<u32, usize>,
}

/// Brings `core` to where the log ends, and finds out what has to be done to the log. Changes nothing in it.
pub(crate) fn read(disk: &Arc<dyn Disk>, core: &mut Core, segment_bytes: u64) -> Result<Read, RecoverError> {
    let mut reader = Reader {
        disk: disk.as_ref(),
        core,
        recovery: Recovery::default(),
        repairs: Vec::new(),
        next_frame: None,
        is_after_damage: false,
        unknown_queue: None,
        empty_segment: None,
    };
    let names = disk.names().map_err(|error| RecoverError::Io(".".to_owned(), error))?;
    let numbers = |extension| names.iter().filter_map(|name| number_of(name, extension)).collect::<BTreeSet<u32>>();
    let aside = names.iter().filter_map(|name| number_of_damaged(name)).collect();
    let files = Files { segments: numbers("log"), ids: numbers("ids"), aside };
    let (ids_files, active) = reader.read_all(&files, segment_bytes)?;
    let next_number = reader.empty_segment.unwrap_or_else(|| files.last().map_or(1, |last| last + 1));
    let Reader { core, mut recovery, repairs, next_frame, unknown_queue, .. } = reader;
    if let Some(queue) = unknown_queue {
        return Err(RecoverError::UnknownQueue(queue));
    }
    core.finish_replay();
    (recovery.ready, recovery.dead_letters) = core.totals();
    Ok(Read { recovery, repairs, active, next_number, frame_number: next_frame.unwrap_or(1), ids_files })
}

struct Reader<'a> {
    disk: &'a dyn Disk,
    core: &'a mut Core,
    recovery: Recovery,
    repairs: Vec<Repair>,
    next_frame: Option<u64>,
    /// Whether damage was found since the last sound frame: then missing numbers are explained.
    is_after_damage: bool,
    unknown_queue: Option<u8>,
    /// The last segment, if a crash came while it was made: it is made again.
    empty_segment: Option<u32>,
}

/// Numbers of the files in a directory.
struct Files {
    segments: BTreeSet<u32>,
    ids: BTreeSet<u32>,
    /// Segments that an earlier start set aside.
    aside: BTreeSet<u32>,
}

impl Files {
    fn numbers(&self) -> BTreeSet<u32> {
        [&self.segments, &self.ids, &self.aside].into_iter().flatten().copied().collect()
    }

    fn last(&self) -> Option<u32> {
        self.numbers().last().copied()
    }
}

/// How a segment was read.
enum End {
    /// As the last one, which can be continued.
    Open(Active),
    /// To its end.
    Closed,
    /// Not at all.
    Unreadable,
}

impl Reader<'_> {
    /// Returns how many ids each ids file has, and the last segment if it can be continued.
    fn read_all(
        &mut self,
        files: &Files,
        segment_bytes: u64,
    ) -> Result<(BTreeMap<u32, usize>, Option<Active>), RecoverError> {
        let last = files.last();
        let mut ids_files = BTreeMap::new();
        let mut active = None;
        let mut previous = None;
        for number in files.numbers() {
            let (is_last, is_there) = (Some(number) == last, files.segments.contains(&number));
            // The last segment grows again from here on, so that its ids file, if a crash left one, is outdated.
            let may_know = files.ids.contains(&number) && !(is_last && is_there);
            let known = if may_know { self.read_ids(number)? } else { None };
            if let Some(known) = &known {
                known.iter().for_each(|id| self.core.window.insert(*id));
                ids_files.insert(number, known.len());
            } else if may_know && !is_there {
                // What is remembered of a segment that is gone can't be made again.
                self.record_damage(number, 0, 0, "the remembered ids of a removed segment".to_owned());
                self.repairs.push(Repair::RemoveIds(number));
            }
            if !is_there && !files.aside.contains(&number) {
                continue;
            }
            if let Some(expected) = previous.map(|previous: u32| previous + 1).filter(|expected| *expected != number) {
                self.damage(expected, 0, 0, format!("{} segments are missing", number - expected));
            }
            previous = Some(number);
            if !is_there {
                self.damage(number, 0, 0, format!("a segment that was set aside as {}", damaged_name(number)));
                // It stays, while those that followed it go when they are done.
                previous = None;
                continue;
            }
            let mut own_ids = Vec::new();
            let hash_into = known.is_none().then_some(&mut own_ids);
            match self.read_segment(number, is_last, hash_into)? {
                End::Open(end) if end.bytes < segment_bytes => active = Some(Active { ids: own_ids.len(), ..end }),
                End::Open(_) | End::Closed if known.is_none() => {
                    ids_files.insert(number, own_ids.len());
                    self.repairs.push(Repair::WriteIds(number, own_ids));
                }
                // It does not grow again, so that its ids file, if there is one, is what is known of it.
                End::Unreadable if known.is_none() && files.ids.contains(&number) && self.empty_segment.is_none() => {
                    if let Some(known) = self.read_ids(number)? {
                        known.iter().for_each(|id| self.core.window.insert(*id));
                        ids_files.insert(number, known.len());
                    }
                }
                End::Open(_) | End::Closed | End::Unreadable => {}
            }
        }
        // Ids are written before the next segment is begun, and while theirs is there.
        if let Some((previous, last)) = previous.zip(last).filter(|(previous, last)| previous < last) {
            self.damage(previous + 1, 0, 0, format!("{} segments are missing", last - previous));
        }
        Ok((ids_files, active))
    }

    fn read_ids(&mut self, number: u32) -> Result<Option<Vec<u128>>, RecoverError> {
        let failed = |error| RecoverError::Io(ids_name(number), error);
        let file = self.disk.open(&ids_name(number)).map_err(failed)?;
        let mut bytes = vec![0; file.size().map_err(failed)? as usize];
        file.read_at(&mut bytes, 0).map_err(failed)?;
        Ok(decode_ids(number, &bytes))
    }

    /// Applies a segment's commands. Returns how to go on with it, if it can be continued.
    fn read_segment(
        &mut self,
        number: u32,
        is_last: bool,
        mut own_ids: Option<&mut Vec<u128>>,
    ) -> Result<End, RecoverError> {
        let name = segment_name(number);
        let failed = |error| RecoverError::Io(segment_name(number), error);
        let file = self.disk.open(&name).map_err(failed)?;
        let size = file.size().map_err(failed)?;
        let (format, preamble) = match Preamble::read(file.as_ref(), number).map_err(failed)? {
            Preamble::Known(format, sound) => (format, sound),
            Preamble::Newer(version) => return Err(RecoverError::Newer(name, version)),
            Preamble::Damaged => {
                self.leave_unreadable(number, is_last, size);
                return Ok(End::Unreadable);
            }
        };
        if let Some(sound) = preamble {
            self.mend(number, &file, 0, sound, "one of two copies of a segment's beginning");
        }
        let next = self.next_frame.unwrap_or(0);
        let mut bytes = size;
        let (mut taken_back, mut is_clear) = (BTreeSet::new(), true);
        if is_last {
            let tail = read_tail(file.as_ref(), format, size, next).map_err(failed)?;
            taken_back.extend(tail.half_done.iter().map(|(at, _)| *at));
            bytes = tail.end;
            self.repair_tail(number, &file, format, tail, size);
        }
        self.recovery.segments += 1;
        self.recovery.bytes += bytes;
        self.core.segment_grew(number, &file, bytes);
        scan(file.as_ref(), format, bytes, next, &mut |found| match found {
            Found::Damage { at, bytes, what } => {
                self.damage(number, at, bytes, what.to_owned());
                is_clear = false;
            }
            Found::Void { number: frame, at } => self.check_frame_number(frame, number, at),
            Found::Frame { header, at, .. } if taken_back.contains(&at) => {
                self.check_frame_number(header.number, number, at);
            }
            Found::Frame { header, record, area_at, area, damaged, at, mend } => {
                self.check_frame_number(header.number, number, at);
                if let Some((offset, sound)) = mend {
                    self.mend(number, &file, offset, sound, "one of two copies of a command's fields");
                }
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
        // An older program must not take the segment for one of its own when there is something newer in it. And what can't
        // be told apart must not look like something else because of what follows it.
        let active = Active { number, seed: format.seed, file: Arc::clone(&file), bytes, ids: 0 };
        Ok(if is_last && format.has_copies && is_clear { End::Open(active) } else { End::Closed })
    }

    /// The last write is kept as far as it is whole.
    fn repair_tail(&mut self, segment: u32, file: &Arc<dyn SegmentFile>, format: Format, tail: Tail, size: u64) {
        if tail.end < size {
            self.recovery.torn_bytes += size - tail.end;
            self.repairs.push(Repair::Cut { segment, file: Arc::clone(file), len: tail.end });
        }
        for (at, header) in tail.half_done {
            self.recovery.torn_bytes += format.frame_len(&header);
            self.repairs.push(Repair::TakeBack { segment, file: Arc::clone(file), at, header, seed: format.seed });
        }
        self.repairs.push(Repair::Rewrite { segment, file: Arc::clone(file), from: tail.last_write, to: tail.end });
    }

    fn mend(&mut self, segment: u32, file: &Arc<dyn SegmentFile>, offset: u64, sound: Vec<u8>, what: &str) {
        let what = what.to_owned();
        self.recovery.mended.push(Damage { segment, offset, bytes: sound.len() as u64, what });
        self.repairs.push(Repair::Mend { segment, file: Arc::clone(file), at: offset, sound });
    }

    fn leave_unreadable(&mut self, segment: u32, is_last: bool, size: u64) {
        if is_last && size <= PREAMBLE as u64 {
            // The crash came while it was made. It stays until it is made again, so that the one before it, which is
            // whole, is never taken for the last.
            self.recovery.torn_bytes += size;
            self.empty_segment = Some(segment);
            return;
        }
        let what =
            format!("the beginning of a segment, and with it all of it; it is kept as {}", damaged_name(segment));
        self.damage(segment, 0, size, what);
        self.repairs.push(Repair::SetAside(segment));
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
