//! Tasks of yours: where in a text a probe is asked, and what is right there.

use attention_probes_models::Tokenizer;
use rand::seq::index;

use super::random::{EXAMPLES_STREAM, rng_of_stream};
use super::task::{alike, groups_of_sequences};
use crate::{ActivationError, Dataset, Example, ExampleSet, TokenizedDataset};

/// A task of yours: where in a text a probe is asked, and which class is right there.
///
/// [`Task`](crate::Task) has the tasks of configurations. What a task of yours asks becomes examples
/// by [`task_examples`], and labelled activations by `TrainingData::from_task` of
/// `attention-probes-probes`.
///
/// # Examples
///
/// Whether a bracket is open after each token:
///
/// ```
/// use attention_probes::activations::{
///     Dataset, TaskConfig, TaskPlace, TaskText, TextTask, TokenizeConfig, task_examples, tokenize,
/// };
/// use attention_probes::models::open_model;
/// use burn::tensor::Device;
///
/// struct InBrackets;
///
/// impl TextTask for InBrackets {
///     fn name(&self) -> &str {
///         "in_brackets"
///     }
///
///     fn classes(&self) -> Vec<String> {
///         vec!["outside".to_owned(), "inside".to_owned()]
///     }
///
///     fn places(&self, text: &TaskText<'_>) -> Vec<TaskPlace> {
///         let mut depth = 0_usize;
///         let place = |(index, piece): (usize, &String)| {
///             depth = (depth + piece.matches('(').count()).saturating_sub(piece.matches(')').count());
///             TaskPlace { n_tokens: index + 1, class: usize::from(depth > 0) }
///         };
///         text.pieces.iter().enumerate().map(place).collect()
///     }
/// }
///
/// let model = open_model("demo-gpt2", None, &Device::default())?;
/// let texts = vec!["a dog (a big one) ran".to_owned()];
/// let texts = Dataset::from_parts("brackets", texts)?;
/// let tokens = tokenize(&texts, &model.tokenizer, &TokenizeConfig::default())?;
/// let config = TaskConfig { examples_per_text: 100, ..TaskConfig::new(&InBrackets) };
/// let examples = task_examples(&texts, &tokens, &model.tokenizer, &config)?;
/// assert_eq!(examples.examples.len(), tokens.sequence(0).len());
/// assert!(examples.class_counts()[1] > 0);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait TextTask {
    /// The name that saved probes say, such as `in_brackets`.
    fn name(&self) -> &str;

    /// Names of the classes, at least two.
    fn classes(&self) -> Vec<String>;

    /// Where a probe can be asked in a text, and the class that is right there; of places with the
    /// same number of tokens the first counts.
    fn places(&self, text: &TaskText<'_>) -> Vec<TaskPlace>;
}

/// A text as a task sees it.
#[derive(Clone, Copy, Debug)]
pub struct TaskText<'a> {
    /// The whole text, also what is cut off.
    pub text: &'a str,
    /// Row of the text in its data set.
    pub row: usize,
    /// The tokens that are kept.
    pub tokens: &'a [u32],
    /// The text of each of them.
    pub pieces: &'a [String],
}

/// A place where a probe is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct TaskPlace {
    /// Number of tokens that the probe sees, at least 1.
    pub n_tokens: usize,
    /// The right class, an index into [`TextTask::classes`].
    pub class: usize,
}

/// How the places of a task are drawn.
#[derive(Clone, Copy)]
pub struct TaskConfig<'a> {
    /// The task.
    pub task: &'a dyn TextTask,
    /// Most places of a text, which are drawn uniformly. Default 8.
    pub examples_per_text: usize,
    /// Seed of the draw. Default 42.
    pub seed: u64,
}

impl<'a> TaskConfig<'a> {
    /// Draws as configurations do by default.
    pub fn new(task: &'a dyn TextTask) -> Self {
        Self { task, examples_per_text: 8, seed: 42 }
    }
}

impl std::fmt::Debug for TaskConfig<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TaskConfig")
            .field("task", &self.task.name())
            .field("examples_per_text", &self.examples_per_text)
            .field("seed", &self.seed)
            .finish()
    }
}

/// Makes the examples of a task of yours. Those of one text, or of equal ones, are a group.
///
/// # Errors
///
/// - [`ActivationError::TaskPlace`] if the task names a place that the text does not have
/// - [`ActivationError::LabelOutOfRange`] if it names a class that is none
/// - [`ActivationError::OneClass`] if all examples are alike, or there are none
///
/// # Panics
///
/// If `tokens` are not those of the data set.
pub fn task_examples(
    dataset: &Dataset,
    tokens: &TokenizedDataset,
    tokenizer: &Tokenizer,
    config: &TaskConfig<'_>,
) -> Result<ExampleSet, ActivationError> {
    let task = config.task;
    let classes = task.classes();
    let n_classes = classes.len();
    let mut rng = rng_of_stream(config.seed, EXAMPLES_STREAM);
    let mut examples = Vec::new();
    for sequence in 0..tokens.len() {
        let ids = tokens.sequence(sequence);
        let pieces: Vec<String> =
            ids.iter().map(|&id| tokenizer.token_text(id).unwrap_or_default()).collect();
        let row = tokens.text_rows[sequence];
        let text = TaskText { text: &dataset.texts[row], row, tokens: ids, pieces: &pieces };
        let mut places = task.places(&text);
        places.sort_by_key(|place| place.n_tokens);
        places.dedup_by_key(|place| place.n_tokens);
        for &TaskPlace { n_tokens, class } in &places {
            if n_tokens == 0 || n_tokens > ids.len() {
                let (task, n_there) = (task.name().to_owned(), ids.len());
                return Err(ActivationError::TaskPlace { task, row, n_tokens, n_there });
            }
            if class >= n_classes {
                let (index, label) = (row, class);
                return Err(ActivationError::LabelOutOfRange { index, label, n_classes });
            }
        }
        let n_drawn = config.examples_per_text.min(places.len());
        let drawn = index::sample(&mut rng, places.len(), n_drawn).into_iter();
        examples.extend(drawn.map(|place| {
            let TaskPlace { n_tokens, class } = places[place];
            Example { sequence, end: n_tokens, label: class }
        }));
    }
    examples.sort_unstable();
    if let Some(class) = alike(&examples) {
        let class = classes.get(class).cloned().unwrap_or_default();
        return Err(ActivationError::OneClass { name: dataset.name.clone(), class });
    }
    let of_text = groups_of_sequences(dataset, tokens);
    let group = |example: &Example| match &of_text {
        Some(groups) => groups[example.sequence],
        None => example.sequence,
    };
    let groups = Some(examples.iter().map(group).collect());
    Ok(ExampleSet { examples, classes, groups, pairs: None, n_skipped_words: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::tokenizer;
    use crate::{TokenizeConfig, tokenize};

    /// Says a class for each token, whatever it is.
    struct Said(Vec<TaskPlace>);

    impl TextTask for Said {
        fn name(&self) -> &'static str {
            "said"
        }

        fn classes(&self) -> Vec<String> {
            vec!["a".to_owned(), "b".to_owned()]
        }

        fn places(&self, _: &TaskText<'_>) -> Vec<TaskPlace> {
            self.0.clone()
        }
    }

    fn draw(places: &[(usize, usize)], per_text: usize) -> Result<ExampleSet, ActivationError> {
        let place = |&(n_tokens, class): &(usize, usize)| TaskPlace { n_tokens, class };
        let task = Said(places.iter().map(place).collect());
        let texts = vec!["the the the the".to_owned(), "the the the the".to_owned()];
        let dataset = Dataset::from_parts("d", texts).unwrap();
        let tokenizer = tokenizer();
        let tokens = tokenize(&dataset, &tokenizer, &TokenizeConfig::default()).unwrap();
        let config = TaskConfig { examples_per_text: per_text, ..TaskConfig::new(&task) };
        task_examples(&dataset, &tokens, &tokenizer, &config)
    }

    #[test]
    fn places_are_drawn_once_and_equal_texts_are_one_group() {
        let places = [(1, 0), (2, 1), (3, 1), (2, 0)];
        let all = draw(&places, 9).unwrap();
        let found: Vec<_> = all.examples.iter().map(|one| (one.end, one.label)).collect();
        assert_eq!(found, [(1, 0), (2, 1), (3, 1)].repeat(2));
        assert_eq!(all.groups.unwrap(), [0; 6]);
        assert_eq!(draw(&places, 2).unwrap().examples.len(), 4);
    }

    #[test]
    fn places_and_classes_that_are_not_there_are_refused() {
        let message = |places: &[(usize, usize)]| draw(places, 9).unwrap_err().to_string();
        assert_eq!(
            message(&[(1, 0), (99, 1)]),
            "the task `said` asks after 99 tokens of text 0, which has 6"
        );
        assert!(message(&[(0, 1)]).contains("after 0 tokens"));
        assert!(message(&[(1, 2)]).contains('2'));
        assert!(matches!(draw(&[(1, 1), (2, 1)], 9), Err(ActivationError::OneClass { .. })));
        assert!(matches!(draw(&[], 9), Err(ActivationError::OneClass { .. })));
    }
}
