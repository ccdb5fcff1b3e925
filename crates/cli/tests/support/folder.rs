//! A folder with texts.

use std::fs;

/// A folder with `texts.csv`, texts of two classes.
pub(crate) fn folder() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let words = ["good", "bad", "cake", "dog", "tree", "home", "lost", "boy"];
    let mut csv = String::from("text,label\n");
    for i in 0..80 {
        let word = |step: usize| words[(i * step + i / 8 + step) % words.len()];
        let label = if i % 2 == 0 { "pos" } else { "neg" };
        let row = [word(1), word(3), "number", &i.to_string(), word(5), label].join(" ");
        csv.extend([&*row, ",", label, "\n"]);
    }
    fs::write(folder.path().join("texts.csv"), csv).unwrap();
    folder
}
