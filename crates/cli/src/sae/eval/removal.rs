//! SCR: texts of two labels and two values of a spurious attribute.

use anyhow::Result;
use attention_probes_sae::eval::{
    EncodedTexts, EvalOutput, Scr, ScrPair, ScrTexts, draw_in_parts, scr, train_scr_probes,
};

use super::classes::{check_side, perturbation};
use super::labelled::{Labelled, MIN_TEXTS, Side, encode, read_rows};
use super::{EvalArgs, Findings, report};
use crate::exit::InputError;

/// Texts of each mix of label and attribute: both positive, the label alone, the attribute alone,
/// neither. The first and the last make up the biased set too, and so need twice as many.
const PARTS: [usize; 4] = [2, 1, 1, 2];

/// The positive and the negative value of a column.
type Pair = [String; 2];

/// Runs the evaluation, once for each seed.
pub(super) fn run(args: &EvalArgs) -> Result<Findings> {
    let (Some(path), Some(spurious)) = (&args.data, &args.spurious) else {
        unreachable!("both were asked for")
    };
    let rows = read_rows(args, path, Some(spurious))?;
    let column = |of: fn(&(String, String, String)) -> &String| -> Vec<&str> {
        rows.iter().map(|row| &of(row)[..]).collect()
    };
    let (labels, values) = (column(|row| &row.1), column(|row| &row.2));
    let pairs = [
        pair(args, (args.label(), "pair"), &labels, args.pair.as_deref())?,
        pair(args, (spurious, "spurious-pair"), &values, args.spurious_pair.as_deref())?,
    ];
    let place = |pair: &Pair, value: &str| pair.iter().position(|one| one == value);
    let groups: Vec<Option<usize>> = labels
        .iter()
        .zip(&values)
        .map(|(label, value)| Some(2 * place(&pairs[0], label)? + place(&pairs[1], value)?))
        .collect();
    check_mixes(args, &pairs, &groups)?;
    let subject = args.open_model()?;
    let drawn = draw_in_parts(&groups, &PARTS, args.max_texts(), args.first_seed());
    let texts: Vec<(&str, usize)> =
        drawn.iter().filter_map(|row| Some((&rows[*row].0[..], groups[*row]?))).collect();
    let labelled = encode(&subject, &texts)?;
    let sae = &subject.sae;
    let model = Some((subject.model.name.clone(), subject.context_size));
    let [label, attribute] = &pairs;
    let mut outputs = Vec::new();
    let mut notes = vec![format!(
        "dir1 ablates features of {:?} against {:?}, and tests on {:?} against {:?}; dir2 the other \
         way; metric is the direction in which the biased probe was worse",
        attribute[0], attribute[1], label[0], label[1]
    )];
    let (mut on, mut n_tested) = (String::new(), 0);
    for seed in args.seeds() {
        let [train, test] = labelled.split(&PARTS, args.test(), seed)?;
        let n = [&train, &test].map(|side| side[1].len());
        check_side(args, n)?;
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
        let [train, test] = [train, test].map(|side| sets(&labelled, &side));
        let config = perturbation(seed);
        let probes = train_scr_probes(&train, &test, &config)?;
        let found = scr(sae, &train, &test, &probes, &config)?;
        notes.push(format!("seed {seed}: {}", clean(&found, &pairs)));
        let n = n.map(|n| 4 * n);
        let mut settings = report::perturbation(args, &config, seed, n, model.as_ref());
        let values = serde_json::json!({ args.data_name(seed): [label] });
        settings.insert("column1_vals_lookup".to_owned(), values);
        let run = report::eval_run(args, settings);
        outputs.push(EvalOutput::scr(run, sae, &[(args.data_name(seed), found)]));
    }
    notes.extend(report::coarse(n_tested));
    Ok(Findings { outputs, on, notes })
}

/// The two values of a column that are asked for, or its only two.
fn pair(
    args: &EvalArgs,
    (column, flag): (&str, &str),
    values: &[&str],
    asked: Option<&[String]>,
) -> Result<Pair> {
    let from = args.source();
    let mut known = values.to_vec();
    known.sort_unstable();
    known.dedup();
    let listed = || {
        let shown: Vec<String> = known.iter().take(12).map(|one| format!("`{one}`")).collect();
        let more = known.len() - shown.len();
        let more = if more > 0 { format!(", and {more} more") } else { String::new() };
        format!("{}{more}", shown.join(", "))
    };
    let chosen: Vec<String> = match (asked, &known[..]) {
        (Some(asked), _) => asked.to_vec(),
        (None, [negative, positive]) => vec![(*positive).to_owned(), (*negative).to_owned()],
        (None, [only]) => {
            let reason = format!("`{from}`: every row has `{only}` in `{column}`, two are needed");
            return Err(InputError(reason).into());
        }
        (None, _) => {
            let (n, listed) = (known.len(), listed());
            let reason = format!(
                "`{from}`: `{column}` has {n} values, choose two with `--{flag}`: {listed}"
            );
            return Err(InputError(reason).into());
        }
    };
    if let Some(missing) = chosen.iter().find(|value| !known.contains(&&value[..])) {
        let listed = listed();
        let reason =
            format!("`{from}`: no row has `{missing}` in `{column}`, whose values are {listed}");
        return Err(InputError(reason).into());
    }
    match <Pair>::try_from(chosen) {
        Ok(pair) if pair[0] != pair[1] => Ok(pair),
        _ => Err(InputError(format!("`--{flag}` needs two different values")).into()),
    }
}

/// Refuses data in which a mix is too rare.
fn check_mixes(args: &EvalArgs, pairs: &[Pair; 2], groups: &[Option<usize>]) -> Result<()> {
    for (group, part) in PARTS.into_iter().enumerate() {
        let n = groups.iter().filter(|one| **one == Some(group)).count();
        let needed = part * MIN_TEXTS;
        if n < needed {
            let (label, value) = (&pairs[0][group / 2], &pairs[1][group % 2]);
            let from = args.source();
            let reason = format!(
                "`{from}`: too few texts that are both `{label}` and `{value}`: {n}, at least \
                 {needed} are needed"
            );
            return Err(InputError(reason).into());
        }
    }
    let needed = PARTS.iter().sum::<usize>() * MIN_TEXTS;
    if args.max_texts() < needed {
        let reason =
            format!("`--max-texts` is {}, but SCR needs at least {needed}", args.max_texts());
        return Err(InputError(reason).into());
    }
    Ok(())
}

/// The three pairs of sets: `SAEBench`'s `get_spurious_corr_data`.
fn sets(labelled: &Labelled, side: &Side) -> ScrTexts<EncodedTexts> {
    let n = side[1].len();
    let [both, label_alone, attribute_alone, neither] =
        [&side[0][..], &side[1][..], &side[2][..], &side[3][..]];
    let join = |a: &[usize], b: &[usize]| labelled.encoded.select(&[&a[..n], &b[..n]].concat());
    let pair = |positive, negative| ScrPair { positive, negative };
    ScrTexts {
        first: pair(join(both, attribute_alone), join(label_alone, neither)),
        second: pair(join(both, label_alone), join(attribute_alone, neither)),
        biased: pair(labelled.encoded.select(both), labelled.encoded.select(neither)),
    }
}

/// Accuracies of the biased probe beside those of the probes that know better.
fn clean(found: &Scr, pairs: &[Pair; 2]) -> String {
    let of = |set: usize, pair: &Pair| {
        let (biased, own) = (found.clean[set][2], found.clean[set][set]);
        format!("{:?} against {:?} {biased:.3}, its own probe {own:.3}", pair[0], pair[1])
    };
    format!("the biased probe on {}; on {}", of(1, &pairs[0]), of(0, &pairs[1]))
}
