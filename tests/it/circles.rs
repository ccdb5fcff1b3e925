//! No files import each other in a circle.
//!
//! What an error names does not count: a crate has one enum of errors, which everybody returns.
//! A module may use its parent, and two files of one folder may know each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::imports::Imports;

/// Files by what they import.
type Graph = BTreeMap<String, BTreeSet<String>>;

#[test]
fn no_files_import_each_other_in_a_circle() {
    let mut found = Vec::new();
    for (name, src) in crate::sources() {
        let circles = circles(&Imports::read(&src).graph());
        found.extend(circles.iter().map(|files| format!("{name}: {}", files.join(", "))));
    }
    assert!(found.is_empty(), "circles of files:\n{}", found.join("\n"));
}

/// Groups of files each of which imports every other, if only through others, but for a pair in one
/// folder.
fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reached: BTreeMap<&str, BTreeSet<&str>> =
        graph.keys().map(|file| (file.as_str(), reached_from(graph, file))).collect();
    let mut found: Vec<Vec<String>> = Vec::new();
    for file in graph.keys() {
        if found.iter().flatten().any(|known| known == file) {
            continue;
        }
        let of = |other: &&str| {
            reached[file.as_str()].contains(other) && reached[other].contains(file.as_str())
        };
        let ring: Vec<String> =
            graph.keys().map(String::as_str).filter(of).map(str::to_owned).collect();
        let folders: BTreeSet<_> = ring.iter().map(|file| Path::new(file).parent()).collect();
        if ring.len() > 2 || folders.len() > 1 {
            found.push(ring);
        }
    }
    found
}

/// What a file imports, and what that imports, and so on.
fn reached_from<'a>(graph: &'a Graph, file: &str) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next: Vec<&str> = graph[file].iter().map(String::as_str).collect();
    while let Some(file) = next.pop() {
        if reached.insert(file) {
            next.extend(graph[file].iter().map(String::as_str));
        }
    }
    reached
}

#[test]
fn a_circle_is_found_and_a_pair_in_one_folder_is_none() {
    let graph = |edges: &[(&str, &str)]| {
        let mut graph = Graph::new();
        for (from, to) in edges {
            graph.entry((*to).to_owned()).or_default();
            graph.entry((*from).to_owned()).or_default().insert((*to).to_owned());
        }
        graph
    };
    assert!(circles(&graph(&[("a.rs", "b.rs"), ("b.rs", "c.rs"), ("a.rs", "c.rs")])).is_empty());
    assert!(circles(&graph(&[("x/a.rs", "x/b.rs"), ("x/b.rs", "x/a.rs")])).is_empty());
    let across = circles(&graph(&[("x/a.rs", "y/b.rs"), ("y/b.rs", "x/a.rs")]));
    assert_eq!(across, [["x/a.rs", "y/b.rs"]]);
    let three = circles(&graph(&[("a.rs", "b.rs"), ("b.rs", "c.rs"), ("c.rs", "a.rs")]));
    assert_eq!(three, [["a.rs", "b.rs", "c.rs"]]);
}
