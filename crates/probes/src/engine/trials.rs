//! Trials of one kind of probe, with the engine that trains them.

use std::fmt;

use attention_probes_models::ModelError;
use burn::tensor::Device;

use super::core::{Core, ROWS, SMALL};
use super::dropout::Dropout;
use super::kernel_trials::{KernelTrials, Prepared};
use super::stack::Stack;
use super::tape_trials::TapeTrials;
use super::{RaggedBatch, Rate, Targets};
use crate::kinds::{PaddedTokens, ProbeKind};
use crate::{Loss, ProbeConfig, ProbeState, Reads};

/// Trials of one shape, before their first step.
#[derive(Clone, Debug)]
pub struct TrialsConfig<'a> {
    /// Kind and sizes of their probes.
    pub probe: &'a ProbeConfig,
    /// Training objective.
    pub loss: Loss,
    /// Seed of dropout.
    pub seed: u64,
    /// Where kinds without a host kernel are differentiated.
    pub device: &'a Device,
    /// Whether all are, as the definition has it.
    pub by_definition: bool,
}

/// Trials of one kind of probe at one site, which take their steps together.
pub struct Trials {
    engine: Engine,
    core: Core,
}

/// How gradients come about.
enum Engine {
    Kernel(KernelTrials),
    Tape(TapeTrials),
}

impl Trials {
    /// Stacks trials, each from its own initial weights, with one rate for each.
    ///
    /// # Panics
    ///
    /// If a state is not one of the probe, or there is not one rate for each.
    pub fn new(config: &TrialsConfig<'_>, states: &[ProbeState], rates: Vec<Rate>) -> Self {
        assert_eq!(states.len(), rates.len(), "one rate for each trial");
        let (probe, kind) = (config.probe, config.probe.kind());
        let size = probe.size();
        let kernel = kind.host_kernel(size).filter(|_| !config.by_definition);
        let layout = match &kernel {
            Some(kernel) => kernel.layout(),
            None => TapeTrials::layout(kind, size),
        };
        let stride = layout.n_small().max(1);
        let (mut rows, mut small) = (Vec::new(), Vec::new());
        for state in states {
            rows.extend(layout.rows.iter().flat_map(|(name, _)| &state[*name].values));
            small.extend(layout.small.iter().flat_map(|(name, _)| &state[*name].values));
            small.resize(small.len() + stride - layout.n_small(), 0.0);
        }
        let core = Core {
            reads: kind.reads(),
            loss: config.loss,
            d_model: size.d_model,
            n_out: size.n_out,
            scale: probe.output_scale(),
            n_trials: states.len(),
            rates,
            stack: Stack::new(vec![rows, small]),
            gradients: Vec::new(),
            dropout: kind.dropout().map(|dropout| Dropout::new(dropout, config.seed)),
            layout,
        };
        let engine = match kernel {
            Some(kernel) => Engine::Kernel(KernelTrials::new(kernel)),
            None => Engine::Tape(TapeTrials::new(probe.clone(), config.device.clone())),
        };
        Self { engine, core }
    }

    /// Computes the gradients of the mean loss of every trial on a batch, and adds that loss to
    /// `losses`.
    ///
    /// Kinds that pool read either the tokens or the pooled rows, one for each text.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a device fails.
    pub fn differentiate(
        &mut self,
        batch: &RaggedBatch<'_>,
        targets: &Targets<'_>,
        losses: &mut [f64],
    ) -> Result<(), ModelError> {
        Self::differentiate_all(&mut [(self, losses)], batch, targets)
    }

    /// As [`Trials::differentiate`] for several groups of trials, whose tokens are gathered once.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a device fails.
    pub fn differentiate_all(
        groups: &mut [(&mut Self, &mut [f64])],
        batch: &RaggedBatch<'_>,
        targets: &Targets<'_>,
    ) -> Result<(), ModelError> {
        for (trials, _) in groups.iter_mut() {
            trials.core.begin_step();
        }
        for reads in distinct_reads(groups) {
            let is_alike = |trials: &Self| trials.core.reads == reads && trials.is_kernel();
            let mut prepared = Prepared::new(reads, batch);
            while let Some(block) = prepared.next_block() {
                for (trials, losses) in groups.iter_mut().filter(|(trials, _)| is_alike(trials)) {
                    if let Engine::Kernel(engine) = &mut trials.engine {
                        engine.differentiate(&mut trials.core, &block, targets, losses);
                    }
                }
            }
        }
        for (trials, losses) in groups {
            if let Engine::Tape(engine) = &mut trials.engine {
                let tokens = batch.padded(engine.device());
                engine.differentiate(&mut trials.core, &tokens, targets, losses)?;
            }
        }
        Ok(())
    }

    /// As [`Trials::differentiate`], of a batch that is on a device already; a host kernel reads it
    /// from there.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a device fails.
    pub(crate) fn differentiate_padded(
        &mut self,
        tokens: &PaddedTokens,
        targets: &Targets<'_>,
        losses: &mut [f64],
    ) -> Result<(), ModelError> {
        match &self.engine {
            Engine::Tape(engine) => {
                self.core.begin_step();
                engine.differentiate(&mut self.core, tokens, targets, losses)
            }
            Engine::Kernel(_) => {
                let texts = tokens.to_rows()?;
                let rows = texts.iter().map(Vec::as_slice).collect();
                let batch = RaggedBatch { rows, d_model: self.core.d_model };
                self.differentiate(&batch, targets, losses)
            }
        }
    }

    /// The last gradients, part by part.
    pub fn gradients(&self) -> &[Vec<f32>] {
        &self.core.gradients
    }

    /// One `AdamW` step of every trial along the last gradients.
    pub fn update(&mut self) {
        let Core { stack, gradients, rates, .. } = &mut self.core;
        stack.update(gradients, rates);
    }

    /// Outputs of every trial, `[n_trials, n_examples, n_out]`: logits, or numbers.
    ///
    /// # Errors
    ///
    /// [`ModelError`] if a device fails.
    pub fn logits(&mut self, batch: &RaggedBatch<'_>) -> Result<Vec<f32>, ModelError> {
        let mut outputs = self.unscaled(batch)?;
        self.core.scale.apply_all(&mut outputs);
        Ok(outputs)
    }

    /// Outputs in the scale that the weights have.
    fn unscaled(&mut self, batch: &RaggedBatch<'_>) -> Result<Vec<f32>, ModelError> {
        let Self { engine, core } = self;
        let engine = match engine {
            Engine::Kernel(engine) => engine,
            Engine::Tape(engine) => {
                let tokens = batch.padded(engine.device());
                return engine.logits(core, &tokens);
            }
        };
        let per_trial = batch.rows.len() * core.n_out;
        let mut logits = vec![0.0; core.n_trials * per_trial];
        let mut prepared = Prepared::new(core.reads, batch);
        while let Some(block) = prepared.next_block() {
            engine.logits(core, &block, &mut logits);
        }
        Ok(logits)
    }

    /// Weights of one trial.
    pub fn state(&self, trial: usize) -> ProbeState {
        let stack = &self.core.stack;
        self.core.arrays(trial, stack.params(ROWS), stack.params(SMALL))
    }

    /// The last gradients of one trial, by the names of the weights.
    pub fn gradient(&self, trial: usize) -> ProbeState {
        self.core.arrays(trial, &self.core.gradients[ROWS], &self.core.gradients[SMALL])
    }

    /// Which parameters of one trial L-BFGS decays, in the order of [`Stack::flat_params`] of a stack
    /// of one.
    pub fn is_decayed(&self, kind: &dyn ProbeKind) -> Vec<bool> {
        let Core { layout, d_model, .. } = &self.core;
        let rows = layout.rows.iter().map(|(name, n_rows)| (*name, vec![*n_rows, *d_model]));
        let small = layout.small.iter().map(|(name, shape)| (*name, shape.clone()));
        let mut marks = Vec::new();
        for (name, shape) in rows.chain(small) {
            let n = shape.iter().product();
            marks.extend(std::iter::repeat_n(kind.decays(name, &shape), n));
        }
        marks.resize(marks.len() + self.core.small_stride() - layout.n_small(), false);
        marks
    }

    /// Hides no tokens from now on.
    pub(crate) fn forget_dropout(&mut self) {
        self.core.dropout = None;
    }

    /// Everything that changes while the trials train.
    pub fn stack(&self) -> &Stack {
        &self.core.stack
    }

    /// As [`Trials::stack`], to go back to what it was.
    pub fn stack_mut(&mut self) -> &mut Stack {
        &mut self.core.stack
    }

    /// What the rows of the kind meet.
    pub fn reads(&self) -> Reads {
        self.core.reads
    }

    fn is_kernel(&self) -> bool {
        matches!(self.engine, Engine::Kernel(_))
    }
}

impl fmt::Debug for Trials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trials").field("n_trials", &self.core.n_trials).finish_non_exhaustive()
    }
}

/// What the groups with kernels read, each once.
fn distinct_reads(groups: &[(&mut Trials, &mut [f64])]) -> Vec<Reads> {
    let mut found: Vec<Reads> = Vec::new();
    for (trials, _) in groups.iter().filter(|(trials, _)| trials.is_kernel()) {
        if !found.contains(&trials.core.reads) {
            found.push(trials.core.reads);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::every_kind;

    #[test]
    fn a_batch_on_a_device_gives_what_its_rows_give() {
        let (device, d_model) = (Device::flex(), 5);
        let texts: Vec<Vec<f32>> = [3, 1, 6]
            .iter()
            .map(|n| (0..n * d_model).map(|i| ((i * 37 + n) % 11) as f32 / 5.0 - 1.0).collect())
            .collect();
        let batch = RaggedBatch { rows: texts.iter().map(Vec::as_slice).collect(), d_model };
        let tokens = batch.padded(&device);
        assert_eq!(tokens.to_rows().unwrap(), texts);
        let targets = Targets::new(&[0, 1, 1], &[1.0, 2.0]);
        for probe in every_kind(d_model, 2) {
            for by_definition in [false, true] {
                let (probe, loss, device) = (&probe, Loss::CrossEntropy, &device);
                let config = TrialsConfig { probe, loss, seed: 1, device, by_definition };
                let rates = vec![Rate { learning_rate: 1.0, weight_decay: 0.0 }; 2];
                let states = [3, 4].map(|seed| probe.init_state(seed));
                let trials = || Trials::new(&config, &states, rates.clone());
                let (mut of_rows, mut of_device) = (trials(), trials());
                let (mut losses, mut expected) = ([0.0; 2], [0.0; 2]);
                of_rows.differentiate(&batch, &targets, &mut expected).unwrap();
                of_device.differentiate_padded(&tokens, &targets, &mut losses).unwrap();
                assert_eq!(losses.map(f64::to_bits), expected.map(f64::to_bits), "{probe:?}");
                assert_eq!(of_device.gradients(), of_rows.gradients(), "{probe:?}");
            }
        }
    }
}
