//! Several runs of sweeps beside each other.

use attention_probes_metrics::Comparison;
use attention_probes_report::{aligned, measured, signed, with_interval};
use attention_probes_sweep::{ComparedProbe, RunComparison};

/// What validation chose of every data set, then every result: one line for each place and run.
///
/// # Examples
///
/// ```no_run
/// use std::path::Path;
///
/// use attention_probes::pages::probes::text::comparison_text;
/// use attention_probes::sweep::{SavedRun, compare_runs};
///
/// let runs = [SavedRun::read(Path::new("results/a"))?, SavedRun::read(Path::new("results/b"))?];
/// println!("{}", comparison_text(&compare_runs(&runs)?));
/// # Ok::<(), attention_probes::sweep::SweepError>(())
/// ```
pub fn comparison_text(compared: &RunComparison) -> String {
    let mut text = String::from("what validation chose of every data set:\n");
    write_rows(&mut text, &compared.chosen, |row| row.data.clone());
    text.push_str("\nevery result:\n");
    write_rows(&mut text, &compared.results, |row| {
        (row.data.clone(), row.layer, row.component.clone(), row.config_name.clone())
    });
    text
}

/// Appends a table, rows of one key side by side, keys as they first come.
fn write_rows<K: PartialEq>(
    text: &mut String,
    rows: &[ComparedProbe],
    key: impl Fn(&ComparedProbe) -> K,
) {
    let header = ["data", "layer", "probe", "run", "metric", "test (95 %)", "over the first"];
    let mut lines = vec![header.map(str::to_owned)];
    let mut keys: Vec<K> = Vec::new();
    for row in rows {
        if !keys.contains(&key(row)) {
            keys.push(key(row));
        }
    }
    let has_components = rows.iter().any(|row| row.component != rows[0].component);
    let mut rows: Vec<&ComparedProbe> = rows.iter().collect();
    rows.sort_by_key(|row| keys.iter().position(|known| *known == key(row)));
    for row in rows {
        let over = row.over_first.map_or("-".to_owned(), |over| {
            let Comparison { difference, interval, .. } = over;
            let [difference, lower, upper] =
                [difference, interval.lower, interval.upper].map(signed);
            format!("{difference} [{lower}, {upper}]")
        });
        let value = match (row.value, &row.interval) {
            (None, _) => "-".to_owned(),
            (Some(value), None) => measured(value),
            (Some(value), Some(interval)) => with_interval(value, interval),
        };
        lines.push([
            row.data.clone(),
            place_of(row, has_components),
            row.config_name.clone(),
            row.run.clone(),
            row.metric.clone(),
            value,
            over,
        ]);
    }
    aligned(text, &lines);
}

/// The layer, with the component where there are several.
fn place_of(row: &ComparedProbe, has_components: bool) -> String {
    let layer = row.layer.map_or("-".to_owned(), |layer| layer.to_string());
    if has_components { format!("{layer} {}", row.component).trim_end().to_owned() } else { layer }
}
