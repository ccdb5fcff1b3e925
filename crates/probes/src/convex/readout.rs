//! What every convex probe comes to: weights and a bias per output.

use crate::state::check_state;
use crate::{Linear, ParamArray, Pool, ProbeConfig, ProbeError, ProbeState};

/// Weights and biases that read outputs off pooled activations.
///
/// ```text
/// y[b,c] = Σ_d weight[c,d] x[b,d] + bias[c]
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct LinearReadout {
    weight: Vec<f32>,
    bias: Vec<f32>,
}

impl LinearReadout {
    /// Rounds weights and biases to `f32`.
    ///
    /// # Shapes
    ///
    /// - `weight`: `[n_out, d_model]`
    /// - `bias`: `[n_out]`, at least one
    ///
    /// # Errors
    ///
    /// - [`ProbeError::ArrayShape`] if the weights are not as many for each bias.
    /// - [`ProbeError::NonFinite`] if a number is NaN or does not fit into `f32`.
    pub fn new(weight: &[f64], bias: &[f64]) -> Result<Self, ProbeError> {
        let round = |values: &[f64]| values.iter().map(|&value| value as f32).collect();
        let readout = Self { weight: round(weight), bias: round(bias) };
        if bias.is_empty() || weight.is_empty() || !weight.len().is_multiple_of(bias.len()) {
            return Err(ProbeError::ArrayShape {
                array: "weight".to_owned(),
                found: vec![weight.len()],
                expected: vec![bias.len(), weight.len() / bias.len().max(1)],
            });
        }
        let shapes =
            [("weight", vec![readout.n_out(), readout.d_model()]), ("bias", vec![readout.n_out()])];
        check_state(&readout.to_state(), &shapes, "linear")?;
        Ok(readout)
    }

    /// The outputs of several readouts of the same features side by side.
    ///
    /// # Errors
    ///
    /// [`ProbeError::ArrayShape`] if there is none, or they read features of different widths.
    pub fn joined<'a>(readouts: impl IntoIterator<Item = &'a Self>) -> Result<Self, ProbeError> {
        let (mut weight, mut bias) = (Vec::new(), Vec::new());
        for one in readouts {
            weight.extend(one.weight.iter().map(|&x| f64::from(x)));
            bias.extend(one.bias.iter().map(|&x| f64::from(x)));
        }
        Self::new(&weight, &bias)
    }

    /// Returns the weights, `[n_out, d_model]`, row-major.
    pub fn weight(&self) -> &[f32] {
        &self.weight
    }

    /// Returns the biases, `[n_out]`.
    pub fn bias(&self) -> &[f32] {
        &self.bias
    }

    /// Returns the number of outputs.
    pub fn n_out(&self) -> usize {
        self.bias.len()
    }

    /// Returns the number of features.
    pub fn d_model(&self) -> usize {
        self.weight.len() / self.bias.len()
    }

    /// Reads the outputs off pooled activations, with sums in `f64`.
    ///
    /// # Shapes
    ///
    /// - `features`: `[n_examples, d_model]`
    /// - returns `[n_examples, n_out]`, row-major
    ///
    /// # Errors
    ///
    /// [`ProbeError::SizeMismatch`] if the features have another width.
    pub fn outputs(&self, features: super::Features<'_>) -> Result<Vec<f32>, ProbeError> {
        let (found, expected) = (features.d_model(), self.d_model());
        if found != expected {
            let what = "the width of the features";
            return Err(ProbeError::SizeMismatch { what, found, expected });
        }
        let output = |row: &[f32], class: usize| {
            let weights = &self.weight[class * expected..][..expected];
            let products = row.iter().zip(weights).map(|(x, w)| f64::from(*x) * f64::from(*w));
            (products.sum::<f64>() + f64::from(self.bias[class])) as f32
        };
        let rows = features.values().chunks_exact(expected);
        Ok(rows.flat_map(|row| (0..self.n_out()).map(move |class| output(row, class))).collect())
    }

    /// The arrays of a [`Linear`] probe.
    pub fn to_state(&self) -> ProbeState {
        let n_out = self.n_out();
        let weight = ParamArray { shape: vec![n_out, self.d_model()], values: self.weight.clone() };
        let bias = ParamArray { shape: vec![n_out], values: self.bias.clone() };
        ProbeState::from([("weight".to_owned(), weight), ("bias".to_owned(), bias)])
    }

    /// As [`to_linear_probe`](Self::to_linear_probe), where the outputs are no classes, but numbers
    /// or several labels.
    pub fn to_output_probe(&self, pool: Pool) -> (ProbeConfig, ProbeState) {
        let config = ProbeConfig::of_outputs(Linear { pool }, self.d_model(), self.n_out());
        (config, self.to_state())
    }

    /// Config and arrays of a [`Linear`] probe of `n_classes` that pools as the
    /// features were pooled: what [`SavedProbe`](crate::SavedProbe) takes.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Hyperparameter`] if `n_classes` is below 2.
    /// - [`ProbeError::ArrayShape`] if the outputs are not those of so many classes: they are
    ///   several labels, or numbers.
    pub fn to_linear_probe(
        &self,
        n_classes: usize,
        pool: Pool,
    ) -> Result<(ProbeConfig, ProbeState), ProbeError> {
        let config = ProbeConfig::new(Linear { pool }, self.d_model(), n_classes);
        let state = self.to_state();
        config.check_state(&state)?;
        Ok((config, state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Features;

    #[test]
    fn outputs_are_dot_products_plus_biases() {
        let readout = LinearReadout::new(&[1.0, 2.0, -1.0, 0.5], &[0.25, 4.0]).unwrap();
        let features = Features::new(&[1.0, 1.0, 2.0, -4.0], 2).unwrap();
        assert_eq!(readout.outputs(features).unwrap(), [3.25, 3.5, -5.75, 0.0]);
        let narrow = Features::new(&[1.0], 1).unwrap();
        assert!(matches!(readout.outputs(narrow), Err(ProbeError::SizeMismatch { .. })));
    }

    #[test]
    fn a_readout_of_several_labels_is_no_classifier() {
        let readout = LinearReadout::new(&[1.0, 2.0, -1.0, 0.5], &[0.25, 4.0]).unwrap();
        let error = readout.to_linear_probe(2, Pool::Mean).unwrap_err();
        assert!(matches!(error, ProbeError::ArrayShape { .. }));
    }

    #[test]
    fn weights_that_do_not_fit_f32_are_refused() {
        let error = LinearReadout::new(&[1e300], &[0.0]).unwrap_err();
        assert!(matches!(error, ProbeError::NonFinite { .. }));
        let error = LinearReadout::new(&[1.0, 2.0, 3.0], &[0.0, 0.0]).unwrap_err();
        assert!(matches!(error, ProbeError::ArrayShape { .. }));
        assert!(LinearReadout::new(&[], &[]).is_err());
    }
}
