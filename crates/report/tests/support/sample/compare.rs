//! Runs of the same sweep beside each other.

use attention_probes_metrics::{ComparedProbe, Comparison, Interval};
use attention_probes_report::{ComparePage, ComparedResult, ComparedRun};

use super::dice::{Dice, interval};

/// What the first of two probes is better by than the second, by 0.02 to both sides.
pub(super) fn paired(first: f64, second: f64) -> Comparison {
    let difference = first - second;
    Comparison {
        first,
        second,
        difference,
        interval: Interval { lower: difference - 0.02, upper: difference + 0.02, level: 0.95 },
        p_value: 0.01,
        share_first_wins: 0.99,
        share_equal: 0.0,
        n_resamples: 2000,
        n_redrawn: 0,
    }
}

/// A probe that is better than that of the first run by so much.
fn better(probe: ComparedProbe, over_first: Comparison) -> ComparedResult {
    ComparedProbe {
        difference: Some((over_first.difference, Some(over_first.interval))),
        over_first: Some(over_first),
        ..probe
    }
    .into()
}

/// Three runs of the same sweep.
pub(crate) fn compare_page() -> ComparePage {
    let mut dice = Dice::new(5);
    let mut probes: Vec<ComparedProbe> = Vec::new();
    let mut runs = Vec::new();
    for (run_index, (name, model, more)) in [
        ("baseline", "demo-gpt2, 81 trials", 0.0),
        ("long", "demo-gpt2, 30 epochs", 0.03),
        ("gemma", "demo-gemma, 81 trials", 0.06),
    ]
    .into_iter()
    .enumerate()
    {
        for data in ["sentiment", "next-the"] {
            for (probe, better) in [("linear-mean", 0.0), ("attention", 0.04)] {
                for layer in (0..12).filter(|layer| !(name == "gemma" && layer % 2 == 1)) {
                    let value =
                        0.6 + more + better + 0.016 * f64::from(layer) + 0.01 * dice.normal();
                    probes.push(ComparedProbe {
                        run_index,
                        run: name.to_owned(),
                        data: data.to_owned(),
                        layer: Some(layer as usize),
                        component: "resid_post".to_owned(),
                        config_name: probe.to_owned(),
                        n_test: 600,
                        metric: "balanced accuracy".to_owned(),
                        value: Some(value),
                        interval: interval(value, 0.035).interval,
                        validation: Some(value + 0.01),
                        is_chosen: probe == "attention" && layer == 10,
                        difference: None,
                        over_first: None,
                    });
                }
            }
        }
        runs.push(ComparedRun { name: name.to_owned(), description: model.to_owned() });
    }
    let first: Vec<f64> =
        probes.iter().filter(|one| one.run_index == 0).filter_map(|one| one.value).collect();
    let chosen = probes.iter().filter(|one| one.is_chosen).map(|one| {
        let is_better = one.run_index == 1 && one.data == "sentiment";
        if is_better { better(one.clone(), paired(0.8312, 0.8)) } else { one.clone().into() }
    });
    let chosen = chosen.collect();
    // The runs before it have as many results, in the same order.
    let result = |(index, one): (usize, ComparedProbe)| match one.value {
        Some(value) if one.run_index == 1 => better(one, paired(value, first[index - first.len()])),
        _ => one.into(),
    };
    let results = probes.into_iter().enumerate().map(result).collect();
    ComparePage { title: "Three runs".to_owned(), runs, chosen, results }
}
