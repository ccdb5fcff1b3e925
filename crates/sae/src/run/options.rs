//! How a run is made on this machine.

use attention_probes_activations::EarlierRun;
use attention_probes_models::{HubAccess, LanguageModel, LoadOptions, Placement, open_model};
use burn::tensor::Device;

use super::config::RunModel;
use crate::SaeError;
use crate::follow::Follow;

/// How a run is made on this machine.
#[derive(Clone, Debug)]
pub struct SaeRunOptions<'a> {
    /// Where the model runs.
    pub device: &'a Device,
    /// Where models and data sets of the Hub are looked for; without it, a model is embedded or a
    /// directory.
    pub hub: Option<&'a HubAccess>,
    /// What becomes of an earlier run. By default the new one is refused. One that is overwritten is
    /// removed once everything is checked, and nothing else of its folder.
    pub earlier: EarlierRun,
    /// Memory that the process may have, in bytes; a run that needs more is refused. Without it,
    /// nothing is.
    pub memory_bytes: Option<u64>,
    /// Who follows the run, and may end it.
    pub follow: Follow<'a>,
}

impl<'a> SaeRunOptions<'a> {
    /// A new run on a device, which nobody follows.
    pub fn new(device: &'a Device) -> Self {
        Self {
            device,
            hub: None,
            earlier: EarlierRun::Refuse,
            memory_bytes: None,
            follow: Follow::default(),
        }
    }
}

/// Opens the model that a configuration names; the signal of the options stops it.
pub(crate) fn open_run_model(
    model: &RunModel,
    options: &SaeRunOptions<'_>,
) -> Result<LanguageModel, SaeError> {
    let placement = Placement { device: options.device.clone(), dtype: model.dtype };
    let load = LoadOptions::from(placement).with_stop(options.follow.stop.clone());
    Ok(open_model(&model.name, options.hub, load)?)
}
