//! Evaluations of activations end when they are told to.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use attention_probes_errors::Stop;
use attention_probes_sae::SaeError;
use attention_probes_sae::eval::{
    AbsorptionConfig, AbsorptionProbes, ClassifiedWords, PerturbationConfig, ScrPair, ScrTexts,
    SelectionConfig, SparseProbingConfig, TrainTest, absorption, scr, sparse_probing, tpp,
    train_scr_probes, train_selection, train_tpp_probes, train_truth,
};

use crate::saebench::golden::Golden;

/// A signal that is given when it is asked for the `n`-th time.
fn at(n: usize) -> Stop {
    let asked = Arc::new(AtomicUsize::new(0));
    Stop::when(move || asked.fetch_add(1, Ordering::Relaxed) + 1 >= n)
}

/// Asserts that work ends at the first, second, and third question, and goes through without one.
fn assert_stops<T>(work: impl Fn(Stop) -> Result<T, SaeError>) {
    for n in 1..=3 {
        assert!(matches!(work(at(n)), Err(SaeError::Stopped)), "at question {n}");
    }
    assert!(work(Stop::never()).is_ok());
}

/// The pairs of texts of SCR.
fn scr_texts(golden: &Golden) -> ScrTexts {
    let pair = |i: usize| ScrPair {
        positive: golden.texts(&format!("scr.train.{}", 2 * i)),
        negative: golden.texts(&format!("scr.train.{}", 2 * i + 1)),
    };
    ScrTexts { first: pair(0), second: pair(1), biased: pair(2) }
}

#[test]
fn training_of_probes_stops_between_passes() {
    let golden = Golden::read();
    let (train, test) = (golden.classes("train"), golden.classes("test"));
    let perturbation = |stop| PerturbationConfig { stop, ..PerturbationConfig::default() };
    assert_stops(|stop| train_tpp_probes(&train, &test, &perturbation(stop)));
    let pairs = scr_texts(&golden);
    assert_stops(|stop| train_scr_probes(&pairs, &pairs, &perturbation(stop)));
    let sparse = |stop| SparseProbingConfig { stop, ..SparseProbingConfig::default() };
    assert_stops(|stop| sparse_probing(&golden.sae(), &train, &test, &sparse(stop)));

    let x = golden.array("absorption.acts");
    let d_in = golden.sae().config.d_in;
    let labels: Vec<usize> = (0..x.len() / d_in).map(|word| word % 2).collect();
    let words = ClassifiedWords { activations: &x, labels: &labels };
    let selection = |stop| SelectionConfig { stop, ..SelectionConfig::default() };
    assert_stops(|stop| train_selection(&golden.sae(), words, 2, &selection(stop)));
    assert_stops(|stop| train_truth(words, (d_in, 2), &selection(stop)));
}

#[test]
fn ablations_and_absorption_stop_between_their_parts() {
    let golden = Golden::read();
    let sae = golden.sae();
    let (train, test) = (golden.classes("train"), golden.classes("test"));
    let names = golden.names("tpp.train.names");
    let probes: Vec<_> =
        names.iter().map(|name| golden.probe(&format!("tpp.probe.{name}"))).collect();
    let perturbation = |stop| PerturbationConfig { stop, ..PerturbationConfig::default() };
    let sides = TrainTest { train: &train, test: &test };
    assert_stops(|stop| tpp(&sae, sides, &probes, &perturbation(stop)));
    let pairs = scr_texts(&golden);
    let probes: Vec<_> = (0..3).map(|i| golden.probe(&format!("scr.probe.{i}"))).collect();
    let sides = TrainTest { train: &pairs, test: &pairs };
    assert_stops(|stop| scr(&sae, sides, &probes, &perturbation(stop)));

    let x = golden.array("absorption.acts");
    let d_in = sae.config.d_in;
    let labels: Vec<usize> = x.chunks_exact(d_in).map(|x| usize::from(x[0] > 0.0)).collect();
    let words = ClassifiedWords { activations: &x, labels: &labels };
    let truth = train_truth(words, (d_in, 2), &SelectionConfig::truth()).unwrap();
    let selection = train_selection(&sae, words, 2, &SelectionConfig::default()).unwrap();
    let probes = AbsorptionProbes { truth: &truth, selection: &selection };
    let config = |stop| AbsorptionConfig { stop, ..AbsorptionConfig::default() };
    let sides = TrainTest { train: words, test: words };
    assert_stops(|stop| absorption(&sae, sides, probes, &config(stop)));
}
