//! A sweep with everything that a page can show.

use attention_probes_metrics::{AxisSpread, CalibrationScores, Interval};
use attention_probes_report::{
    CalibrationRow, ComparisonRow, Estimate, LengthRow, ReliabilityBar, SeedsSummary,
    SweepArchitecture, SweepBaselines, SweepExperiment, SweepMetric, SweepPage, SweepTransfer,
    SweepTrial, SweepWarning, TargetRow, TargetTable, ThresholdRow, TrialHistory,
};

use super::dice::{Dice, interval};

const RATES: [f64; 9] = [1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3];
const DECAYS: [f64; 9] = [0.0, 1e-6, 5e-6, 1e-5, 5e-5, 1e-4, 5e-4, 1e-3, 5e-3];
const N_EPOCHS: usize = 10;

fn trial(rate: usize, decay: usize, ceiling: f64, dice: &mut Dice) -> SweepTrial {
    let speed = 0.08 * 1.75f64.powi(rate as i32);
    let diverged = rate == 8 && decay == 8;
    let mut history = TrialHistory::default();
    for epoch in 1..=N_EPOCHS {
        let learned = 1.0 - (-speed * epoch as f64 / 3.0).exp();
        let overfit = 0.05 * (1.0 - (-(speed * epoch as f64 - 4.0).max(0.0) / 20.0).exp());
        let noise = 0.004 * dice.normal();
        let accuracy = 0.5 + (ceiling - 0.5) * learned - overfit + noise;
        history.balanced_accuracy.push(accuracy.min(0.999));
        history.train_loss.push(0.69 * (1.0 - 0.75 * learned * ceiling));
        history.validation_loss.push(0.69 * (1.0 - (ceiling - 0.42) * learned) + overfit - noise);
    }
    let last = |values: &[f64]| (!diverged).then(|| values[N_EPOCHS - 1]);
    SweepTrial {
        learning_rate: RATES[rate],
        weight_decay: DECAYS[decay],
        seed: 42,
        balanced_accuracy: last(&history.balanced_accuracy),
        loss: last(&history.validation_loss),
        history: if diverged {
            TrialHistory {
                train_loss: vec![f64::NAN; N_EPOCHS],
                validation_loss: vec![f64::INFINITY; N_EPOCHS],
                balanced_accuracy: vec![f64::NAN; N_EPOCHS],
            }
        } else {
            history
        },
    }
}

fn architecture(name: &str, folder: &str, ceiling: f64, dice: &mut Dice) -> SweepArchitecture {
    let trials: Vec<SweepTrial> = (0..9)
        .flat_map(|decay| (0..9).map(move |rate| (rate, decay)))
        .map(|(rate, decay)| trial(rate, decay, ceiling, dice))
        .collect();
    let best = trials
        .iter()
        .max_by(|a, b| a.balanced_accuracy.partial_cmp(&b.balanced_accuracy).expect("numbers"))
        .expect("81 trials");
    let accuracy = best.balanced_accuracy.expect("it did not diverge");
    let test = accuracy - 0.01 * dice.roll();
    let steepness = (test - 0.5) * 9.0 + 0.2;
    let roc: Vec<(f64, f64)> = (0..=60)
        .map(|i| f64::from(i) / 60.0)
        .map(|fpr| (fpr, 1.0 - (1.0 - fpr).powf(1.0 + steepness)))
        .collect();
    let precision_recall = roc.iter().skip(1).map(|(fpr, tpr)| (*tpr, tpr / (tpr + fpr))).collect();
    let (right, wrong) = ((300.0 * test) as usize, 300 - (300.0 * test) as usize);
    let reliability = (5..10)
        .map(|bin| {
            let lower = f64::from(bin) / 10.0;
            let confidence = lower + 0.05;
            let n = (40.0 + 60.0 * dice.roll()) as usize;
            let accuracy = (confidence - 0.06 + 0.04 * dice.normal()).clamp(0.0, 1.0);
            ReliabilityBar { lower, upper: lower + 0.1, n, confidence, accuracy }
        })
        .collect();
    let row = |rule: &str, threshold: f64, fpr: f64| ThresholdRow {
        rule: rule.to_owned(),
        threshold,
        true_positive_rate: interval(1.0 - (1.0 - fpr).powf(1.0 + steepness), 0.03),
        false_positive_rate: interval(fpr, 0.02),
        note: if fpr > 0.05 { "above its promise".to_owned() } else { String::new() },
        precision: if fpr == 0.0 { f64::NAN } else { test },
        balanced_accuracy: test,
    };
    let metric = |name: &str, validation: f64, test: f64| SweepMetric {
        name: name.to_owned(),
        validation: validation.into(),
        test: test.into(),
    };
    SweepArchitecture {
        config_name: name.to_owned(),
        has_own_steps: false,
        learning_rate: best.learning_rate,
        weight_decay: best.weight_decay,
        seed: best.seed,
        file: format!(
            "seed_42/{folder}/trained/{name}_probe_lr{:.2e}_wd{:.2e}_state.npz",
            best.learning_rate, best.weight_decay
        ),
        selected_by: "balanced accuracy on validation".to_owned(),
        validation: interval(accuracy, 0.05),
        test: interval(test, 0.037),
        pairs: None,
        metrics: vec![
            metric("accuracy", accuracy, test + 0.002),
            metric("AUROC", accuracy + 0.06, test + 0.058),
            metric("F1", accuracy - 0.01, test - 0.012),
            metric("MCC", 2.0 * accuracy - 1.0, 2.0 * test - 1.0),
            metric("TPR at 1 % FPR", 0.21, f64::NAN),
            metric("log loss (nats)", 0.48, 0.51),
        ],
        trials,
        axes: vec![
            AxisSpread {
                axis: "learning_rate".to_owned(),
                n_values: 9,
                loss: 0.213,
                balanced_accuracy: 0.184,
            },
            AxisSpread {
                axis: "weight_decay".to_owned(),
                n_values: 9,
                loss: 0.012,
                balanced_accuracy: 0.021,
            },
        ],
        confusion: vec![vec![right, wrong], vec![wrong + 4, right - 4]],
        roc,
        precision_recall,
        reliability,
        thresholds: vec![
            row("as trained", 0.5, 0.2),
            row("1 % false positives", 0.913, 0.01),
            row("no false positives", 0.998, 0.0),
        ],
        calibrations: calibrations(),
        thresholds_note: "Fitted on the validation examples.".to_owned(),
        lengths: lengths(test),
        comparisons: comparisons(),
        seeds: Some(SeedsSummary {
            n_seeds: 3,
            balanced_accuracy: interval(test, 0.02),
            std: 0.008,
            agreement: 0.94,
            fleiss_kappa: 0.88,
        }),
    }
}

fn calibrations() -> Vec<CalibrationRow> {
    vec![
        CalibrationRow {
            method: "as trained".to_owned(),
            scores: CalibrationScores {
                ece: 0.061,
                ece_equal_mass: 0.058,
                brier: 0.182,
                log_loss: 0.531,
            },
        },
        CalibrationRow {
            method: "temperature 1.62".to_owned(),
            scores: CalibrationScores {
                ece: 0.019,
                ece_equal_mass: 0.021,
                brier: 0.174,
                log_loss: 0.508,
            },
        },
    ]
}

fn lengths(test: f64) -> Vec<LengthRow> {
    let row = |(from, to): (usize, usize)| LengthRow {
        from,
        to,
        n: 150,
        accuracy: interval(test - 0.0004 * to as f64, 0.06),
        balanced_accuracy: test,
        auroc: if to == 256 { f64::NAN } else { test + 0.05 },
    };
    [(1, 12), (13, 25), (26, 40), (41, 256)].map(row).to_vec()
}

fn comparisons() -> Vec<ComparisonRow> {
    let row = |(with, value, half_width, p_value): (&str, f64, f64, f64)| ComparisonRow {
        with: with.to_owned(),
        difference: Estimate {
            value,
            interval: Some(Interval {
                lower: value - half_width,
                upper: value + half_width,
                level: 0.95,
            }),
        },
        p_value,
    };
    [("bag of words", 0.04, 0.03, 0.0005), ("attention", -0.012, 0.025, 0.31)].map(row).to_vec()
}

/// Two data sets, four kinds of probes, 81 trials of each at every layer.
pub(crate) fn sweep_page(n_layers: usize) -> SweepPage {
    let mut dice = Dice::new(11);
    let mut experiments = Vec::new();
    for (data, classes, base, gain) in [
        ("sentiment", ["negative", "positive"], 0.60, 0.22),
        ("next-the", ["other", " the"], 0.66, 0.25),
    ] {
        for layer in 0..n_layers {
            let folder = format!("{data}-L{layer:02}-resid_post");
            let depth = layer as f64 / n_layers as f64;
            let ceiling = base + gain * (1.0 - (2.0 * depth - 1.3).powi(2) / 1.7);
            let kinds = [
                ("linear-last", -0.03),
                ("linear-mean", 0.0),
                ("mlp-mean", 0.01),
                ("attention", 0.045),
            ];
            let mut architectures: Vec<SweepArchitecture> = kinds
                .iter()
                .map(|(name, more)| architecture(name, &folder, ceiling + more, &mut dice))
                .collect();
            let mut diverged = Vec::new();
            if layer == 1 && data == "next-the" {
                diverged.push(architectures.remove(2).config_name);
            }
            experiments.push(SweepExperiment {
                experiment: folder,
                data: data.to_owned(),
                layer: Some(layer),
                component: "resid_post".to_owned(),
                classes: classes.map(str::to_owned).to_vec(),
                n_train: 2100,
                n_validation: 300,
                n_calibration: 0,
                n_test: 600,
                n_skipped: 0,
                baselines: SweepBaselines {
                    majority: 0.5,
                    bag_of_words: Some(interval(base + 0.05, 0.038)),
                    bag_of_words_pairs: None,
                    shuffled_labels: Some(interval(
                        0.5 + 0.02 * dice.normal().clamp(-1.0, 1.0),
                        0.04,
                    )),
                },
                architectures,
                diverged,
            });
        }
    }
    SweepPage {
        run: "sentiment-and-next-the".to_owned(),
        model: "demo-gpt2".to_owned(),
        library_version: "0.1.0".to_owned(),
        config: "run = \"sentiment-and-next-the\"\nseed = 42\noutput = \"results\"\n\n[model]\nname = \"demo-gpt2\"\n".to_owned(),
        warnings: vec![
            SweepWarning {
                data: "sentiment".to_owned(),
                message: "layer 1: `attention`: the best learning rate, 5e-3, is the highest of \
                          its list; add higher ones to `learning_rates`"
                    .to_owned(),
            },
            SweepWarning {
                data: "next-the".to_owned(),
                message: "12 texts are on both sides; <script>document.title='injected'</script>"
                    .to_owned(),
            },
        ],
        experiments,
        targets: Vec::new(),
        transfers: vec![SweepTransfer {
            trained_on: "sentiment".to_owned(),
            judged_on: "reviews".to_owned(),
            layer: Some(0),
            component: "resid_post".to_owned(),
            config_name: "attention".to_owned(),
            balanced_accuracy: interval(0.58, 0.04),
            n_test: 400,
        }],
    }
}

/// A run of two data sets whose labels are no classes, one of them without layers.
pub(crate) fn target_page() -> SweepPage {
    let row = |name: &str, layer: Option<usize>, value: f64| TargetRow {
        place: layer.map_or_else(String::new, |layer| layer.to_string()),
        layer,
        name: name.to_owned(),
        penalty: "1e2".to_owned(),
        file: layer.map_or_else(String::new, |l| {
            format!("seed_42/years-L0{l}-resid_post/trained/{name}_probe_state.npz")
        }),
        validation: if layer.is_some() { value } else { f64::NAN },
        test: interval(value, 0.05),
        details: vec![value, 123_000.0, f64::NAN],
    };
    let of = |data: &str, rows: Vec<TargetRow>| TargetTable {
        data: data.to_owned(),
        facts: "700 training, 100 validation, 200 test examples \u{b7} number: year".to_owned(),
        metric: "R\u{b2}".to_owned(),
        details: ["MSE", "MAE", "Pearson"].map(str::to_owned).to_vec(),
        rows,
    };
    let years = (0..4).flat_map(|l| {
        [row("mean", Some(l), 0.2 + 0.1 * l as f64), row("last", Some(l), 0.3 + 0.1 * l as f64)]
    });
    let years = years.chain([row("bag of words", None, 0.1)]).collect();
    let hostile = "</td><script>document.title='injected'</script>";
    SweepPage {
        run: "years".to_owned(),
        targets: vec![of("years", years), of(hostile, vec![row("mean", None, 0.5)])],
        ..SweepPage::default()
    }
}
