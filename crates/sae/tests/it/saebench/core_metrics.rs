//! Core metrics: two batches of eight texts, in which the token 0 does not count.

use attention_probes_sae::eval::{
    CoreBatch, CoreEvaluator, RecoveredSums, cross_entropies, feature_weights, kl_divergences,
};

use crate::saebench::golden::{D_IN, Golden, assert_close};

const N_TEXTS: usize = 8;
const POS: usize = 12;
const D_VOCAB: usize = 61;

#[test]
fn core_metrics_are_those_of_sae_bench() {
    let golden = Golden::read();
    let sae = golden.sae();
    let mut evaluator = CoreEvaluator::new(&sae);
    for batch in 0..2 {
        let activations = golden.array(&format!("core.acts.{batch}"));
        let tokens = golden.ints(&format!("core.tokens.{batch}"));
        let counted: Vec<bool> = tokens.iter().map(|token| *token != 0).collect();
        assert_eq!(activations.len(), N_TEXTS * POS * D_IN);
        let lengths = [POS; N_TEXTS];
        let batch =
            CoreBatch { activations: &activations, lengths: &lengths, counted: Some(&counted) };
        evaluator.add(batch).unwrap();
    }
    let (metrics, activity) = evaluator.finish().unwrap();
    assert_eq!(metrics.n_tokens, 191);
    for (found, name) in [
        (metrics.l0, "l0"),
        (metrics.l1, "l1"),
        (metrics.l2_norm_in, "l2_norm_in"),
        (metrics.l2_norm_out, "l2_norm_out"),
        (metrics.l2_ratio, "l2_ratio"),
        (metrics.relative_reconstruction_bias, "relative_reconstruction_bias"),
        (metrics.mse, "mse"),
        (metrics.cossim, "cossim"),
        (metrics.explained_variance, "explained_variance"),
        (metrics.explained_variance_legacy, "explained_variance_legacy"),
        (metrics.explained_variance_r2, "explained_variance_textbook"),
    ] {
        assert_close(&[found], &[golden.number(&format!("/core/{name}"))], 1e-4, name);
    }
    let density = golden.array("core.feature_density");
    assert_close(&activity.feature_density, &density, 1e-4, "feature_density");
    let alive = density.iter().filter(|density| **density > 0.0).count();
    assert_eq!(activity.dead().count(), density.len() - alive);
}

#[test]
fn figures_of_weights_are_those_of_sae_bench() {
    let golden = Golden::read();
    let found = feature_weights(&golden.sae());
    for (found, name) in [
        (&found.encoder_bias, "encoder_bias"),
        (&found.encoder_norm, "encoder_norm"),
        (&found.encoder_decoder_cosine_sim, "encoder_decoder_cosine_sim"),
        (&found.max_encoder_cosine_sim, "max_encoder_cosine_sim"),
        (&found.max_decoder_cosine_sim, "max_decoder_cosine_sim"),
    ] {
        assert_close(found, &golden.array(&format!("core.{name}")), 1e-4, name);
    }
}

#[test]
fn losses_and_divergences_are_those_of_sae_bench() {
    let golden = Golden::read();
    let tokens = golden.ints("core.tokens.0");
    let logits =
        ["original", "sae", "ablation"].map(|run| golden.array(&format!("core.logits.{run}")));
    let n = N_TEXTS * POS;
    assert_eq!(logits[0].len(), n * D_VOCAB);
    let next: Vec<u32> = (0..n).map(|i| tokens.get(i + 1).copied().unwrap_or(0)).collect();
    let losses = logits.each_ref().map(|logits| -> Vec<f64> {
        let all = cross_entropies(logits, &next).into_iter().enumerate();
        all.filter(|(i, _)| (i + 1) % POS != 0).map(|(_, loss)| loss).collect()
    });
    let names = ["ce_loss_without_sae", "ce_loss_with_sae", "ce_loss_with_ablation"];
    for (losses, name) in losses.iter().zip(names) {
        assert_close(losses, &golden.array(&format!("core.per_token.{name}")), 1e-4, name);
    }
    let divergences = [1, 2].map(|run| kl_divergences(&logits[0], &logits[run], n));
    for (found, name) in divergences.iter().zip(["kl_div_with_sae", "kl_div_with_ablation"]) {
        assert_close(found, &golden.array(&format!("core.per_token.{name}")), 1e-3, name);
    }
    // The scores of the package's own means.
    let number = |name: &str| golden.number(&format!("/core/{name}"));
    let mut sums = RecoveredSums::default();
    let means = names.map(|name| [number(name)]);
    sums.add_losses(means.each_ref().map(|mean| &mean[..]));
    sums.add_divergences([&[number("kl_div_with_sae")], &[number("kl_div_with_ablation")]]);
    let found = sums.finish().unwrap();
    assert_close(&[found.ce_loss_score], &[number("ce_loss_score")], 1e-4, "ce_loss_score");
    assert_close(&[found.kl_div_score], &[number("kl_div_score")], 1e-4, "kl_div_score");
}
