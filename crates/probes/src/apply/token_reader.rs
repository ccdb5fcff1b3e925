//! What a probe says about each token, and what the token adds to the logits.

use attention_probes_metrics::predicted_class;
use serde::Serialize;

use super::reading::Reading;
use crate::kinds::{TextReading, TokenContributions};
use crate::{Outputs, ProbeError, ProbeMetadata, SavedProbe, StreamingProbe};

/// Reads what a probe says about each token of a text that [`apply_probe`](crate::apply_probe) read.
pub struct TokenReader<'a> {
    contributions: Option<Box<dyn TokenContributions + 'a>>,
    running: StreamingProbe,
    outputs: Outputs,
    /// The metadata of a probe that is asked about each token.
    tagger: Option<&'a ProbeMetadata>,
}

/// What is known of a token.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownToken {
    /// Its number in the vocabulary.
    pub id: Option<i64>,
    /// Its text.
    pub text: Option<String>,
}

/// What the probe says about a token.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TokenScore {
    /// Its number in the vocabulary, where it is known.
    pub id: Option<i64>,
    /// Its text, where it is known.
    pub text: Option<String>,
    /// Weight per head, where the probe weighs tokens.
    pub attention: Option<Vec<f32>>,
    /// Predicted class of the word that ends here, of a probe of the task `tokens`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    /// What it adds to the logits, and what the probe says up to here.
    #[serde(flatten)]
    pub contribution: Contribution,
}

/// What a token adds to the logits, biases left out, where it is defined, and what the probe would
/// say if the text ended with it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Contribution {
    /// Of two classes.
    Binary {
        /// What it adds to the logit of class 1.
        score: Option<f32>,
        /// Probability of class 1 up to here; `None` if it is not finite.
        running_probability: Option<f64>,
    },
    /// Of more classes, or of several labels.
    Classes {
        /// What it adds to each logit.
        scores: Option<Vec<f32>>,
        /// Probability of each class or label up to here; `None` if one is not finite.
        running_probabilities: Option<Vec<f64>>,
    },
    /// Of a number.
    Number {
        /// What it adds to the number.
        score: Option<f32>,
        /// The number up to here; `None` if it is not finite.
        running_value: Option<f64>,
    },
}

impl TokenScore {
    /// What the token adds to the only logit, or to the number; `None` if there are several logits,
    /// or if the logits are no sum over tokens.
    pub fn score(&self) -> Option<f32> {
        match self.contribution {
            Contribution::Binary { score, .. } | Contribution::Number { score, .. } => score,
            Contribution::Classes { .. } => None,
        }
    }
}

impl<'a> TokenReader<'a> {
    /// Takes the weights of a probe.
    ///
    /// # Errors
    ///
    /// As [`StreamingProbe::new`].
    pub fn new(saved: &'a SavedProbe) -> Result<Self, ProbeError> {
        let running = StreamingProbe::from_saved(saved)?;
        let metadata = &saved.metadata;
        let tagger = (metadata.task.as_deref() == Some("tokens")).then_some(metadata);
        let config = saved.config();
        let contributions = config.kind().contributions(&saved.state, config.size());
        Ok(Self { contributions, running, outputs: metadata.outputs, tagger })
    }

    /// Probabilities if the text ended with each token, `[n_tokens]` lists of `[n_classes]`; of
    /// several labels one for each, and of a number the number.
    pub fn running_probabilities(&self, reading: &Reading<'_>) -> Vec<Vec<f64>> {
        let config = self.running.config();
        let (n_classes, d_model) = (config.n_classes(), config.d_model());
        let mut running = self.running.clone();
        let tokens = reading.rows.chunks_exact(d_model);
        tokens.map(|x| self.outputs.values(running.push(x), n_classes)).collect()
    }

    /// What each token adds to each logit, `[n_tokens]` lists of `[n_out]`, biases left out; where
    /// the logits are a sum over tokens.
    pub fn contributions(&self, reading: &Reading<'_>) -> Option<Vec<Vec<f32>>> {
        let pattern = reading.pattern.as_deref();
        let text = TextReading { rows: reading.rows, pattern };
        let mut shares = self.contributions.as_ref()?.of_text(text)?;
        // A share of the number has its unit; its mean belongs to no token.
        let scale = self.running.config().output_scale().without_mean();
        for shares in &mut shares {
            scale.apply_all(shares);
        }
        Some(shares)
    }

    /// What the probe says about each token of a text.
    ///
    /// # Panics
    ///
    /// If there are more `tokens` than rows in the reading.
    pub fn token_scores(&self, tokens: Vec<KnownToken>, reading: &Reading<'_>) -> Vec<TokenScore> {
        let mut running = self.running_probabilities(reading);
        let mut contributions = self.contributions(reading);
        let score = |(p, token): (usize, KnownToken)| {
            let scores = contributions.as_mut().map(|scores| std::mem::take(&mut scores[p]));
            // JSON has no NaN.
            let probabilities = Some(std::mem::take(&mut running[p]))
                .filter(|p| p.iter().all(|probability| probability.is_finite()));
            let label = self.tagger.zip(probabilities.as_ref()).and_then(|(tagger, p)| {
                tagger.class_names.get(predicted_class(p, tagger.threshold)).cloned()
            });
            let contribution = if self.outputs == Outputs::Number {
                Contribution::Number {
                    score: scores.map(|scores| scores[0]),
                    running_value: probabilities.map(|values| values[0]),
                }
            } else if reading.logits.len() == 1 && self.outputs.are_classes() {
                Contribution::Binary {
                    score: scores.map(|scores| scores[0]),
                    running_probability: probabilities.map(|p| p[1]),
                }
            } else {
                Contribution::Classes { scores, running_probabilities: probabilities }
            };
            let heads = reading.pattern.as_ref();
            let attention = heads.map(|heads| heads.iter().map(|head| head[p]).collect());
            TokenScore { id: token.id, text: token.text, attention, label, contribution }
        };
        tokens.into_iter().enumerate().map(score).collect()
    }
}
