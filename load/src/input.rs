//! The files of a load: checked before anything is sent, so that a typing error in the last name costs nothing.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::PathBuf;

use common::records::{Format, RecordReader};

use crate::error::LoadError;

/// One file, or standard input.
#[derive(Debug, Clone)]
pub struct Input {
    /// As messages name it.
    pub name: String,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Stdin,
    /// With its length.
    File(PathBuf, u64),
    /// Pipes and devices: read once, without a known end.
    Stream(PathBuf),
}

/// The records of an input, whatever it is.
pub type Records = RecordReader<Box<dyn Read + Send>>;

impl Input {
    /// Checks all of them and reports everything that is wrong at once.
    pub fn check_all(files: &[PathBuf]) -> Result<Vec<Input>, LoadError> {
        let mut problems = Vec::new();
        let mut inputs: Vec<Input> = Vec::with_capacity(files.len());
        for path in files {
            match Input::check(path.clone()) {
                Ok(input) if input.is_stdin() && inputs.iter().any(Input::is_stdin) => {
                    problems.push("- is given twice, standard input can be read once; leave one out".to_owned());
                }
                Ok(input) => inputs.push(input),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(inputs) } else { Err(LoadError::Files(problems)) }
    }

    fn check(path: PathBuf) -> Result<Input, String> {
        let name = path.display().to_string();
        if name == "-" {
            return Ok(Input { name: "standard input".to_owned(), source: Source::Stdin });
        }
        let metadata = fs::metadata(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => format!("there is no file {name}; check the path, or give - for standard input"),
            _ => format!("can't read {name}: {error}; check its permissions"),
        })?;
        if metadata.is_dir() {
            return Err(format!("{name} is a directory; name the files in it, such as {name}/*.ndjson"));
        }
        if !metadata.is_file() {
            return Ok(Input { name, source: Source::Stream(path) });
        }
        let head = File::open(&path)
            .and_then(head)
            .map_err(|error| format!("can't read {name}: {error}; check its permissions"))?;
        let unpack = match head.as_slice() {
            [0x1f, 0x8b, ..] => Some("gzip -dc"),
            [0x28, 0xb5, 0x2f, 0xfd] => Some("zstd -dc"),
            [b'P', b'K', ..] => Some("unzip -p"),
            _ => None,
        };
        match unpack {
            Some(unpack) => {
                Err(format!("{name} is compressed; unpack it on the way: {unpack} {name} | copydesk load -"))
            }
            None => Ok(Input { name, source: Source::File(path, metadata.len()) }),
        }
    }

    fn is_stdin(&self) -> bool {
        matches!(self.source, Source::Stdin)
    }

    /// How long it is, if that is known.
    pub fn bytes(&self) -> Option<u64> {
        match self.source {
            Source::File(_, bytes) => Some(bytes),
            Source::Stdin | Source::Stream(_) => None,
        }
    }

    /// Its records, from the start. No line of posts begins with a bracket, so a file that does is one JSON array.
    pub fn open(&self) -> io::Result<Records> {
        let mut source: Box<dyn Read + Send> = match &self.source {
            Source::Stdin => Box::new(io::stdin()),
            Source::File(path, _) | Source::Stream(path) => Box::new(File::open(path)?),
        };
        let head = head(&mut source)?;
        let format = match head.as_slice() {
            [b'[', ..] | [0xef, 0xbb, 0xbf, b'['] => Format::Json,
            _ => Format::Lines,
        };
        Ok(RecordReader::new(Box::new(io::Cursor::new(head).chain(source)), format))
    }

    /// Where an offset is, for people: `FILE:LINE`, or the byte if what was read is gone. Reads the file again up to
    /// there, which is cheaper than counting lines that nobody asks for.
    pub fn place(&self, offset: u64) -> String {
        let line = match &self.source {
            Source::File(path, _) => File::open(path).and_then(|file| line_breaks(file.take(offset))).ok(),
            Source::Stdin | Source::Stream(_) => None,
        };
        match line {
            Some(breaks) => format!("{}:{}", self.name, breaks + 1),
            None => format!("{}, byte {offset}", self.name),
        }
    }
}

/// The first four bytes, or as many as there are.
fn head(source: impl Read) -> io::Result<Vec<u8>> {
    let mut head = Vec::with_capacity(4);
    source.take(4).read_to_end(&mut head)?;
    Ok(head)
}

fn line_breaks(mut source: impl Read) -> io::Result<u64> {
    let mut room = vec![0; 256 << 10];
    let mut breaks = 0;
    loop {
        match source.read(&mut room) {
            Ok(0) => return Ok(breaks),
            Ok(count) => breaks += room[..count].iter().filter(|byte| **byte == b'\n').count() as u64,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn problem(path: &Path) -> String {
        let error = Input::check_all(&[path.to_owned()]).expect_err("should be refused");
        error.to_string()
    }

    #[test]
    fn every_wrong_file_is_named_with_what_to_do() {
        let dir = tempfile::tempdir().expect("a directory");
        let gzip = dir.path().join("a.ndjson.gz");
        fs::write(&gzip, [0x1f, 0x8b, 8, 0, 0]).expect("writes");
        assert!(problem(&gzip).contains("gzip -dc"));
        assert!(problem(dir.path()).contains("is a directory"));
        let both = [dir.path().join("absent"), dir.path().to_owned(), "-".into(), "-".into()];
        let message = Input::check_all(&both).expect_err("should be refused").to_string();
        assert_eq!(message.lines().count(), 3, "{message}");
    }

    #[test]
    fn a_place_is_a_line_of_the_file() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("a");
        fs::write(&path, "{}\n\n{}\n").expect("writes");
        let input = Input::check(path.clone()).expect("a file");
        assert_eq!(input.place(4), format!("{}:3", path.display()));
        assert_eq!(Input::check("-".into()).expect("stdin").place(4), "standard input, byte 4");
    }
}
