//! What a probe says about each token, and what the token adds to the logits.

use attention_probes_kernels::dot_in_f64 as dot;
use attention_probes_metrics::predicted_class;
use serde::Serialize;

use super::reading::Reading;
use crate::{Outputs, Pool, ProbeConfig, ProbeError, ProbeMetadata, SavedProbe, StreamingProbe};

/// Reads what a probe says about each token of a text that [`apply_probe`](crate::apply_probe) read.
pub struct TokenReader<'a> {
    readout: Readout<'a>,
    running: StreamingProbe,
    outputs: Outputs,
    /// The metadata of a probe that is asked about each token.
    tagger: Option<&'a ProbeMetadata>,
}

/// How the logits of a probe are a sum over tokens.
enum Readout<'a> {
    /// Per head and logit one direction, `[n_heads, n_out, d_model]`, weighed by the pattern.
    Attention(&'a [f32]),
    /// Per logit one direction, `[n_out, d_model]`, on the pooled activations.
    Linear(&'a [f32], Pool),
    /// They are none: something that is not linear comes between.
    None,
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
        Ok(Self { readout: Readout::new(saved), running, outputs: metadata.outputs, tagger })
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
        let d_model = self.running.config().d_model();
        self.readout.contributions(reading.rows.len() / d_model, reading)
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

impl<'a> Readout<'a> {
    /// Finds the directions among the weights of a probe.
    fn new(saved: &'a SavedProbe) -> Self {
        let weight = |name: &str| saved.state.get(name).map(|array| array.values.as_slice());
        let readout = match saved.config() {
            ProbeConfig::Attention(config) if config.hidden_dim.is_none() => {
                weight("v.weight").map(Self::Attention)
            }
            ProbeConfig::Linear(config) => {
                weight("weight").map(|weight| Self::Linear(weight, config.pool))
            }
            _ => None,
        };
        readout.unwrap_or(Self::None)
    }

    /// What each token adds to each logit, `[n_tokens, n_out]`, biases left out.
    fn contributions(&self, n_tokens: usize, reading: &Reading<'_>) -> Option<Vec<Vec<f32>>> {
        let d_model = reading.rows.len() / n_tokens;
        let n_out = reading.logits.len();
        let token = |p: usize| &reading.rows[p * d_model..(p + 1) * d_model];
        match self {
            Self::None => None,
            Self::Attention(values) => {
                let heads = reading.pattern.as_ref()?;
                let of_logit = |p: usize, logit: usize| {
                    let of_head = |(head, pattern): (usize, &&[f32])| {
                        let direction = &values[(head * n_out + logit) * d_model..][..d_model];
                        f64::from(pattern[p]) * dot(direction, token(p))
                    };
                    heads.iter().enumerate().map(of_head).sum::<f64>() as f32
                };
                Some(per_token(n_tokens, n_out, of_logit))
            }
            Self::Linear(weight, pool) => {
                let direction = |logit: usize| &weight[logit * d_model..][..d_model];
                Some(match pool {
                    Pool::Mean => per_token(n_tokens, n_out, |p, logit| {
                        (dot(direction(logit), token(p)) / n_tokens as f64) as f32
                    }),
                    Pool::Last => per_token(n_tokens, n_out, |p, logit| {
                        if p + 1 == n_tokens { dot(direction(logit), token(p)) as f32 } else { 0.0 }
                    }),
                    Pool::Max | Pool::AbsMax => {
                        let size =
                            |value: f32| if *pool == Pool::Max { value } else { value.abs() };
                        // The token that each dimension is taken from, the first on a tie.
                        let chosen: Vec<usize> = (0..d_model)
                            .map(|d| {
                                (0..n_tokens).fold(0, |best, p| {
                                    if size(token(p)[d]) > size(token(best)[d]) { p } else { best }
                                })
                            })
                            .collect();
                        per_token(n_tokens, n_out, |p, logit| {
                            let dimensions = (0..d_model).filter(|&d| chosen[d] == p);
                            let direction = direction(logit);
                            dimensions
                                .map(|d| f64::from(direction[d]) * f64::from(token(p)[d]))
                                .sum::<f64>() as f32
                        })
                    }
                })
            }
        }
    }
}

fn per_token(n_tokens: usize, n_out: usize, value: impl Fn(usize, usize) -> f32) -> Vec<Vec<f32>> {
    (0..n_tokens).map(|p| (0..n_out).map(|logit| value(p, logit)).collect()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn contributions_of_every_pool_add_up_to_the_logit() {
        let rows = [1.0, -4.0, 3.0, 2.0, 3.0, 0.5]; // three tokens, two wide
        let weight = [2.0, 10.0];
        // The pooled vectors are (7/3, -1/2), (3, 0.5), (3, 2), and (3, -4).
        for (pool, logit) in
            [(Pool::Mean, -1.0 / 3.0), (Pool::Last, 11.0), (Pool::Max, 26.0), (Pool::AbsMax, -34.0)]
        {
            let reading = Reading {
                rows: &rows,
                logits: &[logit],
                probabilities: &[0.5, 0.5],
                pattern: None,
            };
            let scores = Readout::Linear(&weight, pool).contributions(3, &reading).unwrap();
            let sum: f32 = scores.iter().map(|score| score[0]).sum();
            assert!((sum - logit).abs() < 1e-5, "{pool:?}: {scores:?}");
        }
    }
}
