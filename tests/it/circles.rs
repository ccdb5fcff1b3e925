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

/// Groups of files each of which imports every other, if only through others; what two files of one
/// folder have of each other does not count.
fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let graph = &without_pairs(graph);
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
        if ring.len() > 1 {
            found.push(ring);
        }
    }
    found
}

/// A graph without the imports of two files of one folder that import each other.
fn without_pairs(graph: &Graph) -> Graph {
    let folder = |file: &str| Path::new(file).parent().map(Path::to_owned);
    let is_pair =
        |file: &str, other: &str| folder(file) == folder(other) && graph[other].contains(file);
    let part = |(file, others): (&String, &BTreeSet<String>)| {
        let kept = others.iter().filter(|other| !is_pair(file, other)).cloned().collect();
        (file.clone(), kept)
    };
    graph.iter().map(part).collect()
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
    let star =
        [("x/a.rs", "x/b.rs"), ("x/b.rs", "x/a.rs"), ("x/a.rs", "x/c.rs"), ("x/c.rs", "x/a.rs")];
    assert!(circles(&graph(&star)).is_empty());
    let one_way = [("x/a.rs", "x/b.rs"), ("x/b.rs", "x/c.rs"), ("x/c.rs", "x/a.rs")];
    assert_eq!(circles(&graph(&one_way)), [["x/a.rs", "x/b.rs", "x/c.rs"]]);
    let across = circles(&graph(&[("x/a.rs", "y/b.rs"), ("y/b.rs", "x/a.rs")]));
    assert_eq!(across, [["x/a.rs", "y/b.rs"]]);
    let three = circles(&graph(&[("a.rs", "b.rs"), ("b.rs", "c.rs"), ("c.rs", "a.rs")]));
    assert_eq!(three, [["a.rs", "b.rs", "c.rs"]]);
}
