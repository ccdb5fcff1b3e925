//! How error messages show numbers and names from outside.

/// Most columns that an error lists.
const MAX_LISTED: usize = 12;

/// Most characters of a name that an error shows.
const MAX_SHOWN: usize = 40;

/// Bytes in GiB with as many decimals as a person reads.
pub(crate) fn gib(bytes: u64) -> String {
    let gib = bytes as f64 / f64::from(1_u32 << 30);
    if gib < 0.01 { format!("{gib:.1e}") } else { format!("{gib:.2}") }
}

/// Names in backticks, cut to what a person reads.
pub(crate) fn listed(names: &[String]) -> String {
    if names.is_empty() {
        return "none".to_owned();
    }
    let mut list: Vec<String> =
        names.iter().take(MAX_LISTED).map(|name| format!("`{}`", shown(name))).collect();
    if names.len() > MAX_LISTED {
        list.push(format!("and {} more", names.len() - MAX_LISTED));
    }
    list.join(", ")
}

/// The end of a message about a column that is not there.
pub(crate) fn did_you_mean(nearest: Option<&str>) -> String {
    match nearest {
        Some(name) => format!("; did you mean `{}`?", shown(name)),
        None => "; the first line must name the columns".to_owned(),
    }
}

/// A name on one line, its end left out where it is long.
pub(crate) fn shown(name: &str) -> String {
    let mut shown: String =
        name.chars().take(MAX_SHOWN).map(|c| if c.is_control() { ' ' } else { c }).collect();
    if name.chars().nth(MAX_SHOWN).is_some() {
        shown.push('…');
    }
    shown
}
