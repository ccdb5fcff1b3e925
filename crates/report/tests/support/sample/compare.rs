//! Runs of the same sweep beside each other.

use attention_probes_metrics::Interval;
use attention_probes_report::{
    ChosenDifference, ComparePage, ComparedResult, ComparedRun, Estimate, PairedDifference,
};

use super::dice::{Dice, interval};

/// Three runs of the same sweep.
pub(crate) fn compare_page() -> ComparePage {
    let mut dice = Dice::new(5);
    let run = |(name, model, more): (&str, &str, f64)| {
        let mut results = Vec::new();
        for data in ["sentiment", "next-the"] {
            for (probe, better) in [("linear-mean", 0.0), ("attention", 0.04)] {
                for layer in (0..12).filter(|layer| !(name == "gemma" && layer % 2 == 1)) {
                    let value =
                        0.6 + more + better + 0.016 * f64::from(layer) + 0.01 * dice.normal();
                    results.push(ComparedResult {
                        data: data.to_owned(),
                        layer: Some(layer as usize),
                        component: "resid_post".to_owned(),
                        config_name: probe.to_owned(),
                        metric: "balanced accuracy".to_owned(),
                        validation: value + 0.01,
                        is_chosen: probe == "attention" && layer == 10,
                        test: interval(value, 0.035),
                        n_test: 600,
                    });
                }
            }
        }
        ComparedRun { name: name.to_owned(), description: model.to_owned(), results }
    };
    let runs: Vec<ComparedRun> = [
        ("baseline", "demo-gpt2, 81 trials", 0.0),
        ("long", "demo-gpt2, 30 epochs", 0.03),
        ("gemma", "demo-gemma, 81 trials", 0.06),
    ]
    .map(run)
    .into();
    let differences = runs[1]
        .results
        .iter()
        .zip(&runs[0].results)
        .map(|(result, first)| {
            let value = result.test.value - first.test.value;
            let interval = Interval { lower: value - 0.02, upper: value + 0.02, level: 0.95 };
            PairedDifference {
                run: 1,
                data: result.data.clone(),
                layer: result.layer,
                component: result.component.clone(),
                config_name: result.config_name.clone(),
                difference: Estimate { value, interval: Some(interval) },
            }
        })
        .collect();
    let chosen_differences = vec![ChosenDifference {
        run: 1,
        data: "sentiment".to_owned(),
        difference: interval(0.0312, 0.02),
    }];
    ComparePage { title: "Three runs".to_owned(), runs, differences, chosen_differences }
}
