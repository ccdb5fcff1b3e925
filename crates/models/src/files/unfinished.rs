//! What this process is still writing, so that a signal can take it away.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::mem;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

static UNFINISHED: Mutex<BTreeSet<PathBuf>> = Mutex::new(BTreeSet::new());

/// A file or a folder under a temporary name; removed when this is dropped.
#[derive(Debug)]
pub struct Unfinished {
    /// `None` once it has its final name.
    path: Option<PathBuf>,
}

impl Unfinished {
    /// Makes something under a temporary name.
    ///
    /// # Errors
    ///
    /// Those of `create`; nothing is kept then.
    pub fn make<T>(
        path: PathBuf,
        create: impl FnOnce(&Path) -> io::Result<T>,
    ) -> io::Result<(Self, T)> {
        let mut all = all();
        let made = create(&path)?;
        all.insert(path.clone());
        Ok((Self { path: Some(path) }, made))
    }

    /// The temporary name.
    pub fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// Gives it its final name.
    ///
    /// # Errors
    ///
    /// Whatever the system says; nothing is left behind then.
    pub fn rename(mut self, to: &Path) -> io::Result<()> {
        let mut all = all();
        fs::rename(self.path(), to)?;
        if let Some(path) = self.path.take() {
            all.remove(&path);
        }
        Ok(())
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(path) = self.path.take() {
            let mut all = all();
            remove(&path);
            all.remove(&path);
        }
    }
}

/// Removes everything that this process has under a temporary name, for good: no file can be begun
/// or get its name after this. For a process that is about to end.
pub fn remove_unfinished() {
    let all = all();
    for path in all.iter() {
        remove(path);
    }
    // Whoever is about to write waits here for the end of the process.
    mem::forget(all);
}

/// There is nobody to tell if it cannot be removed.
fn remove(path: &Path) {
    let _ = if path.is_dir() { fs::remove_dir_all(path) } else { fs::remove_file(path) };
}

fn all() -> MutexGuard<'static, BTreeSet<PathBuf>> {
    UNFINISHED.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_dropped_is_removed_and_what_is_renamed_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let write = |path: &Path| fs::write(path, "half");
        let (file, ()) = Unfinished::make(path("a.tmp"), write).unwrap();
        let (kept, ()) = Unfinished::make(path("b.tmp"), write).unwrap();
        let (whole, ()) = Unfinished::make(path("c.tmp"), |path| fs::create_dir(path)).unwrap();
        fs::write(path("c.tmp/inner"), "half").unwrap();
        drop(file);
        drop(whole);
        kept.rename(&path("b")).unwrap();
        let names: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(names, ["b"]);
    }
}
