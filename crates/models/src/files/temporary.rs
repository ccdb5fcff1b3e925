//! Files under a temporary name until they are whole.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::{Unfinished, output_target};

/// Longest name of a file on the file systems in use.
const MAX_NAME_BYTES: usize = 255;

/// Room for two dots, process, dash, number, and ending.
const SUFFIX_BYTES: usize = 40;

/// Writes a file to a temporary name in the same folder, then renames it.
///
/// Whoever reads `path` sees the old file or the new one, never a part, even if the process is
/// killed. If `write` fails, `path` stays as it was. A symbolic link is followed: what it names is
/// replaced. What a process that was killed left of the same file is removed.
///
/// # Errors
///
/// - those of [`output_target`]
/// - whatever the system or `write` says
pub fn write_atomically(
    path: &Path,
    write: impl FnOnce(&mut BufWriter<&mut File>) -> io::Result<()>,
) -> io::Result<()> {
    let mut temporary = TemporaryFile::create(path)?;
    let mut file = BufWriter::new(&mut temporary.file);
    write(&mut file)?;
    file.flush()?;
    drop(file);
    temporary.finish()
}

/// A file that gets its name when it is whole, and is removed if it never is.
#[derive(Debug)]
pub struct TemporaryFile {
    /// What it will be called.
    target: PathBuf,
    /// The file, open for reading and writing.
    pub file: File,
    unfinished: Unfinished,
}

impl TemporaryFile {
    /// Makes an empty file beside the one that it will replace.
    ///
    /// # Errors
    ///
    /// - those of [`output_target`]
    /// - whatever the system says
    pub fn create(path: &Path) -> io::Result<Self> {
        let target = output_target(path)?;
        remove_abandoned(&target);
        loop {
            let create =
                |path: &Path| File::options().read(true).write(true).create_new(true).open(path);
            let (unfinished, file) = match Unfinished::make(temporary_path(&target), create) {
                // Left by a process with the same number, on a file system without locks.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                made => made?,
            };
            // Whoever finds the file later can tell by the lock whether its writer lives. Between
            // the two calls it looks abandoned, and may be gone.
            if cfg!(unix) && (file.try_lock().is_err_and(is_held) || !unfinished.path().exists()) {
                continue;
            }
            return Ok(Self { target, file, unfinished });
        }
    }

    /// Where it lies until it is whole.
    pub fn path(&self) -> &Path {
        self.unfinished.path()
    }

    /// Makes sure that the file is on disk, and gives it its name.
    ///
    /// # Errors
    ///
    /// Whatever the system says; nothing is left behind then.
    pub fn finish(self) -> io::Result<()> {
        self.file.sync_all()?;
        self.unfinished.rename(&self.target)
    }

    /// As [`TemporaryFile::finish`], but leaves a file alone that has the name already.
    ///
    /// # Errors
    ///
    /// As [`TemporaryFile::finish`].
    pub fn finish_if_absent(self) -> io::Result<()> {
        self.file.sync_all()?;
        // A link, unlike a rename, never replaces the file of another process.
        match fs::hard_link(self.path(), &self.target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            Err(_) if !self.target.exists() => self.unfinished.rename(&self.target),
            _ => Ok(()),
        }
    }
}

#[expect(clippy::needless_pass_by_value, reason = "`is_err_and` hands the error over")]
fn is_held(error: fs::TryLockError) -> bool {
    matches!(error, fs::TryLockError::WouldBlock)
}

/// A hidden name beside `path` that no other writer uses.
pub(crate) fn temporary_path(path: &Path) -> PathBuf {
    static N_WRITTEN: AtomicU64 = AtomicU64::new(0);
    let mut name = prefix(path);
    name.push(format!("{}-{}.tmp", process::id(), N_WRITTEN.fetch_add(1, Ordering::Relaxed)));
    path.with_file_name(name)
}

/// How the temporary names of a file begin: `.NAME.`, or a hash of a name too long for that.
fn prefix(path: &Path) -> OsString {
    let name = path.file_name().unwrap_or_default();
    let mut prefix = OsString::from(".");
    if name.len() + SUFFIX_BYTES > MAX_NAME_BYTES {
        prefix.push(&blake3::hash(name.as_encoded_bytes()).to_hex()[..32]);
    } else {
        prefix.push(name);
    }
    prefix.push(".");
    prefix
}

/// Removes every temporary file of a folder, and of those at most `depth` below it, whose writer no
/// longer runs.
pub fn remove_all_abandoned(folder: &Path, depth: usize) {
    for name in temporaries(folder) {
        if is_temporary(name.as_encoded_bytes()) {
            remove_if_abandoned(&folder.join(name));
        }
    }
    if depth > 0 {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            remove_all_abandoned(&entry.path(), depth - 1);
        }
    }
}

/// Removes what a process that no longer runs left of a file.
///
/// Each folder is listed once in the life of a process, so that many files in it stay cheap.
fn remove_abandoned(path: &Path) {
    static LEFT_OVER: Mutex<BTreeMap<PathBuf, Vec<OsString>>> = Mutex::new(BTreeMap::new());
    let folder = path.parent().unwrap_or(Path::new("")).to_owned();
    let mut left_over = LEFT_OVER.lock().unwrap_or_else(PoisonError::into_inner);
    let names = left_over.entry(folder).or_insert_with_key(|folder| temporaries(folder));
    let prefix = prefix(path);
    names.retain(|name| {
        let end = name.as_encoded_bytes().strip_prefix(prefix.as_encoded_bytes());
        let is_of_file = end.is_some_and(is_end);
        if is_of_file {
            remove_if_abandoned(&path.with_file_name(name));
        }
        !is_of_file
    });
}

/// Removes a file that nobody has locked.
fn remove_if_abandoned(path: &Path) {
    // Elsewhere a lock keeps readers out too, so nobody takes one.
    if cfg!(unix)
        && let Ok(file) = File::open(path)
        && file.try_lock().is_ok()
    {
        // If it cannot be removed, it stays as it was.
        let _ = fs::remove_file(path);
    }
}

/// Names in a folder that temporary files may have.
fn temporaries(folder: &Path) -> Vec<OsString> {
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let names = files.map(|entry| entry.file_name());
    names.filter(|name| is_temporary(name.as_encoded_bytes())).collect()
}

/// Whether a name is `.NAME.PID-N.tmp`.
fn is_temporary(name: &[u8]) -> bool {
    let place = name.strip_suffix(b".tmp").and_then(|rest| rest.iter().rposition(|b| *b == b'.'));
    name.starts_with(b".") && place.is_some_and(|dot| dot > 1 && is_end(&name[dot + 1..]))
}

/// Whether bytes are `PID-N.tmp`.
fn is_end(bytes: &[u8]) -> bool {
    let Some(numbers) = bytes.strip_suffix(b".tmp") else { return false };
    let is_number = |part: &[u8]| !part.is_empty() && part.iter().all(u8::is_ascii_digit);
    let mut parts = numbers.splitn(2, |byte| *byte == b'-');
    parts.next().is_some_and(is_number) && parts.next().is_some_and(is_number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.map(|name| name.into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_failed_write_leaves_the_old_file_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("state");
        write_atomically(&path, |file| file.write_all(b"old")).unwrap();
        let result = write_atomically(&path, |file| {
            file.write_all(b"new")?;
            Err(io::Error::other("disk full"))
        });
        assert_eq!(result.unwrap_err().to_string(), "disk full");
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(names(folder.path()), ["state"]);
    }

    #[test]
    fn a_file_that_is_there_is_left_alone_where_that_is_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("manifest");
        for content in ["first", "second"] {
            let mut temporary = TemporaryFile::create(&path).unwrap();
            temporary.file.write_all(content.as_bytes()).unwrap();
            temporary.finish_if_absent().unwrap();
        }
        assert_eq!(fs::read(&path).unwrap(), b"first");
        assert_eq!(names(folder.path()), ["manifest"]);
    }

    #[test]
    #[cfg(unix)]
    fn what_a_link_names_is_replaced_and_the_link_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::create_dir(path("data")).unwrap();
        fs::write(path("data/page"), "old").unwrap();
        std::os::unix::fs::symlink("data/page", path("link")).unwrap();
        write_atomically(&path("link"), |file| file.write_all(b"new")).unwrap();
        assert!(path("link").is_symlink());
        assert_eq!(fs::read(path("data/page")).unwrap(), b"new");
        assert_eq!(names(folder.path()), ["data", "link"]);
        assert_eq!(names(&path("data")), ["page"]);
    }

    #[test]
    fn a_name_of_the_greatest_length_is_written_and_its_leftovers_are_known() {
        let folder = tempfile::tempdir().unwrap();
        for n in [214, 215, 216, 255] {
            let path = folder.path().join("é".repeat(n / 2) + &"x".repeat(n % 2));
            let temporary = TemporaryFile::create(&path).unwrap();
            let name = temporary.path().file_name().unwrap().to_owned();
            assert!(name.len() <= MAX_NAME_BYTES);
            assert!(is_temporary(name.as_encoded_bytes()));
            assert!(name.as_encoded_bytes().starts_with(prefix(&path).as_encoded_bytes()));
            temporary.finish().unwrap();
            assert!(path.exists());
        }
    }

    #[test]
    #[cfg(unix)]
    fn only_what_nobody_writes_to_any_more_is_removed() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out.npz");
        for name in
            [".out.npz.7-0.tmp", ".out.npz.x-0.tmp", ".out.npz.more.7-0.tmp", ".other.7-0.tmp"]
        {
            fs::write(folder.path().join(name), "half").unwrap();
        }
        let alive = folder.path().join(".out.npz.8-3.tmp");
        fs::write(&alive, "half").unwrap();
        let writer = File::open(&alive).unwrap();
        writer.lock().unwrap();
        write_atomically(&path, |file| file.write_all(b"whole")).unwrap();
        let expected = [
            ".other.7-0.tmp",
            ".out.npz.8-3.tmp",
            ".out.npz.more.7-0.tmp",
            ".out.npz.x-0.tmp",
            "out.npz",
        ];
        assert_eq!(names(folder.path()), expected);
    }
}
