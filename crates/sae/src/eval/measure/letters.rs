//! Absorption: the first letters of the words of a model's vocabulary.

use attention_probes_activations::{
    SplitConfig, TOKENS_PER_FORWARD, length_buckets, stratified_split,
};
use rayon::prelude::*;
use serde_json::json;

use super::findings::{EvalFindings, EvalSae, settings};
use super::site::SaeSite;
use super::texts::read_together;
use crate::eval::absorption::{
    AbsorptionConfig, AbsorptionProbes, ClassifiedWords, TrainTest, absorption,
};
use crate::eval::error::EvalError;
use crate::eval::first_letter::{LetterPrompt, letter_prompts, letter_words};
use crate::eval::output::EvalOutput;
use crate::eval::selection::{SelectionConfig, train_selection, train_truth};
use crate::follow::{Follow, SaeEvent};
use crate::{Sae, SaeError};

/// How absorption of first letters is measured.
#[derive(Clone, Debug, PartialEq)]
pub struct LettersConfig {
    /// Most words, drawn by the first seed. Default 5000.
    pub max_words: usize,
    /// Share of the words that is held out. Default 0.2.
    pub test: f64,
    /// Seeds of what is split and trained, one result each. Default 42, 43, 44.
    pub seeds: Vec<u64>,
    /// Everything else, as in `SAEBench`; its signal to stop is not asked, but that of the work.
    pub absorption: AbsorptionConfig,
}

impl Default for LettersConfig {
    fn default() -> Self {
        let absorption = AbsorptionConfig::default();
        Self { max_words: 5000, test: 0.2, seeds: vec![42, 43, 44], absorption }
    }
}

/// Letters from `a` to `z`.
const N_LETTERS: usize = 26;

/// Fewest words that are split.
const MIN_WORDS: usize = 100;

/// Activations at the ends of words, `[n_words, d_in]`, and their letters.
struct Words {
    activations: Vec<f32>,
    letters: Vec<usize>,
}

/// Absorption of the first letters of a model's words, once for each seed: whether features of a
/// letter are silent where others took the letter over.
///
/// Each word runs through the model once, in a prompt of ten examples.
///
/// # Errors
///
/// - [`EvalError::FewWords`] if the model has too few words of one token.
/// - [`EvalError::FewLetters`] if too few letters can be told from its activations.
/// - [`SaeError::Site`] if the autoencoder reads another width.
/// - [`SaeError::Model`] if the model fails.
/// - [`SaeError::Stopped`] if the work was stopped.
///
/// # Memory
///
/// The tokens of the prompts, the activations of one batch of 4096 tokens, one row for each word,
/// and its features.
pub fn absorption_of_letters(
    site: &SaeSite<'_>,
    subject: &EvalSae<'_>,
    config: &LettersConfig,
    follow: &Follow<'_>,
) -> Result<EvalFindings, SaeError> {
    let (sae, model) = (subject.sae, site.model);
    let known = letter_words(&model.tokenizer);
    let first_seed = config.seeds.first().copied().unwrap_or_default();
    let prompts = letter_prompts(&known, config.max_words, first_seed);
    if prompts.len() < MIN_WORDS {
        let (model, n) = (model.name.clone(), prompts.len());
        let setting = "max_words";
        return Err(EvalError::FewWords { model, n, needed: MIN_WORDS, setting }.into());
    }
    let words = read(site, sae, &prompts, follow)?;
    let d_in = sae.config.d_in;
    let (mut outputs, mut notes, mut on) = (Vec::new(), Vec::new(), String::new());
    let mut most = 0;
    let measured = &AbsorptionConfig { stop: follow.stop.clone(), ..config.absorption.clone() };
    for &seed in &config.seeds {
        follow.check()?;
        let split = SplitConfig { validation: 0.0, test: config.test, seed };
        let split = stratified_split(&words.letters, None, &split)?;
        let [train, test] = [&split.train, &split.test].map(|side| words.select(side, d_in));
        let batch_size = batch_size(train.letters.len());
        let trained = |of| SelectionConfig { batch_size, seed, stop: follow.stop.clone(), ..of };
        let selection = trained(SelectionConfig::default());
        let truth = trained(SelectionConfig::truth());
        let truth = train_truth(train.classified(), (d_in, N_LETTERS), &truth)?;
        let weights = train_selection(sae, train.classified(), N_LETTERS, &selection)?;
        let probes = AbsorptionProbes { truth: &truth, selection: &weights };
        let sides = TrainTest { train: train.classified(), test: test.classified() };
        let found = absorption(sae, sides, probes, measured)?;
        let (n_train, n_test) = (train.letters.len(), test.letters.len());
        on = format!("{n_train} training and {n_test} test words");
        let n_good = found.classes.len();
        most = most.max(n_good);
        let of_letter = format!("{n_good} of {N_LETTERS} letters have a probe with F1 above 0.6");
        notes.push(format!("seed {seed}: {of_letter}"));
        let settings = settings([
            ("model_name", json!(model.name)),
            ("random_seed", json!(seed)),
            ("f1_jump_threshold", json!(measured.f1_jump_threshold)),
            ("max_k_value", json!(measured.max_k_value)),
            ("prompt_template", json!("{word} has the first letter:")),
            ("k_sparse_probe_l1_decay", json!(selection.l1)),
            ("k_sparse_probe_batch_size", json!(selection.batch_size)),
            ("k_sparse_probe_num_epochs", json!(selection.epochs)),
            ("min_GT_probe_f1", json!(measured.min_probe_f1)),
            ("min_feats_for_eval", json!(measured.min_classes)),
        ]);
        outputs.extend(EvalOutput::absorption(subject.run_with(settings), sae, &found));
    }
    if outputs.is_empty() {
        return Err(EvalError::FewLetters {
            hook: site.hook,
            model: model.name.clone(),
            most,
            n_letters: N_LETTERS,
            min_f1: measured.min_probe_f1,
            needed: measured.min_classes,
            setting: "min_classes",
        }
        .into());
    }
    Ok(EvalFindings { outputs, on, notes })
}

/// Rows of a step: `SAEBench`'s, but a tenth of the words where those are few, so that a pass over
/// them has ten steps as it has over a vocabulary of its size.
fn batch_size(n_words: usize) -> usize {
    SelectionConfig::default().batch_size.min(n_words.div_ceil(10))
}

/// Runs the model over the prompts, and keeps what it computes at the end of each word.
///
/// # Memory
///
/// The tokens of the prompts, the activations of one batch, and one row for each word.
fn read(
    site: &SaeSite<'_>,
    sae: &Sae,
    prompts: &[LetterPrompt],
    follow: &Follow<'_>,
) -> Result<Words, SaeError> {
    let model = site.model;
    let n_ctx = model.model.shape().n_ctx;
    let bos = site.bos();
    let (mut tokens, mut places) = (Vec::new(), Vec::new());
    let encode = |prompt: &LetterPrompt| model.tokenizer.encode_without_special(&prompt.text);
    let encoded: Vec<_> = prompts.par_iter().map(encode).collect();
    for (prompt, encoding) in prompts.iter().zip(encoded) {
        let encoding = encoding?;
        let place = encoding.byte_offsets.iter().rposition(|(start, _)| *start < prompt.end);
        // What follows the word changes nothing at it, and what is too much is cut off before.
        let end = place.map_or(encoding.ids.len(), |place| place + 1);
        let room = n_ctx - usize::from(bos.is_some());
        let ids = &encoding.ids[end.saturating_sub(room)..end];
        tokens.push(bos.into_iter().chain(ids.iter().copied()).collect::<Vec<u32>>());
        places.push(tokens[tokens.len() - 1].len() - 1);
    }
    let lengths: Vec<usize> = tokens.iter().map(Vec::len).collect();
    let mut words = Words { activations: Vec::new(), letters: Vec::new() };
    let mut n_done = 0;
    for bucket in length_buckets(&lengths, TOKENS_PER_FORWARD) {
        follow.check()?;
        let ids: Vec<&[u32]> = bucket.iter().map(|prompt| &tokens[*prompt][..]).collect();
        read_together(site, &ids, &follow.stop, |row, values| {
            let (prompt, width) = (bucket[row], values.len() / ids[row].len());
            site.check_width(sae, width)?;
            let x = &values[places[prompt] * width..][..width];
            if x.iter().all(|x| x.is_finite()) {
                words.activations.extend_from_slice(x);
                words.letters.push(prompts[prompt].letter);
            }
            Ok(())
        })?;
        n_done += bucket.len();
        follow.tell(SaeEvent::Read { what: "words", done: n_done, total: prompts.len() });
    }
    if words.letters.len() < prompts.len() {
        let (n_words, hook) = (prompts.len() - words.letters.len(), site.hook);
        follow.tell(SaeEvent::WordsLeftOut { n_words, hook });
    }
    Ok(words)
}

impl Words {
    fn select(&self, words: &[usize], d_in: usize) -> Self {
        let rows = words.iter().flat_map(|word| &self.activations[word * d_in..][..d_in]);
        let letters = words.iter().map(|word| self.letters[*word]).collect();
        Self { activations: rows.copied().collect(), letters }
    }

    fn classified(&self) -> ClassifiedWords<'_> {
        ClassifiedWords { activations: &self.activations, labels: &self.letters }
    }
}
