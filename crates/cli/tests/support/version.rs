//! What `--version` says.

use std::path::Path;

use crate::call::{command, succeed};

#[test]
fn the_version_is_that_of_the_program_by_its_name() {
    let (said, _) = succeed(&mut command(Path::new("."), &["--version"]));
    let name = Path::new(crate::PROGRAM).file_stem().unwrap().to_str().unwrap();
    assert_eq!(said, format!("{name} {}\n", env!("CARGO_PKG_VERSION")));
}
