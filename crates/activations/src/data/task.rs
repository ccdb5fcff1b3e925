//! What a probe is asked: which prefixes of the sequences it sees, and the label of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use attention_probes_models::Tokenizer;
use serde::{Deserialize, Serialize};

use super::copies::{joined_groups, text_key, tokens_key};
use super::draw::{Looking, Places, draw_balanced, draw_uniform};
use super::random::{EXAMPLES_STREAM, rng_of_stream};
use super::words::draw_words;
use crate::{ActivationError, Dataset, Example, Target, TokenizedDataset};

/// Largest weight of a class of a token task.
const MAX_WEIGHT: f64 = 5.0;

/// What a probe predicts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "task", rename_all = "snake_case", deny_unknown_fields)]
pub enum Task {
    /// The label of a whole text.
    #[default]
    Sequence,
    /// Whether the last token that the probe sees is the target, or the last of its tokens.
    CurrentToken {
        /// What is looked for, e.g. `" the"`.
        target: Target,
    },
    /// Whether the tokens after the last one that the probe sees are the target.
    NextToken {
        /// What is looked for, e.g. `" the"`.
        target: Target,
    },
    /// The tag of each word, asked at its last token.
    Tokens,
}

impl Task {
    /// Whether the task is about tokens, of which a text has many.
    pub fn is_about_tokens(&self) -> bool {
        *self != Self::Sequence
    }

    /// What the task looks for; `None` for a task that looks for nothing.
    pub fn target(&self) -> Option<&Target> {
        match self {
            Self::Sequence | Self::Tokens => None,
            Self::CurrentToken { target } | Self::NextToken { target } => Some(target),
        }
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sequence => "sequence",
            Self::CurrentToken { .. } => "current_token",
            Self::NextToken { .. } => "next_token",
            Self::Tokens => "tokens",
        })
    }
}

/// All examples of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleSet {
    /// The examples, by sequence and then by end.
    pub examples: Vec<Example>,
    /// Names of the classes.
    pub classes: Vec<String>,
    /// Group of each example, for [`stratified_split`](crate::stratified_split): that of its text
    /// if the data set has groups, else its sequence; groups with an equal text, or equal
    /// activations, are one. `None` if every example stands alone.
    pub groups: Option<Vec<usize>>,
    /// Pair of each example, where the texts are minimal pairs.
    pub pairs: Option<Vec<usize>>,
    /// Tagged words that are no example: they have no token, or share their last token with a word
    /// of another tag.
    pub n_skipped_words: usize,
}

/// How to draw examples.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExampleConfig {
    /// What the probe predicts. Default [`Task::Sequence`].
    pub task: Task,
    /// Whether a task about one target has as many negatives as positives. Default true.
    pub balance: bool,
    /// Most positions that a token task takes from a text; with `balance`, most positives.
    /// Default 8.
    pub examples_per_text: usize,
    /// Seed of the draw. Default 42.
    pub seed: u64,
}

impl Default for ExampleConfig {
    fn default() -> Self {
        Self { task: Task::Sequence, balance: true, examples_per_text: 8, seed: 42 }
    }
}

/// Makes the examples of a task.
///
/// - `sequence`: every text as far as it was kept, with its label.
/// - `current_token`, `next_token`: distinct positions, uniformly drawn from each text. With
///   `balance`, positives are drawn from each text first, and then as many negatives over the
///   whole set, from the texts that gave positives; if those have too few, positives are dropped.
/// - `tokens`: distinct words with a tag, uniformly drawn from each text; the prefix of a word ends
///   with its last token, and a word whose last token was cut off is no example.
///
/// # Errors
///
/// - [`ActivationError::LengthMismatch`] if a task about whole texts has no labels, or one about
///   words no words
/// - [`ActivationError::EmptyTarget`] if there is no target, or a text of it has no token
/// - [`ActivationError::TargetMissing`] if the target occurs nowhere, or at none of the places that
///   are drawn
/// - [`ActivationError::OneClass`] if all examples drawn are alike
/// - [`ActivationError::NoWords`] if no tagged word has a token of its own
/// - [`ActivationError::TokenizeTarget`] or [`ActivationError::Tokenize`] if the target or a text
///   cannot be encoded
///
/// # Panics
///
/// If `tokens` are not those of the data set.
pub fn examples(
    dataset: &Dataset,
    tokens: &TokenizedDataset,
    tokenizer: &Tokenizer,
    config: &ExampleConfig,
) -> Result<ExampleSet, ActivationError> {
    let groups = groups_of_sequences(dataset, tokens);
    let groups_of = |examples: &[Example]| -> Option<Vec<usize>> {
        let groups = groups.as_ref()?;
        Some(examples.iter().map(|example| groups[example.sequence]).collect())
    };
    let mut rng = rng_of_stream(config.seed, EXAMPLES_STREAM);
    let per_text = config.examples_per_text;
    let (mut examples, classes, n_skipped_words) = match &config.task {
        Task::Sequence => {
            let examples = whole_texts(dataset, tokens)?;
            let (groups, classes) = (groups_of(&examples), dataset.classes.clone());
            let pair = |example: &Example| dataset.pairs.get(tokens.text_rows[example.sequence]);
            let pairs = examples.iter().map(pair).map(Option::<&usize>::copied).collect();
            return Ok(ExampleSet { examples, classes, groups, pairs, n_skipped_words: 0 });
        }
        Task::Tokens => {
            check_length("words", dataset.words.len(), dataset.texts.len())?;
            let drawn = draw_words(dataset, tokens, tokenizer, per_text, &mut rng)?;
            if drawn.examples.is_empty() {
                return Err(ActivationError::NoWords { name: dataset.name.clone() });
            }
            (drawn.examples, dataset.classes.clone(), drawn.n_skipped)
        }
        Task::CurrentToken { target } | Task::NextToken { target } => {
            let is_next = matches!(config.task, Task::NextToken { .. });
            let looking = if is_next { Looking::Ahead } else { Looking::Back };
            let ids = target.ids(tokenizer)?;
            let places = Places::find(looking, tokens, &ids);
            let examples = if config.balance {
                draw_balanced(&places, per_text, &mut rng)
            } else {
                draw_uniform(&places, per_text, &mut rng)
            };
            // Nothing is drawn of a balanced task without targets.
            if examples.iter().all(|example| example.label == 0) {
                let n_places = places.iter().map(Places::n).sum();
                let n_found = places.iter().map(Places::n_targets).sum();
                if n_found == 0 || !examples.is_empty() {
                    let (target, pieces) = (target.clone(), ids.pieces(tokenizer));
                    return Err(ActivationError::TargetMissing {
                        target,
                        pieces,
                        n_found,
                        n_places,
                    });
                }
            }
            (examples, vec!["other".to_owned(), target.to_string()], 0)
        }
    };
    examples.sort_unstable();
    // Where every token is the target, a balanced draw has nothing to set against it.
    if let Some(class) = alike(&examples) {
        let class = classes[class].clone();
        return Err(ActivationError::OneClass { name: dataset.name.clone(), class });
    }
    let by_sequence = || examples.iter().map(|example| example.sequence).collect();
    let groups = Some(groups_of(&examples).unwrap_or_else(by_sequence));
    Ok(ExampleSet { examples, classes, groups, pairs: None, n_skipped_words })
}

impl ExampleSet {
    /// The sequences that examples are taken from, ascending, each once.
    pub fn sequences(&self) -> Vec<usize> {
        let mut sequences: Vec<usize> =
            self.examples.iter().map(|example| example.sequence).collect();
        sequences.sort_unstable();
        sequences.dedup();
        sequences
    }

    /// Label of each example.
    pub fn labels(&self) -> Vec<usize> {
        self.examples.iter().map(|example| example.label).collect()
    }

    /// Number of examples of each class.
    pub fn class_counts(&self) -> Vec<usize> {
        class_counts(self.examples.iter().map(|example| example.label), self.classes.len())
    }

    /// Examples of the most frequent class per example of the rarest one that occurs.
    pub fn imbalance(&self) -> f64 {
        let counts = self.class_counts();
        let occurring = counts.iter().filter(|&&count| count > 0);
        match (occurring.clone().max(), occurring.min()) {
            (Some(most), Some(least)) => *most as f64 / *least as f64,
            _ => 1.0,
        }
    }

    /// Leaves out the examples of some sequences, e.g. of those that have no finite activations.
    pub fn remove_sequences(&mut self, sequences: &[usize]) {
        let sequences: BTreeSet<usize> = sequences.iter().copied().collect();
        self.retain(|example| !sequences.contains(&example.sequence));
    }

    /// Leaves out some classes with their examples; those that stay are numbered anew, in order.
    pub fn remove_classes(&mut self, classes: &BTreeSet<usize>) {
        self.retain(|example| !classes.contains(&example.label));
        let kept = (0..self.classes.len()).filter(|class| !classes.contains(class));
        let numbers: BTreeMap<usize, usize> =
            kept.enumerate().map(|(number, class)| (class, number)).collect();
        for example in &mut self.examples {
            example.label = numbers[&example.label];
        }
        let names = std::mem::take(&mut self.classes).into_iter().enumerate();
        self.classes =
            names.filter(|(class, _)| !classes.contains(class)).map(|(_, name)| name).collect();
    }

    fn retain(&mut self, is_kept: impl Fn(&Example) -> bool) {
        for list in [&mut self.groups, &mut self.pairs].into_iter().flatten() {
            let mut examples = self.examples.iter();
            list.retain(|_| examples.next().is_some_and(&is_kept));
        }
        self.examples.retain(is_kept);
    }
}

/// Weights of the classes in the loss of a token task.
///
/// Of two classes the positive one, 1, weighs `min(√(n_negative / n_positive), 5)` and the other 1.
/// Of more, class c weighs `min(√(n_most / n_c), 5)`, where `n_most` is the number of the most
/// frequent one. A class that does not occur weighs 1.
///
/// # Panics
///
/// If a label is no class.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::class_weights;
///
/// assert_eq!(class_weights(&[0, 0, 0, 0, 1], 2), [1.0, 2.0]);
/// assert_eq!(class_weights(&[0, 0, 0, 0, 1, 2, 2, 2, 2], 3), [1.0, 2.0, 1.0]);
/// ```
pub fn class_weights(labels: &[usize], n_classes: usize) -> Vec<f32> {
    let counts = class_counts(labels.iter().copied(), n_classes);
    let weight = |n_other: usize, n: usize| {
        if n == 0 {
            return 1.0;
        }
        (n_other as f64 / n as f64).sqrt().min(MAX_WEIGHT) as f32
    };
    if let [n_negative, n_positive] = counts[..] {
        return vec![1.0, weight(n_negative, n_positive)];
    }
    let n_most = counts.iter().copied().max().unwrap_or(0);
    counts.into_iter().map(|n| weight(n_most, n)).collect()
}

fn class_counts(labels: impl Iterator<Item = usize>, n_classes: usize) -> Vec<usize> {
    let mut counts = vec![0; n_classes];
    for label in labels {
        counts[label] += 1;
    }
    counts
}

/// The class of all examples, if they have the same; 1 if there are none.
pub(super) fn alike(examples: &[Example]) -> Option<usize> {
    let first = examples.first().map_or(1, |example| example.label);
    examples.iter().all(|example| example.label == first).then_some(first)
}

/// Group of each sequence: that of its text, groups with an equal text being one; `None` if every
/// sequence stands alone.
pub(super) fn groups_of_sequences(
    dataset: &Dataset,
    tokens: &TokenizedDataset,
) -> Option<Vec<usize>> {
    let of_text = |groups: &Vec<usize>| tokens.text_rows.iter().map(|&row| groups[row]).collect();
    let texts: Vec<u64> =
        tokens.text_rows.iter().map(|&row| text_key(&dataset.texts[row])).collect();
    // Texts that differ only behind the last token that is kept are one text to a probe.
    let kept: Vec<u64> =
        (0..tokens.len()).map(|sequence| tokens_key(tokens.sequence(sequence))).collect();
    joined_groups(dataset.groups.as_ref().map(of_text), &[&texts, &kept])
}

fn whole_texts(
    dataset: &Dataset,
    tokens: &TokenizedDataset,
) -> Result<Vec<Example>, ActivationError> {
    check_length("labels", dataset.labels.len(), dataset.texts.len())?;
    let lengths = tokens.lengths();
    let rows = tokens.text_rows.iter().zip(lengths).enumerate();
    Ok(rows
        .map(|(sequence, (&row, end))| Example { sequence, end, label: dataset.labels[row] })
        .collect())
}

fn check_length(name: &'static str, length: usize, expected: usize) -> Result<(), ActivationError> {
    if length == expected {
        return Ok(());
    }
    Err(ActivationError::LengthMismatch { name, length, expected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tokenizer;
    use crate::{DatasetParts, TokenizeConfig, tokenize};

    fn dataset(texts: &[&str], labels: &[usize], groups: Option<&[usize]>) -> Dataset {
        let texts = texts.iter().map(|text| (*text).to_owned()).collect();
        let classes = vec!["no".to_owned(), "yes".to_owned()];
        Dataset::from_parts("data", DatasetParts { texts, labels, classes, groups }).unwrap()
    }

    fn draw(dataset: &Dataset, config: &ExampleConfig) -> Result<ExampleSet, ActivationError> {
        let tokenizer = tokenizer();
        let tokens = tokenize(dataset, &tokenizer, &TokenizeConfig::default())?;
        examples(dataset, &tokens, &tokenizer, config)
    }

    fn current_token() -> ExampleConfig {
        let task = Task::CurrentToken { target: " the".into() };
        ExampleConfig { task, balance: false, ..ExampleConfig::default() }
    }

    fn next_token() -> ExampleConfig {
        let task = Task::NextToken { target: " the".into() };
        ExampleConfig { task, balance: false, ..ExampleConfig::default() }
    }

    /// `(sequence, end, label)` of each example.
    fn plain(set: &ExampleSet) -> Vec<(usize, usize, usize)> {
        set.examples.iter().map(|e| (e.sequence, e.end, e.label)).collect()
    }

    #[test]
    fn a_sequence_is_its_whole_text_and_texts_without_tokens_are_left_out() {
        let texts = ["a b", "zz", "abc the"];
        let data = dataset(&texts, &[0, 1, 1], Some(&[5, 6, 7]));
        let set = draw(&data, &ExampleConfig::default()).unwrap();
        assert_eq!(plain(&set), [(0, 3, 0), (1, 4, 1)]);
        assert_eq!((set.classes, set.groups), (data.classes, Some(vec![5, 7])));
        let set = draw(&dataset(&texts, &[0, 1, 1], None), &ExampleConfig::default()).unwrap();
        assert_eq!(set.groups, None);
        let result = draw(&dataset(&texts, &[], None), &ExampleConfig::default());
        assert!(matches!(result, Err(ActivationError::LengthMismatch { name: "labels", .. })));
    }

    #[test]
    fn the_current_token_is_the_last_one_seen() {
        // a, Ġthe, Ġ, b, Ġthe
        let set = draw(&dataset(&["a the b the", "ab"], &[], None), &current_token()).unwrap();
        assert_eq!(
            plain(&set),
            [(0, 1, 0), (0, 2, 1), (0, 3, 0), (0, 4, 0), (0, 5, 1), (1, 1, 0), (1, 2, 0)]
        );
        assert_eq!(set.classes, ["other", " the"]);
        assert_eq!(set.groups, Some(vec![0, 0, 0, 0, 0, 1, 1]));
        assert_eq!((set.class_counts(), set.imbalance()), (vec![5, 2], 2.5));
    }

    #[test]
    fn the_next_token_follows_the_last_one_seen() {
        let set =
            draw(&dataset(&["a the b the", "c", " the a"], &[], Some(&[4, 4, 9])), &next_token());
        let set = set.unwrap();
        assert_eq!(plain(&set), [(0, 1, 1), (0, 2, 0), (0, 3, 0), (0, 4, 1), (2, 1, 0), (2, 2, 0)]);
        assert_eq!(set.groups, Some(vec![4, 4, 4, 4, 9, 9]));
        assert_eq!(set.sequences(), [0, 2]);
    }

    #[test]
    fn positions_are_distinct_limited_and_drawn_by_the_seed() {
        let text = "abc the ab the b the cab abc".repeat(5);
        let data = dataset(&[&text, "b the", &text], &[], None);
        let config = |seed| ExampleConfig { examples_per_text: 6, seed, ..current_token() };
        let set = draw(&data, &config(1)).unwrap();
        let of = |sequence| set.examples.iter().filter(move |e| e.sequence == sequence).count();
        assert_eq!((of(0), of(1), of(2)), (6, 2, 6));
        let ends: BTreeSet<(usize, usize)> =
            set.examples.iter().map(|e| (e.sequence, e.end)).collect();
        assert_eq!(ends.len(), 14);
        assert_eq!(draw(&data, &config(1)).unwrap(), set);
        assert_ne!(draw(&data, &config(2)).unwrap(), set);
    }

    #[test]
    fn a_balanced_set_has_as_many_negatives_from_the_same_texts() {
        let text = "abc the ab the b the cab abc";
        let data = dataset(&[text, "abcabc", " the the", text], &[], None);
        let config = ExampleConfig { balance: true, examples_per_text: 2, ..current_token() };
        let tokenizer = tokenizer();
        let tokens = tokenize(&data, &tokenizer, &TokenizeConfig::default()).unwrap();
        let set = examples(&data, &tokens, &tokenizer, &config).unwrap();
        assert_eq!(set.class_counts(), [6, 6]);
        for example in &set.examples {
            let is_target = tokens.sequence(example.sequence)[example.end - 1] == 9;
            assert_eq!(example.label, usize::from(is_target));
            assert_ne!(example.sequence, 1);
        }
        let positives = |sequence| {
            set.examples.iter().filter(|e| (e.sequence, e.label) == (sequence, 1)).count()
        };
        assert_eq!((positives(0), positives(2), positives(3)), (2, 2, 2));
        let distinct: BTreeSet<&Example> = set.examples.iter().collect();
        assert_eq!(distinct.len(), 12);
    }

    #[test]
    fn a_target_that_no_example_has_is_named_with_its_places() {
        let text = format!("the {}", "abc ".repeat(60));
        let rare = ExampleConfig {
            task: Task::CurrentToken { target: "the".into() },
            examples_per_text: 1,
            balance: false,
            ..ExampleConfig::default()
        };
        let error = draw(&dataset(&[&text], &[], None), &rare).unwrap_err().to_string();
        assert!(error.contains("is at only 1 of the "), "{error}");
        assert!(error.ends_with("a word in a text often has a space before it"), "{error}");
    }

    #[test]
    fn positives_are_dropped_where_negatives_are_too_few() {
        let config = ExampleConfig { balance: true, ..current_token() };
        let set = draw(&dataset(&["a the the the", "bbbb"], &[], None), &config).unwrap();
        assert_eq!(set.class_counts(), [1, 1]);
        let result = draw(&dataset(&[" the the the", "bbbb"], &[], None), &config);
        assert!(matches!(result, Err(ActivationError::OneClass { .. })));
    }

    #[test]
    fn any_text_of_a_set_is_the_target() {
        // a, Ġthe, Ġ, b, Ġthe
        let task = Task::CurrentToken { target: Target::any([" the", "b"]) };
        let config = ExampleConfig { task, balance: false, ..ExampleConfig::default() };
        let set = draw(&dataset(&["a the b the"], &[], None), &config).unwrap();
        assert_eq!(plain(&set), [(0, 1, 0), (0, 2, 1), (0, 3, 0), (0, 4, 1), (0, 5, 1)]);
        assert_eq!(set.classes, ["other", " the|b"]);
    }

    #[test]
    fn a_text_of_several_tokens_is_found_at_its_last_or_before_its_first() {
        let config = |task| ExampleConfig { task, balance: false, ..ExampleConfig::default() };
        let target = || Target::from("bac");
        // c, b, a, c, b; the last could begin the target again, so nothing is asked before it.
        let data = dataset(&["cbacb"], &[], None);
        let set = draw(&data, &config(Task::CurrentToken { target: target() })).unwrap();
        assert_eq!(plain(&set), [(0, 1, 0), (0, 2, 0), (0, 3, 0), (0, 4, 1), (0, 5, 0)]);
        let set = draw(&data, &config(Task::NextToken { target: target() })).unwrap();
        assert_eq!(plain(&set), [(0, 1, 1), (0, 2, 0), (0, 3, 0)]);
    }

    #[test]
    fn a_target_that_is_empty_or_nowhere_is_refused() {
        let config = |target: &str| {
            let task = Task::NextToken { target: target.into() };
            ExampleConfig { task, balance: false, ..ExampleConfig::default() }
        };
        let data = dataset(&[" the a", "b"], &[], None);
        assert!(matches!(draw(&data, &config("")), Err(ActivationError::EmptyTarget { .. })));
        assert_eq!(
            draw(&data, &config("the")).unwrap_err().to_string(),
            "`target` is `the`, in tokens `t h e`, which is at none of the 2 places that the task \
             looks at; a word in a text often has a space before it"
        );
        // The target is the first token, and no prefix comes before that.
        assert_eq!(
            draw(&data, &config(" the")).unwrap_err().to_string(),
            "`target` is ` the`, in tokens `Ġthe`, which is at none of the 2 places that the task \
             looks at; a word in a text often has a space before it"
        );
    }

    #[test]
    fn positives_weigh_the_root_of_the_imbalance_up_to_five() {
        assert_eq!(class_weights(&[0, 0, 0, 0, 1], 2), [1.0, 2.0]);
        assert_eq!(class_weights(&[[0; 100].as_slice(), &[1]].concat(), 2), [1.0, 5.0]);
        assert_eq!(class_weights(&[0, 1, 1, 1, 1], 2), [1.0, 0.5]);
        assert_eq!(class_weights(&[0, 0], 2), [1.0, 1.0]);
    }

    #[test]
    fn examples_of_removed_sequences_go_with_their_groups() {
        let data = dataset(&["a the", "b the", "c the"], &[], Some(&[7, 8, 9]));
        let mut set = draw(&data, &current_token()).unwrap();
        set.remove_sequences(&[1]);
        assert_eq!(plain(&set), [(0, 1, 0), (0, 2, 1), (2, 1, 0), (2, 2, 1)]);
        assert_eq!(set.groups, Some(vec![7, 7, 9, 9]));
    }

    #[test]
    fn tagged_words_are_examples_that_end_with_them() {
        let json = "{\"tokens\": [\"ab\", \"the\", \"c\"], \"tags\": [\"X\", \"Y\", \"X\"]}\n\
                    {\"tokens\": [\"a\"], \"tags\": [null]}\n\
                    {\"tokens\": [\"b\", \"the\"], \"tags\": [\"Z\", \"Y\"]}";
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("tags.jsonl");
        std::fs::write(&path, json).unwrap();
        let data = Dataset::read_tagged("data", &[path], &crate::TaggedConfig::default()).unwrap();
        let config = ExampleConfig { task: Task::Tokens, ..ExampleConfig::default() };
        let mut set = draw(&data, &config).unwrap();
        // a, b, Ġthe, Ġ, c; a; b, Ġthe
        assert_eq!(plain(&set), [(0, 2, 0), (0, 3, 1), (0, 5, 0), (2, 1, 2), (2, 2, 1)]);
        assert_eq!((set.classes.join(" "), set.n_skipped_words), ("X Y Z".to_owned(), 0));
        assert_eq!(set.groups, Some(vec![0, 0, 0, 2, 2]));
        set.remove_classes(&BTreeSet::from([0]));
        assert_eq!(plain(&set), [(0, 3, 0), (2, 1, 1), (2, 2, 0)]);
        assert_eq!((set.classes.join(" "), set.groups), ("Y Z".to_owned(), Some(vec![0, 2, 2])));

        let config = ExampleConfig { examples_per_text: 2, ..config };
        let set = draw(&data, &config).unwrap();
        let of = |sequence| set.examples.iter().filter(move |e| e.sequence == sequence).count();
        assert_eq!((of(0), of(1), of(2)), (2, 0, 2));
        let result = draw(&dataset(&["a"], &[], None), &config);
        assert!(matches!(result, Err(ActivationError::LengthMismatch { name: "words", .. })));
    }

    #[test]
    fn of_many_classes_each_weighs_the_root_of_what_it_lacks_up_to_five() {
        let labels = [vec![0; 90], vec![1; 10], vec![2]].concat();
        assert_eq!(class_weights(&labels, 4), [1.0, 3.0, 5.0, 1.0]);
    }

    #[test]
    fn tasks_are_told_by_name() {
        let task = Task::NextToken { target: " the".into() };
        assert_eq!(task.to_string(), "next_token");
        let json = serde_json::to_string(&task).unwrap();
        assert_eq!(json, r#"{"task":"next_token","target":" the"}"#);
        assert_eq!(serde_json::from_str::<Task>(&json).unwrap(), task);
        assert_eq!(serde_json::from_str::<Task>(r#"{"task":"sequence"}"#).unwrap(), Task::Sequence);
        assert!(serde_json::from_str::<Task>(r#"{"task":"current_token"}"#).is_err());
    }
}
