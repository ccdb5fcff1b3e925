//! Parameters of a module as one flat vector, for optimizers that work on plain numbers.

use attention_probes_models::host_values;
use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Gradients, Tensor, TensorData};

use crate::ProbeError;

/// Flattens the parameters of a module, in the order of its fields.
pub(crate) fn params_from_module<M: Module>(module: &M) -> Result<Vec<f32>, ProbeError> {
    let mut visitor = Values { values: Ok(Vec::new()), gradients: None };
    module.visit(&mut visitor);
    visitor.values
}

/// Flattens the gradients of a module, in the order of its fields; 0 where there is none.
pub(crate) fn grads_from_module<M: Module>(
    module: &M,
    gradients: &Gradients,
) -> Result<Vec<f32>, ProbeError> {
    let mut visitor = Values { values: Ok(Vec::new()), gradients: Some(gradients) };
    module.visit(&mut visitor);
    visitor.values
}

/// Says for each flattened parameter whether it belongs to a matrix, and so is no bias.
pub(crate) fn is_matrix<M: Module>(module: &M) -> Vec<bool> {
    let mut visitor = Matrices { values: Vec::new() };
    module.visit(&mut visitor);
    visitor.values
}

/// Replaces the parameters of a module by flattened ones.
///
/// # Panics
///
/// If there are fewer numbers than parameters.
pub(crate) fn module_with_params<M: Module>(module: M, params: &[f32]) -> M {
    module.map(&mut Replace { rest: params })
}

/// Collects parameters, or their gradients if these are given.
struct Values<'a> {
    /// What has been collected, or why it could not be read.
    values: Result<Vec<f32>, ProbeError>,
    gradients: Option<&'a Gradients>,
}

impl ModuleVisitor for Values<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        let Ok(values) = &mut self.values else { return };
        let tensor = param.val();
        let wanted = match self.gradients {
            Some(gradients) => tensor.grad(gradients),
            None => Some(tensor.clone()),
        };
        match wanted.map(host_values) {
            Some(Ok(found)) => values.extend(found),
            Some(Err(error)) => self.values = Err(error.into()),
            None => values.extend(vec![0.0; tensor.shape().num_elements()]),
        }
    }
}

struct Matrices {
    values: Vec<bool>,
}

impl ModuleVisitor for Matrices {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.values.extend(vec![D >= 2; param.val().shape().num_elements()]);
    }
}

struct Replace<'a> {
    rest: &'a [f32],
}

impl ModuleMapper for Replace<'_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| {
            let (values, rest) = self.rest.split_at(tensor.shape().num_elements());
            self.rest = rest;
            let data = TensorData::new(values.to_vec(), tensor.dims());
            Tensor::from_data(data, &tensor.device()).require_grad()
        })
    }
}

#[cfg(test)]
mod tests {
    use burn::tensor::Device;

    use super::*;
    use crate::{LinearProbeConfig, Probe};

    #[test]
    fn parameters_go_out_and_come_back_in_one_order() {
        let device = Device::flex().autodiff();
        let probe = LinearProbeConfig::new(3, 2).init(1, &device).unwrap();
        assert_eq!(params_from_module(&probe).unwrap().len(), 4);
        assert_eq!(is_matrix(&probe), [true, true, true, false]);

        let probe = module_with_params(probe, &[1.0, 2.0, 3.0, 4.0]);
        assert_eq!(params_from_module(&probe).unwrap(), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(probe.state().unwrap()["bias"].values, [4.0]);

        let x = Tensor::<3>::from_data([[[5.0, 6.0, 7.0_f32]]], &device);
        let mask_pad = Tensor::<2>::zeros([1, 1], &device).bool();
        let gradients = probe.forward(x, mask_pad).logits.sum().backward();
        assert_eq!(grads_from_module(&probe, &gradients).unwrap(), [5.0, 6.0, 7.0, 1.0]);
    }
}
