//! Numbers that change over the steps of a training.

use std::f64::consts::PI;

use attention_probes_errors::ValueError;
use serde::{Deserialize, Serialize};

use crate::SaeError;

/// Step size over the steps: a linear warm-up, a shape, and a linear way to 0.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LearningRateSchedule {
    /// Highest step size.
    pub value: f64,
    /// What it does between the warm-up and the decay.
    pub shape: ScheduleShape,
    /// Step size at the end of a cosine.
    pub end: f64,
    /// Steps from `value / warm_up_steps` to `value`.
    pub warm_up_steps: u64,
    /// Last steps, on which it goes to 0.
    pub decay_steps: u64,
    /// All steps of the training.
    pub total_steps: u64,
}

/// What a step size does between the warm-up and the decay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ScheduleShape {
    /// It stays.
    #[default]
    Constant,
    /// It falls along half a cosine.
    Cosine,
}

impl Default for LearningRateSchedule {
    fn default() -> Self {
        Self {
            value: 3e-4,
            shape: ScheduleShape::Constant,
            end: 3e-5,
            warm_up_steps: 0,
            decay_steps: 0,
            total_steps: 1,
        }
    }
}

impl LearningRateSchedule {
    /// A step size that stays.
    pub fn constant(value: f64) -> Self {
        Self { value, ..Self::default() }
    }

    /// Step size of the step with this number, counted from 0.
    ///
    /// With `w` warm-up steps, `t` decay steps, and `n` in all: `value (s + 1) / w` for `s < w`,
    /// `end + (value - end) (1 + cos(π (s - w) / (n - w - t))) / 2` for a cosine, and from `n - t`
    /// on what there was times `1 - (s - n + t) / t`.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warm_up_steps {
            return self.value * (step + 1) as f64 / self.warm_up_steps as f64;
        }
        let n_main = self.total_steps.saturating_sub(self.warm_up_steps + self.decay_steps);
        let main = |step: u64| match self.shape {
            ScheduleShape::Constant => self.value,
            ScheduleShape::Cosine => {
                let share = (step - self.warm_up_steps) as f64 / n_main.max(1) as f64;
                self.end + (self.value - self.end) * (1.0 + (PI * share.min(1.0)).cos()) / 2.0
            }
        };
        let first_of_decay = self.total_steps.saturating_sub(self.decay_steps);
        if self.decay_steps == 0 || step < first_of_decay {
            return main(step);
        }
        let before = match self.shape {
            ScheduleShape::Constant => self.value,
            ScheduleShape::Cosine => self.end,
        };
        let gone = (step - first_of_decay) as f64 / self.decay_steps as f64;
        before * (1.0 - gone).max(0.0)
    }

    pub(super) fn check(&self) -> Result<(), SaeError> {
        let error = |name, value, expected| Err(ValueError::new(name, value, expected).into());
        if !(self.value > 0.0 && self.value.is_finite()) {
            return error("learning_rate", self.value, "a finite number above 0");
        }
        if !(0.0..=self.value).contains(&self.end) && self.shape == ScheduleShape::Cosine {
            return error("end", self.end, "from 0 to the learning rate");
        }
        let (n, taken) = (self.total_steps, self.warm_up_steps.saturating_add(self.decay_steps));
        if taken > n {
            let expected = "at least as many as warm-up and decay take together";
            return error("total_steps", n as f64, expected);
        }
        Ok(())
    }
}

/// Weight of a loss: a linear way from 0 to its value.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CoefficientSchedule {
    /// The weight.
    pub value: f64,
    /// Steps from 0 to it.
    #[serde(default)]
    pub warm_up_steps: u64,
}

impl CoefficientSchedule {
    /// A weight that stays.
    pub fn constant(value: f64) -> Self {
        Self { value, warm_up_steps: 0 }
    }

    /// Weight of the step with this number, counted from 0.
    pub fn at(&self, step: u64) -> f64 {
        if step < self.warm_up_steps {
            self.value * step as f64 / self.warm_up_steps as f64
        } else {
            self.value
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_size_warms_up_falls_and_ends_at_nothing() {
        let schedule = LearningRateSchedule {
            value: 1.0,
            shape: ScheduleShape::Cosine,
            end: 0.2,
            warm_up_steps: 4,
            decay_steps: 5,
            total_steps: 19,
        };
        schedule.check().unwrap();
        let at = |step| schedule.at(step);
        approx::assert_abs_diff_eq!(at(0), 0.25);
        approx::assert_abs_diff_eq!(at(3), 1.0);
        approx::assert_abs_diff_eq!(at(4), 1.0);
        approx::assert_abs_diff_eq!(at(9), 0.6, epsilon = 1e-12);
        approx::assert_abs_diff_eq!(at(14), 0.2, epsilon = 1e-12);
        approx::assert_abs_diff_eq!(at(18), 0.04, epsilon = 1e-12);
        assert!(LearningRateSchedule { total_steps: 8, ..schedule }.check().is_err());
        approx::assert_abs_diff_eq!(LearningRateSchedule::constant(0.3).at(1_000_000), 0.3);
    }

    #[test]
    fn a_weight_warms_up_from_nothing() {
        let schedule = CoefficientSchedule { value: 2.0, warm_up_steps: 4 };
        let found = [0, 1, 4, 9].map(|step| schedule.at(step));
        approx::assert_abs_diff_eq!(found[..], [0.0, 0.5, 2.0, 2.0][..]);
    }
}
