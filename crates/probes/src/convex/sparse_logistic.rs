//! Logistic regression on rows most of whose numbers are 0.

use attention_probes_kernels::vectorize;
use rayon::prelude::*;

use super::block::Block;
use super::logistic::{LogisticConfig, LogisticFit, check_weights};
use super::objective::curvature_of;
use super::preconditioner::Preconditioner;
use super::problem::{Columns, Examples, LossAndGradient, Problem};
use super::readout::LinearReadout;
use super::solver::{Ending, HISTORY, Losses, minimise};
use super::sparse::{BLOCK, SparseFeatures};
use super::targets::LogisticTargets;
use crate::ProbeError;

/// Logits that are kept at a time: 16 MiB.
const CHUNK: usize = 1 << 22;

/// Most rows of a chunk: so many derivatives are summed in `f32`.
const MAX_ROWS: usize = 4096;

/// Numbers that the steps of a history may have together: 1 GiB.
const REMEMBERED: usize = 1 << 27;

/// What a logistic regression on sparse rows learns from.
#[derive(Clone, Copy, Debug)]
pub struct SparseLogisticData<'a> {
    /// The rows.
    pub features: &'a SparseFeatures,
    /// What they are to predict, for as many examples.
    pub targets: &'a LogisticTargets,
    /// Weight of each example in the loss, from 0 on; all weigh 1 if there are none.
    pub weights: Option<&'a [f64]>,
}

/// Logistic regressions on sparse rows, one penalty after another.
///
/// The objective is that of [`logistic_path`](crate::logistic_path), which solves dense rows. Here a
/// pass costs a product for each number that is not 0, in both directions, shared among all cores.
///
/// # Memory
///
/// Up to 30 times the parameters in `f64`, at most 1 GiB of it for the steps that a direction
/// remembers, and 32 MiB for a chunk of the rows.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::{
///     LogisticConfig, LogisticTargets, SparseFeatures, SparseLogistic, SparseLogisticData,
/// };
///
/// let rows = [[(0, 1.0)], [(1, 1.0)], [(0, 1.0)], [(2, 1.0)]];
/// let features = SparseFeatures::new(3, rows);
/// let targets = LogisticTargets::classes(&[0, 1, 0, 1], 2)?;
/// let data = SparseLogisticData { features: &features, targets: &targets, weights: None };
/// let mut regression = SparseLogistic::new(data, LogisticConfig::default())?;
/// let fits = regression.fit(0.1)?;
/// assert!(fits[0].readout.weight()[0] < 0.0 && fits[0].readout.weight()[1] > 0.0);
/// # Ok::<(), attention_probes::probes::ProbeError>(())
/// ```
#[derive(Clone, Debug)]
pub struct SparseLogistic<'a> {
    data: SparseLogisticData<'a>,
    config: LogisticConfig,
    weights: Option<Vec<f32>>,
    total_weight: f64,
    chunks: Vec<Chunk>,
    /// Weighed sum of squares of each feature.
    squares: Vec<f64>,
    /// For each label, where the next fit begins.
    starts: Vec<Vec<f64>>,
}

/// Rows whose logits are kept at a time.
#[derive(Clone, Debug)]
struct Chunk {
    first: usize,
    n: usize,
    /// For each feature the rows, counted within the chunk, that have it, and at last all rows, which
    /// have a bias.
    columns: SparseFeatures,
}

impl<'a> SparseLogistic<'a> {
    /// Checks data and config, whose penalties are not looked at.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if a field of the config is out of range.
    /// - [`ProbeError::NoExamples`] if there are no rows, or rows of no features.
    /// - [`ProbeError::BadFeature`] if a number is not finite.
    /// - [`ProbeError::SizeMismatch`] if targets or weights are not as many as the examples.
    /// - [`ProbeError::BadWeight`] if a weight is negative or not finite, or all are 0.
    pub fn new(data: SparseLogisticData<'a>, config: LogisticConfig) -> Result<Self, ProbeError> {
        config.check()?;
        let SparseLogisticData { features, targets, weights } = data;
        let n_examples = features.n_examples();
        if n_examples == 0 || features.n_features() == 0 {
            return Err(ProbeError::NoExamples { n_skipped: 0 });
        }
        for example in 0..n_examples {
            let bad = features.row(example).iter().find(|(_, value)| !value.is_finite());
            if let Some(&(feature, value)) = bad {
                return Err(ProbeError::BadFeature { example, feature: feature as usize, value });
            }
        }
        if targets.n_examples() != n_examples {
            let (what, found) = ("the number of targets", targets.n_examples());
            return Err(ProbeError::SizeMismatch { what, found, expected: n_examples });
        }
        let total_weight = check_weights(weights, n_examples)?;
        let mut squares = vec![0.0; features.n_features()];
        for example in 0..n_examples {
            let weight = weights.map_or(1.0, |weights| weights[example]);
            for &(feature, x) in features.row(example) {
                squares[feature as usize] += weight * f64::from(x) * f64::from(x);
            }
        }
        let n_columns = targets.n_labels() * targets.n_logits();
        let n_rows = (CHUNK / n_columns).clamp(BLOCK, MAX_ROWS);
        let firsts = (0..n_examples).step_by(n_rows);
        let n_params = targets.n_logits() * (features.n_features() + 1);
        Ok(Self {
            data,
            config,
            weights: weights.map(|weights| weights.iter().map(|&w| w as f32).collect()),
            total_weight,
            chunks: firsts.map(|first| Chunk::new(features, first, n_rows)).collect(),
            squares,
            starts: vec![vec![0.0; n_params]; targets.n_labels()],
        })
    }

    /// Fits every label with one penalty, from the last solution on, so that strong penalties are
    /// best fitted first.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if the penalty is not from 1e-30 to 1e30.
    /// - [`ProbeError::Unconverged`] if a fit does not converge, unless the config keeps it.
    /// - [`ProbeError::NonFinite`] if a weight does not fit into `f32`.
    /// - [`ProbeError::Stopped`] if [`LogisticConfig::stop`] is given; the last solution stays.
    pub fn fit(&mut self, penalty: f64) -> Result<Vec<LogisticFit>, ProbeError> {
        self.follow_fit(penalty, &mut |_| {})
    }

    /// As [`SparseLogistic::fit`]; `on_pass` is told how many passes over the rows are done.
    ///
    /// # Errors
    ///
    /// As [`SparseLogistic::fit`].
    pub fn follow_fit(
        &mut self,
        penalty: f64,
        on_pass: &mut dyn FnMut(usize),
    ) -> Result<Vec<LogisticFit>, ProbeError> {
        LogisticConfig { penalties: vec![penalty], ..self.config.clone() }.check()?;
        let problems: Vec<Problem> = (0..self.starts.len())
            .map(|label| Problem {
                label,
                held_out: None,
                penalty: 0,
                ridge: vec![penalty; self.data.features.n_features()],
                total_weight: self.total_weight,
            })
            .collect();
        let starts = self.starts.clone();
        let n_params: usize = starts.iter().map(Vec::len).sum();
        let ending = Ending {
            tolerance: self.config.tolerance,
            max_iterations: self.config.max_iterations,
            history: (REMEMBERED / (2 * n_params).max(1)).clamp(3, HISTORY),
            stop: self.config.stop.clone(),
        };
        let asked: Vec<&Problem> = problems.iter().collect();
        let preconditioner = self.preconditioner(&asked, &starts);
        let solutions =
            minimise(&*self, &problems, starts, vec![preconditioner], (&ending, on_pass))?;
        let fits = solutions.iter().enumerate().map(|(label, solution)| {
            if !solution.converged && !self.config.keep_unconverged {
                return Err(ProbeError::Unconverged {
                    penalty,
                    gradient_norm: solution.gradient_norm,
                    n_iterations: solution.n_iterations,
                    tolerance: self.config.tolerance,
                });
            }
            let n_logits = self.data.targets.n_logits();
            let (weight, bias) = solution.params.split_at(solution.params.len() - n_logits);
            Ok(LogisticFit {
                penalty,
                label,
                readout: LinearReadout::new(weight, bias)?,
                objective: solution.objective,
                gradient_norm: solution.gradient_norm,
                n_iterations: solution.n_iterations,
                converged: solution.converged,
            })
        });
        let fits = fits.collect();
        self.starts = solutions.into_iter().map(|solution| solution.params).collect();
        fits
    }

    /// Takes fits for the last solution, such as those of a run that was stopped.
    ///
    /// # Errors
    ///
    /// [`ProbeError::SizeMismatch`] if they are of other features, classes, or labels.
    pub fn resume(&mut self, readouts: &[LinearReadout]) -> Result<(), ProbeError> {
        let error = |what, found, expected| Err(ProbeError::SizeMismatch { what, found, expected });
        if readouts.len() != self.starts.len() {
            return error("the number of labels", readouts.len(), self.starts.len());
        }
        for (start, readout) in self.starts.iter_mut().zip(readouts) {
            let values = readout.weight().iter().chain(readout.bias());
            let params: Vec<f64> = values.map(|&value| f64::from(value)).collect();
            if params.len() != start.len() || readout.n_out() != self.data.targets.n_logits() {
                return error("the number of weights", params.len(), start.len());
            }
            *start = params;
        }
        Ok(())
    }

    fn examples(&self) -> Examples<'_> {
        Examples { targets: self.data.targets, weights: self.weights.as_deref(), folds: &[] }
    }

    /// Derivatives of the losses of a chunk by its logits, `[n, width]`; adds the losses.
    fn derivatives(
        &self,
        chunk: &Chunk,
        problems: &[&Problem],
        columns: &Columns,
        loss: &mut [f64],
    ) -> Vec<f32> {
        let width = columns.width;
        let mut derivatives = vec![0.0; chunk.n * width];
        let of_block = |(block, derivatives): (usize, &mut [f32])| {
            let (first, n) = (chunk.first + block * BLOCK, derivatives.len() / width);
            let (mut z, mut loss) = (Vec::new(), vec![0.0; width]);
            self.data.features.multiply(first, n, columns, &mut z);
            let mut block = Block::new(problems, columns);
            vectorize(
                #[inline(always)]
                || block.differentiate(&self.examples(), (first, n), (&mut z, &mut loss)),
            );
            derivatives.copy_from_slice(&z);
            loss
        };
        let blocks = derivatives.par_chunks_mut(BLOCK * width).enumerate();
        let losses: Vec<Vec<f64>> = blocks.map(of_block).collect();
        for of_block in losses {
            for (sum, value) in loss.iter_mut().zip(of_block) {
                *sum += value;
            }
        }
        derivatives
    }
}

impl Losses for SparseLogistic<'_> {
    fn n_logits(&self) -> usize {
        self.data.targets.n_logits()
    }

    fn evaluate(&self, problems: &[&Problem], params: &[Vec<f64>]) -> Vec<LossAndGradient> {
        let (d, n_logits) = (self.data.features.n_features(), Losses::n_logits(self));
        let columns = Columns::new(params, n_logits, d);
        let width = columns.width;
        let mut loss = vec![0.0; width];
        // `[d + 1, width]`, the last row of the biases.
        let mut gradient = vec![0.0_f64; (d + 1) * width];
        for chunk in &self.chunks {
            let derivatives = self.derivatives(chunk, problems, &columns, &mut loss);
            gradient.par_chunks_mut(width).enumerate().for_each(|(feature, gradient)| {
                chunk.columns.add_products(feature, &derivatives, gradient);
            });
        }
        (0..problems.len())
            .into_par_iter()
            .map(|problem| {
                let mut by_class = vec![0.0; n_logits * (d + 1)];
                let (weights, biases) = by_class.split_at_mut(n_logits * d);
                weights.par_chunks_mut(d).enumerate().for_each(|(class, weights)| {
                    let column = columns.index(problem, class);
                    for (j, weight) in weights.iter_mut().enumerate() {
                        *weight = gradient[j * width + column];
                    }
                });
                for (class, bias) in biases.iter_mut().enumerate() {
                    *bias = gradient[d * width + columns.index(problem, class)];
                }
                LossAndGradient { loss: loss[problem], gradient: by_class }
            })
            .collect()
    }

    fn preconditioner(&self, problems: &[&Problem], params: &[Vec<f64>]) -> Preconditioner {
        let features = self.data.features;
        let (d, n_logits) = (features.n_features(), Losses::n_logits(self));
        if params.iter().flatten().all(|param| *param == 0.0) {
            // Every class is equally likely.
            let scale = if n_logits == 1 { 0.25 } else { 1.0 / n_logits as f64 };
            let curvature: Vec<f64> = self.squares.iter().map(|square| scale * square).collect();
            let bias = scale * self.total_weight;
            return Preconditioner::diagonal(&curvature, &problems[0].ridge, bias);
        }
        let columns = Columns::new(params, n_logits, d);
        let share = 1.0 / problems.len() as f32;
        let of_block = |block: usize| -> Vec<f32> {
            let first = block * BLOCK;
            let n = BLOCK.min(features.n_examples() - first);
            let mut z = Vec::new();
            features.multiply(first, n, &columns, &mut z);
            let of_example = |(i, z): (usize, &[f32])| {
                let of_problem = |(place, problem): (usize, &&Problem)| {
                    let logit = |class| z[columns.index(place, class)];
                    let logits: Vec<f32> = (0..n_logits).map(logit).collect();
                    curvature_of(&logits) * self.examples().weight(first + i, problem)
                };
                share * problems.iter().enumerate().map(of_problem).sum::<f32>()
            };
            z.chunks_exact(columns.width).enumerate().map(of_example).collect()
        };
        let n_blocks = features.n_examples().div_ceil(BLOCK);
        let curvatures: Vec<Vec<f32>> = (0..n_blocks).into_par_iter().map(of_block).collect();
        let (mut curvature, mut bias) = (vec![0.0; d], 0.0);
        for (example, h) in curvatures.concat().into_iter().map(f64::from).enumerate() {
            bias += h;
            for &(feature, x) in features.row(example) {
                curvature[feature as usize] += h * f64::from(x) * f64::from(x);
            }
        }
        Preconditioner::diagonal(&curvature, &problems[0].ridge, bias)
    }
}

impl Chunk {
    fn new(features: &SparseFeatures, first: usize, n_rows: usize) -> Self {
        let n = n_rows.min(features.n_examples() - first);
        let mut columns = vec![Vec::new(); features.n_features()];
        for row in 0..n {
            for &(feature, x) in features.row(first + row) {
                columns[feature as usize].push((row, x));
            }
        }
        columns.push((0..n).map(|row| (row, 1.0)).collect());
        Self { first, n, columns: SparseFeatures::new(n, columns) }
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_errors::Stop;

    use super::*;
    use crate::{Features, LogisticData, follow_logistic_path, logistic_path};

    /// Rows of a few of `n_features`, sparse and dense.
    fn rows(n: usize, n_features: usize) -> (SparseFeatures, Vec<f32>) {
        let row = |i: usize| {
            let mut row = vec![(i * 7 % n_features, 0.5 + (i % 3) as f32), (n_features - 1, 0.25)];
            row.push(((i * i + 3) % (n_features - 1), 1.0));
            row.sort_by_key(|entry| entry.0);
            row.dedup_by_key(|entry| entry.0);
            row
        };
        let rows: Vec<Vec<(usize, f32)>> = (0..n).map(row).collect();
        let mut dense = vec![0.0; n * n_features];
        for (i, row) in rows.iter().enumerate() {
            for &(feature, value) in row {
                dense[i * n_features + feature] = value;
            }
        }
        (SparseFeatures::new(n_features, rows), dense)
    }

    /// Compares with the solver of dense rows, penalty by penalty.
    fn check(targets: &LogisticTargets, weights: Option<&[f64]>, n_features: usize) {
        let (features, dense) = rows(targets.n_examples(), n_features);
        let penalties = vec![10.0, 0.1];
        let config = LogisticConfig { penalties, tolerance: 1e-7, ..LogisticConfig::default() };
        let data =
            LogisticData { features: Features::new(&dense, n_features).unwrap(), targets, weights };
        let mut expected = logistic_path(data, &config).unwrap().into_iter();
        let data = SparseLogisticData { features: &features, targets, weights };
        let mut regression = SparseLogistic::new(data, config.clone()).unwrap();
        for penalty in config.penalties {
            for found in regression.fit(penalty).unwrap() {
                let expected = expected.next().unwrap();
                assert_eq!(found.label, expected.label);
                let outputs = features.outputs(&found.readout).unwrap();
                let dense = Features::new(&dense, n_features).unwrap();
                for (a, b) in outputs.iter().zip(expected.readout.outputs(dense).unwrap()) {
                    assert!((a - b).abs() < 2e-4 * b.abs().max(1.0), "{a} {b} at {penalty}");
                }
            }
        }
        assert_eq!(expected.next(), None);
    }

    #[test]
    fn sparse_rows_give_what_dense_rows_give() {
        let labels: Vec<usize> = (0..150).map(|i| (i / 2 + i * i % 5) % 3).collect();
        let weights: Vec<f64> = (0..150).map(|i| 0.5 + f64::from(i % 4)).collect();
        let two: Vec<usize> = labels.iter().map(|label| label % 2).collect();
        check(&LogisticTargets::classes(&two, 2).unwrap(), Some(&weights), 11);
        check(&LogisticTargets::classes(&labels, 3).unwrap(), Some(&weights), 11);
        check(&LogisticTargets::classes(&labels, 3).unwrap(), None, 40);
        let several: Vec<f32> =
            (0..150).flat_map(|i| [f32::from(i % 3 == 0), f32::from(i % 7 < 3)]).collect();
        check(&LogisticTargets::multilabel(&several, 2).unwrap(), None, 11);
    }

    #[test]
    fn a_resumed_path_goes_on_to_the_same_bits() {
        let (features, _) = rows(90, 17);
        let labels: Vec<usize> = (0..90).map(|i| i * i % 7 % 3).collect();
        let targets = LogisticTargets::classes(&labels, 3).unwrap();
        let data = SparseLogisticData { features: &features, targets: &targets, weights: None };
        let new = || SparseLogistic::new(data, LogisticConfig::default()).unwrap();
        let mut whole = new();
        let first = whole.fit(10.0).unwrap().remove(0).readout;
        whole.resume(std::slice::from_ref(&first)).unwrap();
        let expected = whole.fit(1.0).unwrap();
        let mut resumed = new();
        resumed.resume(&[first]).unwrap();
        assert_eq!(resumed.fit(1.0).unwrap(), expected);
        let other = LinearReadout::new(&[0.0; 6], &[0.0; 3]).unwrap();
        assert!(resumed.resume(&[other]).is_err());
    }

    #[test]
    fn a_fit_that_is_stopped_ends_after_a_pass() {
        let (features, dense) = rows(90, 17);
        let labels: Vec<usize> = (0..90).map(|i| i * i % 7 % 3).collect();
        let targets = LogisticTargets::classes(&labels, 3).unwrap();
        for is_sparse in [true, false] {
            let stop = Stop::new();
            let config =
                LogisticConfig { penalties: vec![0.1], stop: stop.clone(), ..Default::default() };
            let mut passes = Vec::new();
            let mut on_pass = |n_passes| {
                passes.push(n_passes);
                if n_passes == 3 {
                    stop.stop();
                }
            };
            let found = if is_sparse {
                let (features, targets) = (&features, &targets);
                let data = SparseLogisticData { features, targets, weights: None };
                SparseLogistic::new(data, config).unwrap().follow_fit(0.1, &mut on_pass)
            } else {
                let features = Features::new(&dense, 17).unwrap();
                let data = LogisticData { features, targets: &targets, weights: None };
                follow_logistic_path(data, &config, &mut on_pass)
            };
            assert!(matches!(found, Err(ProbeError::Stopped(_))), "{found:?}");
            assert_eq!(passes, [1, 2, 3]);
        }
    }

    #[test]
    fn bad_input_is_refused() {
        let features = SparseFeatures::new(2, [[(0, 1.0)], [(1, f32::NAN)]]);
        let targets = LogisticTargets::classes(&[0, 1], 2).unwrap();
        let new = |features: &SparseFeatures, weights: Option<&[f64]>| {
            let data = SparseLogisticData { features, targets: &targets, weights };
            SparseLogistic::new(data, LogisticConfig::default()).map(|_| ())
        };
        let bad = new(&features, None);
        assert!(matches!(bad, Err(ProbeError::BadFeature { example: 1, feature: 1, .. })));
        let one = SparseFeatures::new(2, [[(0, 1.0)]]);
        assert!(matches!(new(&one, None), Err(ProbeError::SizeMismatch { found: 2, .. })));
        let none = SparseFeatures::new(2, Vec::<Vec<(usize, f32)>>::new());
        assert!(matches!(new(&none, None), Err(ProbeError::NoExamples { .. })));
        let good = SparseFeatures::new(2, [[(0, 1.0)], [(1, 2.0)]]);
        assert!(matches!(new(&good, Some(&[0.0, 0.0])), Err(ProbeError::BadWeight { .. })));
        let data = SparseLogisticData { features: &good, targets: &targets, weights: None };
        let mut regression = SparseLogistic::new(data, LogisticConfig::default()).unwrap();
        assert!(matches!(regression.fit(0.0), Err(ProbeError::Hyperparameter(_))));
    }
}
