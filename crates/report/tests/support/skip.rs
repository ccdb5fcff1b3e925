//! Tests that need a program which a machine may not have.

/// Says that a test is skipped, and why.
///
/// # Panics
///
/// If `CI` is set and `.ci/run` installs the program, as `install` says: there nothing may be
/// skipped unseen.
pub(crate) fn skipped(missing: &str, install: Option<&str>) {
    let is_ci = std::env::var("CI").is_ok_and(|value| !value.is_empty() && value != "false");
    match install {
        Some(install) if is_ci => panic!("{missing}: {install}"),
        Some(install) => eprintln!("skipped: {missing}; to run the test, {install}"),
        None => eprintln!("skipped: {missing}"),
    }
}
