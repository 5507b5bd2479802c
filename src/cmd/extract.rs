//! `copydesk extract`: finds the mentions in posts, without a pipeline.

use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};

use common::limits::POST_BYTES_MAX;
use common::records::{Format, Record, Records};
use common::{Mention, Post, PostError, id};
use entities::Engine;
use serde::Serialize;

use super::shared::EngineArgs;
use crate::failure::Failure;

/// Arguments of `copydesk extract`.
#[derive(clap::Args)]
#[command(
    after_help = "Prints one line a post: {\"id\",\"publication\",\"mentions\":[{\"label\",\"text\",\"start\",\"end\",\"entity\"}]}. \
`start` and `end` count characters (Unicode scalar values) of `content`, or of `title` where \"in\":\"title\" stands. \
A line that is no post is named on standard error, the rest goes on, and the exit code is 1.

Examples:
  copydesk extract examples/articles.ndjson
  zcat posts.ndjson.gz | copydesk extract | jq -r '.mentions[].entity' | sort | uniq -c | sort -rn
  echo 'Kofi Annan spoke in Accra.' | copydesk extract --text"
)]
pub struct Args {
    /// Posts, one JSON object a line; standard input if absent or `-`
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,

    /// The input is the plain text of one post, a paragraph a line
    #[arg(long)]
    text: bool,

    /// The publication of that post
    #[arg(long, value_name = "NAME", default_value = "", requires = "text")]
    publication: String,

    #[command(flatten)]
    engine: EngineArgs,
}

/// How much is read at a time; what was found in it is printed before more is waited for.
const CHUNK_BYTES: usize = 64 << 10;

/// Runs the command.
pub fn run(args: Args) -> Result<(), Failure> {
    let engine = entities::open(&args.engine.engine, args.engine.model.as_deref()).map_err(Failure::settings)?;
    let path = args.file.as_deref().filter(|path| *path != Path::new("-"));
    let input: Box<dyn Read> = match path {
        Some(path) => Box::new(File::open(path).map_err(|error| {
            Failure::new(format!(
                "{}: {error}; give the path of a file of posts, or - for standard input",
                path.display()
            ))
        })?),
        None => Box::new(io::stdin().lock()),
    };
    let mut extraction = Extraction { engine, output: BufWriter::new(io::stdout().lock()), refused: 0 };
    let outcome = if args.text { extraction.text(input, &args.publication) } else { extraction.lines(input) };
    match outcome {
        // Whoever reads has seen enough, as `head` does.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::new(format!("{}: {error}", path.unwrap_or(Path::new("standard input")).display()))),
        Ok(()) if extraction.refused > 0 => {
            Err(Failure::new(format!("{} of the records are no posts; see the messages above", extraction.refused)))
        }
        Ok(()) => Ok(()),
    }
}

struct Extraction<W: Write> {
    engine: Box<dyn Engine>,
    output: BufWriter<W>,
    refused: u64,
}

#[derive(Serialize)]
struct Line<'a> {
    id: &'a str,
    publication: &'a str,
    mentions: &'a [Mention<'a>],
}

impl<W: Write> Extraction<W> {
    fn lines(&mut self, mut input: impl Read) -> io::Result<()> {
        let mut records = Records::new(Format::Lines);
        let mut lines = LineNumbers::default();
        let mut chunk = vec![0; CHUNK_BYTES];
        loop {
            let count = match input.read(&mut chunk) {
                Ok(count) => count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            records.push(chunk[..count].to_vec());
            while let Some(record) = if count == 0 { records.finish() } else { records.next() } {
                self.record(&record, |offset| lines.of(offset, &chunk[..count]))?;
            }
            lines.end_chunk(&chunk[..count]);
            self.output.flush()?;
            if count == 0 {
                return Ok(());
            }
        }
    }

    fn record(&mut self, record: &Record, line_of: impl FnOnce(u64) -> u64) -> io::Result<()> {
        let (offset, outcome) = match record {
            Record::Whole { offset, bytes } => (*offset, Post::parse(bytes).map(|post| (post, bytes))),
            Record::TooLong { offset } => (*offset, Err(PostError::TooLong)),
            // Not for lines.
            Record::Broken { offset, reason } => (*offset, Err(PostError::BadJson((*reason).to_owned()))),
        };
        match outcome {
            Ok((post, bytes)) => self.post(&post, || id::of_record(offset, bytes)),
            Err(error) => {
                self.refused += 1;
                eprintln!("copydesk: line {}: {}: {error}", line_of(offset), error.code());
                Ok(())
            }
        }
    }

    fn post(&mut self, post: &Post<'_>, default_id: impl FnOnce() -> String) -> io::Result<()> {
        let id = post.id.as_deref().map_or_else(default_id, str::to_owned);
        let mentions = entities::mentions(self.engine.as_mut(), post);
        let line = Line { id: &id, publication: &post.publication, mentions: &mentions };
        serde_json::to_writer(&mut self.output, &line)?;
        self.output.write_all(b"\n")
    }

    fn text(&mut self, input: impl Read, publication: &str) -> io::Result<()> {
        let mut bytes = Vec::new();
        input.take(POST_BYTES_MAX as u64 + 1).read_to_end(&mut bytes)?;
        if bytes.len() > POST_BYTES_MAX {
            return Err(io::Error::other(PostError::TooLong));
        }
        let content =
            std::str::from_utf8(&bytes).map_err(|error| io::Error::other(PostError::BadUtf8(error.valid_up_to())))?;
        let post = Post {
            id: None,
            publication: publication.into(),
            title: None,
            content: content.into(),
            published_at: None,
            url: None,
        };
        self.post(&post, || id::of_record(0, content.as_bytes()))?;
        self.output.flush()
    }
}

/// Numbers of lines by byte offset, for messages. Counts line breaks only as far as somebody asks, and only once.
#[derive(Default)]
struct LineNumbers {
    /// Of the current chunk's first byte.
    offset: u64,
    /// How far the current chunk is counted.
    counted: usize,
    /// Line breaks before that.
    breaks: u64,
}

impl LineNumbers {
    /// The number, from 1, of the line that begins at `offset`: in this chunk, or before it if it is not over yet.
    /// Offsets are asked for in order.
    fn of(&mut self, offset: u64, chunk: &[u8]) -> u64 {
        self.count(chunk, offset.saturating_sub(self.offset).min(chunk.len() as u64) as usize);
        self.breaks + 1
    }

    fn end_chunk(&mut self, chunk: &[u8]) {
        self.count(chunk, chunk.len());
        self.offset += chunk.len() as u64;
        self.counted = 0;
    }

    fn count(&mut self, chunk: &[u8], end: usize) {
        if let Some(bytes) = chunk.get(self.counted..end) {
            self.breaks += bytes.iter().filter(|&&byte| byte == b'\n').count() as u64;
            self.counted = end;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_line_harms_no_other() {
        let engine = entities::open("desk", None).expect("opens");
        let mut extraction = Extraction { engine, output: BufWriter::new(Vec::new()), refused: 0 };
        let lines = "nonsense\n{\"id\":\"a\",\"publication\":\"P\",\"title\":\"Floods in Kenya\",\
                     \"content\":\"“Angela Merkel” spoke.\"}\n{}\n{\"publication\":\"P\",\"content\":\"rain\"}";
        extraction.lines(lines.as_bytes()).expect("reads");
        assert_eq!(extraction.refused, 2);
        let output = String::from_utf8(extraction.output.into_inner().expect("flushed")).expect("UTF-8");
        let mut printed = output.lines();
        let expected = concat!(
            r#"{"id":"a","publication":"P","mentions":["#,
            r#"{"label":"LOC","text":"Kenya","start":10,"end":15,"entity":"Kenya","in":"title"},"#,
            r#"{"label":"PER","text":"Angela Merkel","start":1,"end":14,"entity":"Angela Merkel"}]}"#
        );
        assert_eq!(printed.next(), Some(expected));
        let last = printed.next().expect("a second line");
        let record = lines.lines().last().expect("a last line");
        let id = id::of_record((lines.len() - record.len()) as u64, record.as_bytes());
        assert_eq!(last, format!(r#"{{"id":"{id}","publication":"P","mentions":[]}}"#));
        assert_eq!(printed.next(), None);
    }

    #[test]
    fn a_megabyte_on_one_line_is_one_post_and_fast() {
        let engine = entities::open("desk", None).expect("opens");
        let mut extraction = Extraction { engine, output: BufWriter::new(Vec::new()), refused: 0 };
        let content = "Angela Merkel flew to Nairobi. ".repeat(1 << 15);
        let begin = std::time::Instant::now();
        extraction.lines(format!(r#"{{"publication":"P","content":"{content}"}}"#).as_bytes()).expect("reads");
        assert!(begin.elapsed() < std::time::Duration::from_secs(20), "{:?}", begin.elapsed());
        let output = extraction.output.into_inner().expect("flushed");
        assert_eq!(output.iter().filter(|&&byte| byte == b'\n').count(), 1);
        assert!(output.windows(9).filter(|window| window == b"\"Nairobi\"").count() > 2 << 14);
    }

    #[test]
    fn lines_are_numbered_across_chunks() {
        let stream = b"one\n\nthree\nfour\n";
        let starts = [(0, 1), (5, 3), (11, 4)];
        for chunk_bytes in 1..stream.len() {
            let mut lines = LineNumbers::default();
            let mut offset = 0;
            for chunk in stream.chunks(chunk_bytes) {
                let end = offset + chunk.len() as u64;
                // Asked for when the line ends, which may be chunks later.
                for (start, number) in starts {
                    let line_end = start + stream[start as usize..].iter().position(|&b| b == b'\n').unwrap() as u64;
                    if (offset..end).contains(&line_end) {
                        assert_eq!(lines.of(start, chunk), number, "chunks of {chunk_bytes}");
                    }
                }
                lines.end_chunk(chunk);
                offset = end;
            }
        }
    }
}
