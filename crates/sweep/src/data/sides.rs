//! Whether every side of a split can be trained on or evaluated on.

use attention_probes_activations::{
    ActivationError, ExampleSet, LabelKind, Labels, Side, Split, SplitError,
};

use crate::SweepError;
use crate::config::DataConfig;

/// Refuses a side without a class, but for a file held out that has two others: its metrics are
/// those of the classes that it has.
pub(crate) fn check_classes(
    config: &DataConfig,
    examples: &ExampleSet,
    split: &Split,
) -> Result<(), SweepError> {
    let counts = counts_by_side(examples, split);
    let totals = examples.class_counts();
    for (side, counts) in [Side::Train, Side::Validation, Side::Test].into_iter().zip(&counts) {
        let missing = counts.iter().position(|count| *count == 0);
        let Some(class) = missing else { continue };
        let n_classes = counts.iter().filter(|count| **count > 0).count();
        let held_out = match side {
            Side::Train => None,
            Side::Validation => config.validation.file(),
            Side::Test => config.test.file(),
        };
        let name = examples.classes[class].clone();
        match held_out {
            Some(_) if n_classes > 1 => {}
            Some(path) => {
                return Err(SweepError::FileWithoutClass { path: path.to_owned(), side, name });
            }
            None => {
                let (path, n_examples) = (config.path.clone(), totals[class]);
                return Err(SweepError::SideWithoutClass { path, side, class, name, n_examples });
            }
        }
    }
    Ok(())
}

/// Classes that a side lacks whose examples lie in a file of their own.
pub(crate) fn missing_classes(examples: &ExampleSet, split: &Split, side: Side) -> Vec<String> {
    let counts = &counts_by_side(examples, split)[side as usize];
    let names = counts.iter().zip(&examples.classes).filter(|(count, _)| **count == 0);
    names.map(|(_, name)| name.clone()).collect()
}

/// Examples of each class on the train, validation, and test side.
fn counts_by_side(examples: &ExampleSet, split: &Split) -> [Vec<usize>; 3] {
    [&split.train, &split.validation, &split.test].map(|side| {
        let mut counts = vec![0; examples.classes.len()];
        for &example in side {
            counts[examples.examples[example].label] += 1;
        }
        counts
    })
}

/// Names the class that groups keep from a side.
pub(crate) fn named(
    error: ActivationError,
    config: &DataConfig,
    classes: &[String],
) -> Result<SweepError, ActivationError> {
    match error {
        ActivationError::Split {
            source: SplitError::ClassMissing { side, class, n_examples, n_groups },
        } => Ok(SweepError::GroupedClass {
            path: config.path.clone(),
            side,
            class,
            name: classes.get(class).cloned().unwrap_or_default(),
            n_examples,
            n_groups,
        }),
        other => Err(other),
    }
}

/// The class that a side of a split lacks, if that is what is wrong.
pub(crate) fn class_missing(error: &SweepError) -> Option<usize> {
    match error {
        SweepError::SideWithoutClass { class, .. } | SweepError::GroupedClass { class, .. } => {
            Some(*class)
        }
        _ => None,
    }
}

/// Refuses sides that cannot be trained on or evaluated on.
pub(crate) fn check_sides(
    config: &DataConfig,
    targets: &Labels,
    split: &Split,
) -> Result<(), SweepError> {
    let sides = [
        (Side::Train, &split.train),
        (Side::Validation, &split.validation),
        (Side::Test, &split.test),
    ];
    for (side, examples) in sides {
        let targets = targets.select(examples);
        let is_useless = match targets.kind() {
            LabelKind::Class => false,
            LabelKind::Number => varying(&targets).is_empty(),
            LabelKind::Labels => side == Side::Train && varying(&targets).is_empty(),
            LabelKind::Distribution => {
                let wholly = |column: usize| {
                    targets
                        .numbers()
                        .chunks_exact(targets.n_columns())
                        .all(|row| row[column] >= 1.0)
                };
                side == Side::Train && (0..targets.n_columns()).any(wholly)
            }
        };
        if is_useless {
            let (path, column) = (config.path.clone(), config.label.clone());
            return Err(SweepError::Alike { path, column, side, n_examples: examples.len() });
        }
    }
    Ok(())
}

/// Columns that are not the same in every row.
pub(crate) fn varying(targets: &Labels) -> Vec<usize> {
    let n = targets.n_columns();
    let varies = |column: &usize| {
        let mut values = targets.numbers().iter().skip(*column).step_by(n);
        let first = values.next();
        values.any(|value| Some(value) != first)
    };
    (0..n).filter(varies).collect()
}
