//! A sweep with everything that a page can show.

use attention_probes_metrics::{
    Agreement, AxisSpread, BagOfWordsBaseline, Baselines, Bucket, CalibrationScores,
    ClassificationReport, ComparedLayers, Comparison, ConfusionMatrix, ControlReport,
    ExampleCounts, FprThreshold, Guarantee, Interval, OperatingPoint, SeedReport, SeedSummary,
    ThresholdReport,
};
use attention_probes_report::{
    CalibrationRow, ComparisonRow, LengthRow, PenaltyPoint, ReliabilityBar, SweepArchitecture,
    SweepExperiment, SweepPage, SweepTransfer, SweepTrial, SweepWarning, TargetRow, TargetSearch,
    TargetTable, TargetTrials, ThresholdRow, TrialHistory,
};

use super::compare::paired;
use super::dice::{Dice, interval};

/// An interval of a share, as wide to both sides.
fn around(value: f64, half: f64) -> Interval {
    interval(value, half).interval.expect("a sample has one")
}

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

fn spread(axis: &str, loss: f64, balanced_accuracy: f64) -> AxisSpread {
    AxisSpread { axis: axis.to_owned(), n_values: 9, loss, balanced_accuracy }
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
    let reliability = (5..10)
        .map(|bin| {
            let lower = f64::from(bin) / 10.0;
            let confidence = lower + 0.05;
            let n = (40.0 + 60.0 * dice.roll()) as usize;
            let accuracy = (confidence - 0.06 + 0.04 * dice.normal()).clamp(0.0, 1.0);
            ReliabilityBar { lower, upper: lower + 0.1, n, confidence, accuracy }
        })
        .collect();
    let threshold = |threshold: f64, target_fpr: f64, fpr: f64| {
        let tpr = 1.0 - (1.0 - fpr).powf(1.0 + steepness);
        ThresholdRow::from(ThresholdReport {
            fitted: FprThreshold {
                threshold,
                target_fpr,
                guarantee: Guarantee::Marginal,
                n_negatives: 150,
                calibration_fpr: target_fpr,
                calibration_fpr_interval: around(target_fpr, 0.02),
            },
            false_positive_rate: fpr,
            false_positive_interval: around(fpr, 0.02),
            true_positive_rate: tpr,
            true_positive_interval: around(tpr, 0.03),
            precision: (fpr > 0.0).then_some(test),
            balanced_accuracy: test,
        })
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
        is_best_layer: false,
        is_best: false,
        validation: report(accuracy, 0.05),
        test: ClassificationReport { tpr_at_1_percent_fpr: None, ..report(test, 0.037) },
        pair_accuracy: None,
        shuffled_labels: None,
        trials,
        axes: vec![spread("learning_rate", 0.213, 0.184), spread("weight_decay", 0.012, 0.021)],
        roc,
        precision_recall,
        reliability,
        thresholds: vec![threshold(0.5, 0.05, 0.2), threshold(0.998, 0.01, 0.0)],
        unfitted_thresholds: vec![],
        calibrations: calibrations(),
        thresholds_note: "Fitted on the validation examples.".to_owned(),
        lengths: lengths(test),
        comparisons: comparisons(),
        seeds: Some(SeedReport {
            agreement: Agreement {
                n_seeds: 3,
                n_examples: 600,
                pairwise: vec![vec![1.0, 0.94, 0.94], vec![0.94, 1.0, 0.94], vec![0.94, 0.94, 1.0]],
                mean: 0.94,
                min: 0.94,
                fleiss_kappa: Some(0.88),
            },
            balanced_accuracy: SeedSummary {
                n_seeds: 3,
                mean: test,
                std: 0.008,
                interval: around(test, 0.02),
            },
        }),
    }
}

/// What two classes of 300 examples each are told apart by, made up but for the counts.
fn report(balanced_accuracy: f64, half: f64) -> ClassificationReport {
    let right = (300.0 * balanced_accuracy) as usize;
    let counts = vec![vec![right, 300 - right], vec![304 - right, right - 4]];
    let rate = |tpr: f64, fpr: f64| Some(OperatingPoint { tpr, fpr, threshold: 1.0 });
    ClassificationReport {
        n_examples: 600,
        n_classes: 2,
        accuracy: balanced_accuracy + 0.002,
        accuracy_interval: around(balanced_accuracy + 0.002, half),
        balanced_accuracy,
        balanced_accuracy_interval: around(balanced_accuracy, half),
        n_redrawn: 0,
        f1: balanced_accuracy - 0.01,
        precision: Some(balanced_accuracy),
        recall: Some(balanced_accuracy - 0.02),
        mcc: 2.0 * balanced_accuracy - 1.0,
        auroc: Some(balanced_accuracy + 0.06),
        average_precision: Some(balanced_accuracy + 0.05),
        tpr_at_1_percent_fpr: rate(0.21, 0.01),
        tpr_at_5_percent_fpr: rate(0.42, 0.05),
        brier: 0.182,
        ece: 0.061,
        log_loss: 0.48,
        confusion: ConfusionMatrix::try_from(counts).expect("a square"),
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
    let row = |(shortest, longest): (usize, usize)| LengthRow {
        shortest,
        longest,
        bucket: Bucket {
            from: shortest,
            to: (longest < 256).then_some(longest + 1),
            n_examples: 150,
            class_counts: vec![75, 75],
            accuracy: Some(test - 0.0004 * longest as f64),
            accuracy_interval: Some(around(test - 0.0004 * longest as f64, 0.06)),
            balanced_accuracy: Some(test),
            auroc: (longest < 256).then_some(test + 0.05),
        },
    };
    [(1, 12), (13, 25), (26, 40), (41, 256)].map(row).to_vec()
}

fn comparisons() -> Vec<ComparisonRow> {
    let row = |(with, difference, half_width, p_value): (&str, f64, f64, f64)| ComparisonRow {
        with: with.to_owned(),
        comparison: Comparison {
            first: 0.8,
            second: 0.8 - difference,
            difference,
            interval: Interval {
                lower: difference - half_width,
                upper: difference + half_width,
                level: 0.95,
            },
            p_value,
            share_first_wins: if difference > 0.0 { 0.99 } else { 0.2 },
            share_equal: 0.0,
            n_resamples: 2000,
            n_redrawn: 0,
        },
    };
    [("bag of words", 0.04, 0.03, 0.0005), ("attention", -0.012, 0.025, 0.31)].map(row).to_vec()
}

/// One probe that learned shuffled labels.
fn shuffled(balanced_accuracy: f64) -> ControlReport {
    ControlReport {
        n_shuffles: 1,
        balanced_accuracy: Some(balanced_accuracy),
        interval: Some(around(balanced_accuracy, 0.04)),
        range: None,
    }
}

/// Marks the best probe of each kind, and the best of all, of a data set.
fn mark_best(experiments: &mut [SweepExperiment], data: &str) {
    let of_data = experiments.iter_mut().filter(|experiment| experiment.data == data);
    let mut found: Vec<_> = of_data.flat_map(|experiment| &mut experiment.architectures).collect();
    found.sort_by(|a, b| b.validation.balanced_accuracy.total_cmp(&a.validation.balanced_accuracy));
    let mut told: Vec<String> = Vec::new();
    for (index, architecture) in found.into_iter().enumerate() {
        architecture.is_best = index == 0;
        architecture.is_best_layer = !told.contains(&architecture.config_name);
        told.push(architecture.config_name.clone());
    }
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
                counts: ExampleCounts {
                    n_train: 2100,
                    n_validation: 300,
                    n_calibration: Some(0),
                    n_test: 600,
                    n_skipped: 0,
                },
                baselines: Baselines {
                    majority_accuracy: 0.5,
                    majority_balanced_accuracy: 0.5,
                    bag_of_words: Some(BagOfWordsBaseline {
                        balanced_accuracy: base + 0.05,
                        interval: around(base + 0.05, 0.038),
                        penalty: 1.0,
                        pair_accuracy: None,
                    }),
                },
                shuffled_labels: Some(shuffled(0.5 + 0.02 * dice.normal().clamp(-1.0, 1.0))),
                architectures,
                diverged,
            });
        }
        mark_best(&mut experiments, data);
    }
    let layers = |other, second| ComparedLayers {
        data: "sentiment".to_owned(),
        component: "resid_post".to_owned(),
        config_name: "attention".to_owned(),
        layer: 2,
        other,
        is_chosen: true,
        comparison: paired(0.83, second),
    };
    SweepPage {
        layers: vec![layers(0, 0.75), layers(1, 0.82)],
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

/// Nine penalties of one number, the smallest of which did not come to the minimum.
fn target_penalties(best: f64) -> Vec<PenaltyPoint> {
    let of = |i: i32| PenaltyPoint {
        output: None,
        penalty: 10_f64.powi(i),
        validation: (i > -4).then(|| best - 0.01 * f64::from((i - 2).pow(2))),
    };
    (-4..5).map(of).collect()
}

/// A grid of six trials with curves, one of which diverged.
fn target_trials(best: f64) -> TargetTrials {
    let trial = |i: usize| {
        let (learning_rate, weight_decay) = ([1e-3, 1e-2, 1e-1][i % 3], [0.0, 1e-2][i / 3]);
        let last = 1.0 - best + 0.05 * i as f64;
        let curve = |start: f64| (1..=12).map(|epoch| last + start / f64::from(epoch)).collect();
        SweepTrial {
            learning_rate,
            weight_decay,
            seed: 42,
            balanced_accuracy: None,
            loss: (i != 5).then_some(last),
            history: TrialHistory {
                train_loss: curve(0.4),
                validation_loss: curve(0.5),
                balanced_accuracy: Vec::new(),
            },
        }
    };
    let trials: Vec<SweepTrial> = (0..6).map(trial).collect();
    TargetTrials {
        has_own_steps: false,
        learning_rate: trials[0].learning_rate,
        weight_decay: trials[0].weight_decay,
        seed: trials[0].seed,
        trials,
    }
}

/// A run of two data sets whose labels are no classes, one of them without layers.
pub(crate) fn target_page() -> SweepPage {
    let row = |name: &str, layer: Option<usize>, value: f64| TargetRow {
        place: layer.map_or_else(String::new, |layer| layer.to_string()),
        layer,
        name: name.to_owned(),
        setting: if name == "attention" { "rate 1e-3, decay 0" } else { "penalty 1e2" }.to_owned(),
        file: layer.map_or_else(String::new, |l| {
            format!("seed_42/years-L0{l}-resid_post/trained/{name}_probe_state.npz")
        }),
        validation: if layer.is_some() { value } else { f64::NAN },
        test: interval(value, 0.05),
        details: vec![value, 123_000.0, f64::NAN],
        is_best: (name, layer) == ("attention", Some(3)),
        search: match (name, layer) {
            ("bag of words", _) => None,
            ("attention", _) => Some(TargetSearch::Trials(target_trials(value))),
            _ => Some(TargetSearch::Penalties(target_penalties(value))),
        },
    };
    let of = |data: &str, rows: Vec<TargetRow>| TargetTable {
        data: data.to_owned(),
        loss: "loss, half the squared error in units of the training variance".to_owned(),
        facts: "700 training, 100 validation, 200 test examples \u{b7} number: year".to_owned(),
        metric: "R\u{b2}".to_owned(),
        details: ["MSE", "MAE", "Pearson"].map(str::to_owned).to_vec(),
        rows,
    };
    let years = (0..4).flat_map(|l| {
        [
            row("mean", Some(l), 0.2 + 0.1 * l as f64),
            row("attention", Some(l), 0.3 + 0.1 * l as f64),
        ]
    });
    let years = years.chain([row("bag of words", None, 0.1)]).collect();
    let hostile = "</td><script>document.title='injected'</script>";
    SweepPage {
        run: "years".to_owned(),
        targets: vec![of("years", years), of(hostile, vec![row("mean", None, 0.5)])],
        ..SweepPage::default()
    }
}
