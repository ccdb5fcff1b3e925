//! SCR: texts of two labels and two values of a spurious attribute.

use attention_probes_errors::Stop;
use serde_json::json;

use super::classes::{perturbation, perturbation_settings};
use super::data::LabelledData;
use super::findings::{EvalFindings, EvalSae, coarse};
use super::setting::{
    LabelledConfig, MAX_TEXTS, MIN_TEXTS, Provenance, ScrColumns, Side, check_side, split,
};
use super::texts::Grouped;
use crate::SaeError;
use crate::eval::absorption::TrainTest;
use crate::eval::encoded::EncodedTexts;
use crate::eval::error::EvalError;
use crate::eval::output::EvalOutput;
use crate::eval::scr::{Scr, ScrPair, ScrTexts, scr, train_scr_probes};

/// Texts of each mix of label and attribute: both positive, the label alone, the attribute alone,
/// neither. The first and the last make up the biased set too, and so need twice as many.
pub(super) const PARTS: [usize; 4] = [2, 1, 1, 2];

/// Values of a column that a message lists at most.
const N_LISTED: usize = 12;

/// The positive and the negative value of a column.
type Pair = [String; 2];

/// Mixes of label and attribute.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Mixes {
    /// Of the labels, and of the attribute's values.
    pairs: [Pair; 2],
    /// Mix of each text; none of a text with another label or value.
    pub(super) groups: Vec<Option<usize>>,
}

impl Mixes {
    /// The mixes that two columns make; refuses those that are too rare.
    pub(super) fn of(
        data: &LabelledData,
        columns: &ScrColumns,
        config: &LabelledConfig,
    ) -> Result<Self, SaeError> {
        let labels: Vec<&str> = data.texts.iter().map(|text| &text.label[..]).collect();
        let values: Vec<&str> = data.texts.iter().map(|text| &text.attribute[..]).collect();
        let pairs = [
            pair(&data.from, (&columns.label, "pair"), &labels, columns.pair.as_ref())?,
            pair(
                &data.from,
                (&columns.spurious, "spurious_pair"),
                &values,
                columns.spurious_pair.as_ref(),
            )?,
        ];
        let place = |pair: &Pair, value: &str| pair.iter().position(|one| one == value);
        let groups = labels
            .iter()
            .zip(&values)
            .map(|(label, value)| Some(2 * place(&pairs[0], label)? + place(&pairs[1], value)?))
            .collect();
        let mixes = Self { pairs, groups };
        mixes.check(&data.from, config)?;
        Ok(mixes)
    }

    /// Refuses data in which a mix is too rare.
    fn check(&self, from: &str, config: &LabelledConfig) -> Result<(), SaeError> {
        for (group, part) in PARTS.into_iter().enumerate() {
            let n = self.groups.iter().filter(|one| **one == Some(group)).count();
            let needed = part * MIN_TEXTS;
            if n < needed {
                let [label, value] =
                    [&self.pairs[0][group / 2], &self.pairs[1][group % 2]].map(Clone::clone);
                let from = from.to_owned();
                return Err(EvalError::FewMixed { from, label, value, n, needed }.into());
            }
        }
        let (needed, max_texts) = (PARTS.iter().sum::<usize>() * MIN_TEXTS, config.max_texts);
        if max_texts < needed {
            let what = "SCR needs".to_owned();
            return Err(EvalError::MaxTexts { setting: MAX_TEXTS, max_texts, what, needed }.into());
        }
        Ok(())
    }

    /// SCR, once for each seed.
    pub(super) fn measure(
        &self,
        subject: &EvalSae<'_>,
        texts: &Grouped,
        config: &LabelledConfig,
        data: &Provenance<'_>,
        stop: &Stop,
    ) -> Result<EvalFindings, SaeError> {
        let [label, attribute] = &self.pairs;
        let mut outputs = Vec::new();
        let mut notes = vec![format!(
            "dir1 ablates features of {:?} against {:?}, and tests on {:?} against {:?}; dir2 the other \
             way; metric is the direction in which the biased probe was worse",
            attribute[0], attribute[1], label[0], label[1]
        )];
        let (mut on, mut n_tested) = (String::new(), 0);
        for &seed in &config.seeds {
            let [train, test] = split(&texts.groups, &PARTS, config.test, seed)?;
            let n = [&train, &test].map(|side| side[1].len());
            check_side(data.from, config.test, n)?;
            n_tested = 4 * n[1];
            on = format!(
                "{:?} or {:?} with {:?} or {:?}, {} training and {} test texts of each set",
                label[0],
                label[1],
                attribute[0],
                attribute[1],
                4 * n[0],
                4 * n[1]
            );
            let [train, test] = [train, test].map(|side| sets(&texts.encoded, &side));
            let probing = perturbation(seed, stop);
            let probes = train_scr_probes(&train, &test, &probing)?;
            let found =
                scr(subject.sae, TrainTest { train: &train, test: &test }, &probes, &probing)?;
            notes.push(format!("seed {seed}: {}", self.clean(&found)));
            let n = n.map(|n| 4 * n);
            let mut settings = perturbation_settings(&probing, config, seed, n, data);
            let name = data.name(config, seed);
            settings.insert("column1_vals_lookup".to_owned(), json!({ name.clone(): [label] }));
            let run = subject.run_with(settings);
            outputs.push(EvalOutput::scr(run, subject.sae, &[(name, found)]));
        }
        notes.extend(coarse(n_tested));
        Ok(EvalFindings { outputs, on, notes })
    }

    /// Accuracies of the biased probe compared with those of the probes that know better.
    fn clean(&self, found: &Scr) -> String {
        let of = |set: usize, pair: &Pair| {
            let (biased, own) = (found.clean[set][2], found.clean[set][set]);
            format!("{:?} against {:?} {biased:.3}, its own probe {own:.3}", pair[0], pair[1])
        };
        format!("the biased probe on {}; on {}", of(1, &self.pairs[0]), of(0, &self.pairs[1]))
    }
}

/// The two values of a column that are asked for, or its only two.
fn pair(
    from: &str,
    (column, setting): (&str, &'static str),
    values: &[&str],
    asked: Option<&Pair>,
) -> Result<Pair, SaeError> {
    let (from, column) = (from.to_owned(), column.to_owned());
    let mut known = values.to_vec();
    known.sort_unstable();
    known.dedup();
    let listed = || {
        let shown: Vec<String> =
            known.iter().take(N_LISTED).map(|one| format!("`{one}`")).collect();
        let more = known.len() - shown.len();
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        format!("{}{more}", shown.join(", "))
    };
    let chosen: Pair = match (asked, &known[..]) {
        (Some(asked), _) => asked.clone(),
        (None, [negative, positive]) => [(*positive).to_owned(), (*negative).to_owned()],
        (None, [only]) => {
            return Err(EvalError::OneValue { from, column, value: (*only).to_owned() }.into());
        }
        (None, _) => {
            let (n, values) = (known.len(), listed());
            return Err(EvalError::ManyValues { from, column, n, setting, values }.into());
        }
    };
    if let Some(missing) = chosen.iter().find(|value| !known.contains(&&value[..])) {
        let (value, values) = (missing.clone(), listed());
        return Err(EvalError::UnknownValue { from, column, value, values }.into());
    }
    if chosen[0] == chosen[1] {
        return Err(EvalError::SameValues { setting }.into());
    }
    Ok(chosen)
}

/// The three pairs of sets: `SAEBench`'s `get_spurious_corr_data`.
fn sets(encoded: &EncodedTexts, side: &Side) -> ScrTexts<EncodedTexts> {
    let n = side[1].len();
    let [both, label_alone, attribute_alone, neither] =
        [&side[0][..], &side[1][..], &side[2][..], &side[3][..]];
    let join = |a: &[usize], b: &[usize]| encoded.select(&[&a[..n], &b[..n]].concat());
    let pair = |positive, negative| ScrPair { positive, negative };
    ScrTexts {
        first: pair(join(both, attribute_alone), join(label_alone, neither)),
        second: pair(join(both, label_alone), join(attribute_alone, neither)),
        biased: pair(encoded.select(both), encoded.select(neither)),
    }
}
