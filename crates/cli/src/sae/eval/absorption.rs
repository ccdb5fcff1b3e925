//! Absorption: the first letters of the words of a model's vocabulary.

use anyhow::Result;
use attention_probes_activations::{
    SplitConfig, TOKENS_PER_FORWARD, length_buckets, stratified_split,
};
use attention_probes_sae::eval::{
    AbsorptionConfig, AbsorptionProbes, ClassifiedWords, EvalOutput, LetterPrompt, SelectionConfig,
    absorption, letter_prompts, letter_words, train_selection, train_truth,
};
use serde_json::json;
use tracing::warn;

use super::labelled::activations;
use super::{EvalArgs, Findings, report};
use crate::exit::InputError;
use crate::progress::Progress;
use crate::sae::subject::SaeInModel;

/// Letters from `a` to `z`.
const N_LETTERS: usize = 26;

/// Fewest words that are split.
const MIN_WORDS: usize = 100;

/// Activations at the ends of words, `[n_words, d_in]`, and their letters.
struct Words {
    activations: Vec<f32>,
    letters: Vec<usize>,
}

/// Runs the evaluation, once for each seed.
pub(super) fn run(args: &EvalArgs) -> Result<Findings> {
    let subject = args.open_model()?;
    let SaeInModel { sae, model, hook, .. } = &subject;
    let known = letter_words(&model.tokenizer);
    let prompts = letter_prompts(&known, args.max_texts(), args.first_seed());
    if prompts.len() < MIN_WORDS {
        let (name, n) = (&model.name, prompts.len());
        let reason = format!(
            "absorption reads words that are one token of letters, `{name}` gives {n}, at least \
             {MIN_WORDS} are needed; raise `--max-texts`, or take another model"
        );
        return Err(InputError(reason).into());
    }
    let words = read(&subject, &prompts)?;
    let d_in = sae.config.d_in;
    let mut config = AbsorptionConfig::default();
    if let Some(min_letters) = args.min_letters {
        config.min_classes = min_letters.get();
    }
    let (mut outputs, mut notes, mut on) = (Vec::new(), Vec::new(), String::new());
    let mut most_good = 0;
    for seed in args.seeds() {
        let split = SplitConfig { validation: 0.0, test: args.test(), seed };
        let split = stratified_split(&words.letters, None, &split)?;
        let [train, test] = [&split.train, &split.test].map(|side| words.select(side, d_in));
        let batch_size = batch_size(train.letters.len());
        let selection = SelectionConfig { seed, batch_size, ..SelectionConfig::default() };
        let truth = SelectionConfig { seed, batch_size, ..SelectionConfig::truth() };
        let truth = train_truth(train.classified(), (d_in, N_LETTERS), &truth)?;
        let weights = train_selection(sae, train.classified(), N_LETTERS, &selection)?;
        let probes = AbsorptionProbes { truth: &truth, selection: &weights };
        let found = absorption(sae, train.classified(), test.classified(), probes, &config)?;
        let (n_train, n_test) = (train.letters.len(), test.letters.len());
        on = format!("{n_train} training and {n_test} test words");
        let n_good = found.classes.len();
        most_good = most_good.max(n_good);
        let of_letter = format!("{n_good} of {N_LETTERS} letters have a probe with F1 above 0.6");
        notes.push(format!("seed {seed}: {of_letter}"));
        let settings = report::settings([
            ("model_name", json!(model.name)),
            ("random_seed", json!(seed)),
            ("f1_jump_threshold", json!(config.f1_jump_threshold)),
            ("max_k_value", json!(config.max_k_value)),
            ("prompt_template", json!("{word} has the first letter:")),
            ("k_sparse_probe_l1_decay", json!(selection.l1)),
            ("k_sparse_probe_batch_size", json!(selection.batch_size)),
            ("k_sparse_probe_num_epochs", json!(selection.epochs)),
            ("min_GT_probe_f1", json!(config.min_probe_f1)),
            ("min_feats_for_eval", json!(config.min_classes)),
        ]);
        outputs.extend(EvalOutput::absorption(report::eval_run(args, settings), sae, &found));
    }
    if outputs.is_empty() {
        let (name, needed) = (&model.name, config.min_classes);
        let reason = format!(
            "there is no result: at `{hook}` of `{name}` at most {most_good} of {N_LETTERS} letters \
             have a probe with F1 above {}, and {needed} are needed; lower `--min-letters`, or take another \
             layer or model",
            config.min_probe_f1
        );
        return Err(InputError(reason).into());
    }
    Ok(Findings { outputs, on, notes })
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
fn read(subject: &SaeInModel, prompts: &[LetterPrompt]) -> Result<Words> {
    let SaeInModel { sae, model, hook, .. } = subject;
    let n_ctx = model.model.shape().n_ctx;
    let bos =
        model.tokenizer.beginning().filter(|_| sae.config.metadata.prepend_bos().unwrap_or(true));
    let (mut tokens, mut places) = (Vec::new(), Vec::new());
    for prompt in prompts {
        let encoding = model.tokenizer.encode_without_special(&prompt.text)?;
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
    let (mut progress, mut n_done) = (Progress::default(), 0);
    for bucket in length_buckets(&lengths, TOKENS_PER_FORWARD) {
        let ids: Vec<&[u32]> = bucket.iter().map(|prompt| &tokens[*prompt][..]).collect();
        let (values, width) = activations(subject, &ids)?;
        let pos = ids.iter().map(|ids| ids.len()).max().unwrap_or(0);
        for (row, &prompt) in bucket.iter().enumerate() {
            let x = &values[(row * pos + places[prompt]) * width..][..width];
            if x.iter().all(|x| x.is_finite()) {
                words.activations.extend_from_slice(x);
                words.letters.push(prompts[prompt].letter);
            }
        }
        n_done += bucket.len();
        progress.advance("reading words".to_owned(), n_done, prompts.len());
    }
    progress.clear();
    if words.letters.len() < prompts.len() {
        let n = prompts.len() - words.letters.len();
        warn!("{n} words left out: NaN or infinity at `{hook}`");
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
