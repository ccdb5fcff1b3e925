//! Files that are mapped into memory instead of read.

use std::fs::File;

use memmap2::Mmap;

/// Maps a file, whose bytes may be anything and are checked at every use.
#[expect(unsafe_code, reason = "mapping a file is unsafe: it may change beneath the map")]
pub(crate) fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: files of activations are written under another name and never written to again under
    // their own. Whoever changes one nonetheless changes numbers, every use of which is checked;
    // whoever shortens it ends the process with a signal, which no program that maps files can
    // prevent.
    unsafe { Mmap::map(file) }
}
