//! Rows of a folder as its family labels them: what `prepare_dataset` of each family in
//! `wesg52/sparse-probing-paper`, `probing_datasets`, makes of the columns.

use std::collections::BTreeSet;

use attention_probes_errors::nearest;

use super::arrow_stream::ArrowStream;
use super::cells::Cells;
use super::config::HaystackConfig;
use crate::{ActivationError, HaystackError, HaystackFamily, HaystackFolder, TableError};

/// How the columns of the tokens of a feature end.
const INDICES: &str = "|probe_indices";
const CLASSES: &str = "|probe_classes";

/// Class of what has not the feature.
pub(super) const OTHER: &str = "other";

/// The one feature of `counterfact`.
const TEXT_TRUE: &str = "text_true";

/// One row of a folder.
pub(super) struct HaystackRow {
    /// Its number in the folder, from 0.
    pub(super) number: usize,
    pub(super) tokens: Vec<i64>,
    /// Tokens that are labelled, with their classes.
    pub(super) places: Vec<(i64, String)>,
    /// Class of the text, if texts have one.
    pub(super) class: Option<String>,
    /// Rows of one group stay on one side of a split.
    pub(super) group: Option<String>,
    /// Feature that the row is about, where that is not the same of all rows.
    feature: Option<String>,
}

/// Rows of a feature, or of all classes.
pub(super) struct HaystackRows {
    pub(super) rows: Vec<HaystackRow>,
    /// The feature, whose classes are [`OTHER`] and itself; `None` if the classes are those of the
    /// family.
    pub(super) feature: Option<String>,
}

/// How a family keeps its labels.
enum Layout {
    /// Two columns for each feature: tokens, and 1 or -1 of each.
    Features(String),
    /// A column of the class of a text, and one of the tokens that it is asked at.
    Classes { class: &'static str, places: Places },
    /// A column that names the feature of a row, and one that says what its last token is.
    Compounds,
    /// Whether a text is true, asked at its last token.
    Statements,
}

#[derive(Clone, Copy)]
enum Places {
    /// A column of lists.
    Many(&'static str),
    /// A column with one token.
    One(&'static str),
}

/// Reads the rows of a folder.
pub(super) fn read_rows(
    folder: &HaystackFolder,
    config: &HaystackConfig,
) -> Result<HaystackRows, ActivationError> {
    let path = folder.path();
    let mut layout = None;
    let mut rows = Vec::new();
    for file in folder.files() {
        let mut stream = ArrowStream::open(file)?;
        let columns: Vec<String> =
            stream.schema().fields().iter().map(|field| field.name().clone()).collect();
        if layout.is_none() {
            layout = Some(layout_of(folder, config, &columns)?);
        }
        let Some(layout) = &layout else { continue };
        let group = config.group.clone().or_else(|| group_of(folder.family(), &columns));
        let names = layout.columns().into_iter().chain(group.clone());
        let mut indices = BTreeSet::new();
        for name in names {
            let Some(index) = columns.iter().position(|column| *column == name) else {
                let nearest = nearest(&name, &columns).map(str::to_owned);
                let path = file.clone();
                return Err(TableError::NoColumn { path, column: name, columns, nearest }.into());
            };
            indices.insert(index);
        }
        let indices: Vec<usize> = indices.into_iter().collect();
        while let Some(batch) = stream.next(&indices)? {
            let cells = Cells { path: stream.path(), batch: &batch, first_row: rows.len() };
            let groups = group.as_ref().map(|group| cells.names(group)).transpose()?;
            let mut more = layout.rows(path, &cells)?;
            for (row, group) in more.iter_mut().zip(groups.into_iter().flatten()) {
                row.group = Some(group);
            }
            rows.extend(more);
        }
    }
    match layout {
        Some(Layout::Features(feature)) => Ok(HaystackRows { rows, feature: Some(feature) }),
        Some(Layout::Classes { .. }) => of_classes(folder, config, rows),
        Some(Layout::Statements) => Ok(HaystackRows { rows, feature: Some(TEXT_TRUE.to_owned()) }),
        _ => of_compounds(folder, config, rows),
    }
}

/// Where a family keeps its labels; for those whose columns name the features, of one feature.
fn layout_of(
    folder: &HaystackFolder,
    config: &HaystackConfig,
    columns: &[String],
) -> Result<Layout, HaystackError> {
    let probe_indices = Places::Many("probe_indices");
    match folder.family() {
        HaystackFamily::ProgrammingLangId | HaystackFamily::NaturalLangId => {
            Ok(Layout::Classes { class: "lang", places: probe_indices })
        }
        HaystackFamily::DistributionId => {
            Ok(Layout::Classes { class: "distribution", places: probe_indices })
        }
        HaystackFamily::Wikidata => {
            Ok(Layout::Classes { class: "class", places: Places::One("surname_index_end") })
        }
        HaystackFamily::CompoundWords => Ok(Layout::Compounds),
        HaystackFamily::Counterfact => {
            chosen(folder, config, vec![TEXT_TRUE.to_owned()])?;
            Ok(Layout::Statements)
        }
        HaystackFamily::Position => Err(HaystackError::Numbers { path: folder.path().to_owned() }),
        HaystackFamily::TextFeatures
        | HaystackFamily::HasSuffix
        | HaystackFamily::HasPrefix
        | HaystackFamily::Ewt
        | HaystackFamily::Latex => {
            let names = columns.iter().filter_map(|column| column.strip_suffix(INDICES));
            chosen(folder, config, names.map(str::to_owned).collect()).map(Layout::Features)
        }
    }
}

/// The feature that the config names, or the only one there is.
fn chosen(
    folder: &HaystackFolder,
    config: &HaystackConfig,
    mut features: Vec<String>,
) -> Result<String, HaystackError> {
    let path = folder.path().to_owned();
    match &config.feature {
        Some(feature) if features.contains(feature) => Ok(feature.clone()),
        Some(feature) => {
            let nearest = nearest(feature, &features).map(str::to_owned);
            Err(HaystackError::NoFeature { path, feature: feature.clone(), features, nearest })
        }
        None if features.len() == 1 => Ok(features.remove(0)),
        None => Err(HaystackError::WhichFeature { path, features }),
    }
}

/// What keeps rows together, if nothing is said: their document or person.
fn group_of(family: HaystackFamily, columns: &[String]) -> Option<String> {
    let group = match family {
        HaystackFamily::Ewt => "doc_id",
        HaystackFamily::Wikidata => "name",
        _ => return None,
    };
    columns.iter().any(|column| column == group).then(|| group.to_owned())
}

impl Layout {
    /// The columns that are read.
    fn columns(&self) -> Vec<String> {
        let more = match self {
            Self::Features(feature) => {
                vec![format!("{feature}{INDICES}"), format!("{feature}{CLASSES}")]
            }
            Self::Classes { class, places: Places::Many(places) | Places::One(places) } => {
                vec![(*class).to_owned(), (*places).to_owned()]
            }
            Self::Compounds => ["feature_name", "label"].map(str::to_owned).to_vec(),
            Self::Statements => {
                [TEXT_TRUE, "target_start", "target_end"].map(str::to_owned).to_vec()
            }
        };
        std::iter::once("tokens".to_owned()).chain(more).collect()
    }

    /// The rows of a batch.
    fn rows(
        &self,
        folder: &std::path::Path,
        cells: &Cells<'_>,
    ) -> Result<Vec<HaystackRow>, ActivationError> {
        let row = |(row, tokens): (usize, Vec<i64>)| HaystackRow {
            number: cells.first_row + row,
            tokens,
            places: Vec::new(),
            class: None,
            group: None,
            feature: None,
        };
        let mut rows: Vec<HaystackRow> =
            cells.lists("tokens")?.into_iter().enumerate().map(row).collect();
        match self {
            Self::Features(feature) => {
                let column = format!("{feature}{CLASSES}");
                let indices = cells.lists(&format!("{feature}{INDICES}"))?;
                let classes = cells.lists(&column)?;
                for (index, (row, (indices, classes))) in
                    rows.iter_mut().zip(indices.into_iter().zip(classes)).enumerate()
                {
                    if indices.len() != classes.len() {
                        return Err(HaystackError::ClassCount {
                            path: folder.to_owned(),
                            row: row.number,
                            n_places: indices.len(),
                            n_classes: classes.len(),
                        }
                        .into());
                    }
                    for (place, class) in indices.into_iter().zip(classes) {
                        let class = match class {
                            1 => feature.as_str(),
                            -1 => OTHER,
                            _ => {
                                let found = "another number";
                                return Err(cells.cell(index, &column, found, "1 or -1").into());
                            }
                        };
                        row.places.push((place, class.to_owned()));
                    }
                }
            }
            Self::Classes { class, places } => {
                let places = match places {
                    Places::Many(places) => cells.lists(places)?,
                    Places::One(place) => {
                        cells.integers(place)?.into_iter().map(|place| vec![place]).collect()
                    }
                };
                let classes = cells.names(class)?;
                for (row, (places, class)) in rows.iter_mut().zip(places.into_iter().zip(classes)) {
                    row.places = places.into_iter().map(|place| (place, class.clone())).collect();
                    row.class = Some(class);
                }
            }
            Self::Compounds => {
                let labels = cells.names("label")?;
                let features = cells.names("feature_name")?;
                for (row, (label, feature)) in rows.iter_mut().zip(labels.into_iter().zip(features))
                {
                    let class = if label == "bigram" { feature.as_str() } else { OTHER };
                    row.places = vec![(row.tokens.len() as i64 - 1, class.to_owned())];
                    row.feature = Some(feature);
                }
            }
            Self::Statements => {
                let (starts, ends) =
                    (cells.integers("target_start")?, cells.integers("target_end")?);
                let truths = cells.booleans(TEXT_TRUE)?;
                for (row, ((start, end), is_true)) in
                    rows.iter_mut().zip(starts.into_iter().zip(ends).zip(truths))
                {
                    let class = if is_true { TEXT_TRUE } else { OTHER };
                    row.places = vec![(end.saturating_sub(1), class.to_owned())];
                    // A true and a false end of one beginning stay together.
                    let start = usize::try_from(start).unwrap_or(0).min(row.tokens.len());
                    row.group = Some(format!("{:?}", &row.tokens[..start]));
                }
            }
        }
        Ok(rows)
    }
}

/// Rows of all classes, or of one of them against the others.
fn of_classes(
    folder: &HaystackFolder,
    config: &HaystackConfig,
    mut rows: Vec<HaystackRow>,
) -> Result<HaystackRows, ActivationError> {
    let Some(_) = &config.feature else { return Ok(HaystackRows { rows, feature: None }) };
    let classes: BTreeSet<String> = rows.iter().filter_map(|row| row.class.clone()).collect();
    let feature = chosen(folder, config, classes.into_iter().collect())?;
    for row in &mut rows {
        let classes = row.places.iter_mut().map(|(_, class)| class).chain(&mut row.class);
        for class in classes.filter(|class| **class != feature) {
            OTHER.clone_into(class);
        }
    }
    Ok(HaystackRows { rows, feature: Some(feature) })
}

/// Rows of one compound.
fn of_compounds(
    folder: &HaystackFolder,
    config: &HaystackConfig,
    mut rows: Vec<HaystackRow>,
) -> Result<HaystackRows, ActivationError> {
    let features: BTreeSet<String> = rows.iter().filter_map(|row| row.feature.clone()).collect();
    let feature = chosen(folder, config, features.into_iter().collect())?;
    rows.retain(|row| row.feature.as_ref() == Some(&feature));
    Ok(HaystackRows { rows, feature: Some(feature) })
}
