//! Frames on their way to the server, on disk until they have surely arrived.
//!
//! One to a line, as the server gets them: what they carry is sealed for its receiver already.
//! Beside each stands the newest record that was known then: `[record or null,frame]`.

use std::borrow::Cow;
use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde_json::value::RawValue;

use super::error::Result;
use super::files::{replace, sync_dir_of};

/// How much more than what is left may be in the file before it is written anew.
const SLACK_BYTES: u64 = 1024 * 1024;

/// The newest record that was known, and the frame.
pub(super) type Line<Text> = (Option<i64>, Text);

/// A file of frames that grows at its end.
#[derive(Debug)]
pub(super) struct Journal {
    path: PathBuf,
    file: File,
    /// Behind the last whole line.
    end: u64,
}

impl Journal {
    /// The journal at `path`, made if absent, and the lines in it, the oldest first. One that was
    /// cut off by a crash is none: nobody was told that it would be sent.
    pub(super) fn open(path: &Path) -> Result<(Self, Vec<Line<String>>)> {
        let mut file = open(path)?;
        sync_dir_of(path)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        let end = bytes.iter().rposition(|byte| *byte == b'\n');
        bytes.truncate(end.map_or(0, |at| at + 1));
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<_> = text.lines().filter_map(parse).collect();
        let damaged = text.lines().count() - lines.len();
        if damaged > 0 {
            tracing::warn!(file = %path.display(), damaged, "lines of what was to be sent are lost");
        }
        let journal = Self {
            path: path.to_owned(),
            file,
            end: bytes.len() as u64,
        };
        Ok((journal, lines))
    }

    /// Appends `lines`; they are on disk when it returns. After an error none of them is there.
    pub(super) fn append(&mut self, lines: &[Line<&str>]) -> Result<()> {
        if lines.is_empty() {
            return Ok(());
        }
        let written = self.write_behind(lines);
        if written.is_err() {
            let _ = self.file.set_len(self.end);
        }
        self.end = written?;
        Ok(())
    }

    fn write_behind(&self, lines: &[Line<&str>]) -> std::io::Result<u64> {
        let mut end = self.end;
        for line in lines {
            for piece in pieces(line) {
                self.file.write_all_at(piece.as_bytes(), end)?;
                end += piece.len() as u64;
            }
        }
        self.file.sync_data()?;
        Ok(end)
    }

    /// All but `left` has arrived. What has may stay in the file for a while.
    pub(super) fn forget_all_but(&mut self, left: &[Line<&str>]) -> Result<()> {
        let pieces: Vec<Cow<'_, str>> = left.iter().flat_map(pieces).collect();
        let needed: u64 = pieces.iter().map(|piece| piece.len() as u64).sum();
        if needed == 0 && self.end > 0 {
            self.file.set_len(0)?;
            self.end = 0;
        } else if self.end > 2 * needed + SLACK_BYTES {
            self.file = replace(&self.path, pieces.concat().as_bytes())?;
            self.end = needed;
            sync_dir_of(&self.path)?;
        }
        Ok(())
    }
}

fn pieces<'a>((after, frame): &Line<&'a str>) -> [Cow<'a, str>; 3] {
    let after = after.map_or("null".into(), |after| after.to_string());
    [format!("[{after},").into(), (*frame).into(), "]\n".into()]
}

fn parse(line: &str) -> Option<Line<String>> {
    let (after, frame): (_, &RawValue) = serde_json::from_str(line).ok()?;
    Some((after, frame.get().to_owned()))
}

fn open(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false);
    Ok(options.mode(0o600).open(path)?)
}

#[cfg(test)]
impl Journal {
    /// One on a full disk.
    pub(super) fn full() -> Self {
        let path = PathBuf::from("/dev/full");
        let file = OpenOptions::new().write(true).open(&path);
        Self {
            path,
            file: file.expect("Linux has it"),
            end: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// What another run would find.
    fn found(path: &Path) -> Vec<Line<String>> {
        let (_, lines) = Journal::open(path).expect("a journal");
        lines
    }

    #[test]
    fn what_was_appended_is_found_again_without_the_line_that_a_crash_has_cut() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sending.jsonl");
        let (mut journal, lines) = Journal::open(&path).expect("a journal");
        assert!(lines.is_empty());
        let [a, b] = [(Some(5), r#"{"a": 1}"#), (None, "{}")];
        journal.append(&[a, b]).expect("on disk");
        let mut whole = fs::read(&path).expect("readable");
        whole.extend(b"{\"cut");
        fs::write(&path, whole).expect("writable");

        let (mut journal, lines) = Journal::open(&path).expect("a journal");
        let owned = |(after, frame): Line<&str>| (after, frame.to_owned());
        assert_eq!(lines, [a, b].map(owned));
        let c = (Some(6), "\"over the rest of it\"");
        journal.append(&[c]).expect("on disk");
        assert_eq!(found(&path), [a, b, c].map(owned));
    }

    #[test]
    fn the_file_is_empty_when_all_has_arrived_and_never_much_longer_than_what_is_left() {
        let dir = tempfile::tempdir().expect("a directory");
        let path = dir.path().join("sending.jsonl");
        let (mut journal, _) = Journal::open(&path).expect("a journal");
        let picture = format!("\"{}\"", "x".repeat(300_000));
        for _ in 0..20 {
            let left = [(Some(1), picture.as_str())];
            journal.append(&left).expect("on disk");
            journal.forget_all_but(&left).expect("forgotten");
            let length = fs::metadata(&path).expect("there").len();
            assert!(length <= 3 * 300_006 + SLACK_BYTES, "{length} bytes");
        }
        assert_eq!(found(&path).last(), Some(&(Some(1), picture)));
        journal.append(&[(None, "0")]).expect("on disk");
        assert_eq!(found(&path).last(), Some(&(None, "0".into())));
        journal.forget_all_but(&[]).expect("forgotten");
        assert_eq!(fs::metadata(&path).expect("there").len(), 0);
    }
}
