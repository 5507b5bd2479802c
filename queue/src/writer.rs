//! The writer: the one thread that changes the log. Takes whatever commands wait, writes and syncs them together, then
//! applies and answers them. Between two groups it tidies up: removes what is done, copies forward what is stuck.

use std::io;
use std::sync::Arc;

use bytes::Bytes;

use crate::core::{Command, Core};
use crate::log::cache::{self, Place, Wanted};
use crate::log::frame::{GROUP_MAX, Moved, Record};
use crate::log::segment::PREAMBLE;
use crate::log::store::{Log, Piece};
use crate::manager::Shared;

/// Bytes written and synced in one step, about: beyond that a sync takes longer, and everybody waits for it.
const STEP_BYTES: u64 = 8 << 20;
/// Bytes copied forward in one step.
const MOVE_BYTES: u64 = 4 << 20;
/// Bytes written between two looks at the free space.
const SPACE_BYTES: u64 = 16 << 20;
/// A command's bytes beside its area, about.
const COMMAND_BYTES: u64 = 64;
const _: () = assert!(STEP_BYTES / COMMAND_BYTES < GROUP_MAX, "the commands of one step fit one group");
/// A segment that has no more than this is not full, however large the next command.
const EMPTY_SEGMENT: u64 = PREAMBLE as u64 + 4096;

/// The writer's own.
pub(crate) struct Writer {
    shared: Arc<Shared>,
    log: Log,
    written: u64,
    /// A segment could not be read to copy it forward: no more of it until the next start.
    is_stuck: bool,
}

impl Writer {
    pub(crate) fn new(shared: Arc<Shared>, log: Log) -> Writer {
        Writer { shared, log, written: 0, is_stuck: false }
    }

    /// Writes until the manager goes away or the disk fails.
    pub(crate) fn run(mut self) {
        if let Err(error) = self.write_until_the_end() {
            self.shared.fail(&error);
        }
    }

    fn write_until_the_end(&mut self) -> io::Result<()> {
        while let Some(group) = self.next_group() {
            self.write_all(group)?;
            self.tidy()?;
        }
        self.seal_last_write()
    }

    fn next_group(&self) -> Option<Vec<Command>> {
        let mut core = self.shared.core();
        loop {
            if !core.pending.is_empty() {
                return Some(std::mem::take(&mut core.pending));
            }
            if core.is_ending {
                return None;
            }
            core = self.shared.wait(core);
        }
    }

    fn write_all(&mut self, mut commands: Vec<Command>) -> io::Result<()> {
        let segment_bytes = self.shared.settings.segment_bytes;
        while !commands.is_empty() {
            let (mut bytes, mut count) = (size(&commands[0]), 1);
            if self.log.active.bytes > EMPTY_SEGMENT.min(segment_bytes / 2)
                && self.log.active.bytes + bytes > segment_bytes
                && let Err(error) = self.roll()
            {
                // Those who wait are told with all the others.
                self.shared.core().pending.splice(..0, commands);
                return Err(error);
            }
            while let Some(next) = commands.get(count).map(size)
                && bytes + next <= STEP_BYTES
                && self.log.active.bytes + bytes + next <= segment_bytes
            {
                bytes += next;
                count += 1;
            }
            let rest = commands.split_off(count);
            let result = self.write(commands);
            commands = rest;
            if let Err(error) = result {
                self.shared.core().pending.splice(..0, commands);
                return Err(error);
            }
        }
        Ok(())
    }

    /// One write, one sync; then everybody is told.
    fn write(&mut self, commands: Vec<Command>) -> io::Result<()> {
        let pieces: Vec<Piece<'_>> = commands
            .iter()
            .filter_map(|command| Some(Piece { record: command.record.as_ref()?, area: &command.area }))
            .collect();
        let before = self.log.active.bytes;
        // A command that only waits for others needs no sync of its own: those are synced by now.
        let places = if pieces.is_empty() { Ok(Vec::new()) } else { self.log.commit(&pieces) };
        drop(pieces);
        let places = match places {
            Ok(places) => places,
            Err(error) => {
                self.shared.core().pending.splice(..0, commands);
                return Err(error);
            }
        };
        self.log.active.ids += commands.iter().map(|command| command.ids.len()).sum::<usize>();
        let written = commands.iter().filter(|command| command.record.is_some());
        for (command, place) in written.zip(&places) {
            // A copy is what the disk gave back, which may be damaged: nothing but reading it again tells.
            if let ([area], false) = (command.area.as_slice(), matches!(command.record, Some(Record::Move(_)))) {
                self.shared.cache.insert(*place, area.clone(), command.held);
            }
        }
        let mut replies = Vec::with_capacity(commands.len());
        let mut places = places.into_iter();
        let mut core = self.shared.core();
        core.segment_grew(self.log.active.number, &self.log.active.file, self.log.active.bytes);
        for Command { record, ids, reply, .. } in commands {
            if let Some((record, place)) = record.and_then(|record| Some((record, places.next()?))) {
                core.apply(&record, place);
                core.remember(&ids);
            }
            replies.extend(reply);
        }
        core.pump_all();
        self.written += self.log.active.bytes - before;
        if self.written >= SPACE_BYTES {
            self.written = 0;
            self.shared.check_space(&mut core);
        }
        drop(core);
        replies.into_iter().for_each(|(reply, answer)| reply.send(answer));
        Ok(())
    }

    fn roll(&mut self) -> io::Result<()> {
        let core = self.shared.core();
        let (ids, head) = (core.window.newest(self.log.active.ids), core.head());
        drop(core);
        self.log.roll(&ids, &head)?;
        let active = &self.log.active;
        self.shared.core().segment_grew(active.number, &active.file, active.bytes);
        Ok(())
    }

    fn tidy(&mut self) -> io::Result<()> {
        loop {
            self.remove_done()?;
            let is_moved = !self.is_stuck && self.move_some()?;
            // Somebody waits: the rest comes after the next group, or after the next start.
            let core = self.shared.core();
            if !is_moved || !core.pending.is_empty() || core.is_ending {
                return Ok(());
            }
        }
    }

    /// Writes a head, so that whatever was written before is not the last write any more: damage in that costs what is
    /// damaged, and is not taken for a write that was broken off.
    fn seal_last_write(&mut self) -> io::Result<()> {
        let head = self.shared.core().head();
        self.log.commit(&[Piece { record: &head, area: &[] }])?;
        let active = &self.log.active;
        self.shared.core().segment_grew(active.number, &active.file, active.bytes);
        Ok(())
    }

    fn remove_done(&mut self) -> io::Result<()> {
        loop {
            let Some(number) = self.shared.core().segment_to_remove() else { return Ok(()) };
            // What is removed is done by a write that must not be cut or taken back any more.
            self.seal_last_write()?;
            let mut core = self.shared.core();
            core.segments.remove(&number);
            let oldest = core.segments.first_key_value().map_or(number, |(oldest, _)| *oldest);
            drop(core);
            self.log.remove_segment(number)?;
            self.log.remove_ids(oldest, self.shared.settings.duplicate_window)?;
            self.shared.cache.forget(number);
        }
    }

    /// Copies some live records of the oldest segment forward. Nothing can be done to them meanwhile: every command
    /// comes through this thread, so it is either applied by now or written after the copy.
    fn move_some(&mut self) -> io::Result<bool> {
        let core = self.shared.core();
        let Some(segment) = core.segment_to_clear(self.shared.settings.segment_bytes) else { return Ok(false) };
        let moved = core.live_in(segment, MOVE_BYTES);
        let wanted = wanted(&core, segment, &moved);
        drop(core);
        let area = match read_as_they_are(&self.shared, &wanted) {
            Ok(area) => area,
            Err(error) => {
                tracing::error!(segment, %error, "a segment can't be read; it is kept as it is");
                self.is_stuck = true;
                return Ok(false);
            }
        };
        if moved.is_empty() {
            return Ok(false);
        }
        let record = Some(Record::Move(moved));
        self.write_all(vec![Command { record, area, held: 0, ids: Vec::new(), reply: None }])?;
        Ok(true)
    }
}

fn size(command: &Command) -> u64 {
    command.area.iter().map(|part| part.len() as u64).sum::<u64>() + COMMAND_BYTES
}

fn wanted(core: &Core, segment: u32, moved: &[Moved]) -> Vec<Wanted> {
    let Some(file) = core.segments.get(&segment).map(|segment| &segment.file) else { return Vec::new() };
    let place = |moved: &Moved| core.place_of(moved.queue, moved.seq);
    moved
        .iter()
        .filter_map(|moved| Some(Wanted { place: place(moved)?, shape: moved.shape, file: Arc::clone(file) }))
        .collect()
}

/// The records, damaged ones as they are: their checksums go with them, and tell whoever reads them.
fn read_as_they_are(shared: &Shared, wanted: &[Wanted]) -> io::Result<Vec<Bytes>> {
    let mut found = shared.cache.get(wanted);
    cache::read(wanted, &mut found)?;
    let read = |(wanted, found): (&Wanted, Option<Bytes>)| match found {
        Some(record) => Ok(record),
        None => {
            let Place { offset, .. } = wanted.place;
            let mut buffer = vec![0; wanted.shape.record_len() as usize];
            wanted.file.read_at(&mut buffer, u64::from(offset))?;
            Ok(Bytes::from(buffer))
        }
    };
    wanted.iter().zip(found).map(read).collect()
}
