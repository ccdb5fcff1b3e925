//! Stored activations, each probe's own place of them.

use std::collections::BTreeSet;

use attention_probes_activations::{ExternalActivations, ExternalConfig, ExternalStore, LabelKind};

use super::error::{ApplyError, ModelRemedy};
use super::probe_file::ProbeFile;
use super::site::MetModel;
use crate::ProbeError;

/// Stored activations that probes read.
#[derive(Clone, Debug, PartialEq)]
pub struct ProbedActivations {
    /// At every place that some probe reads; each has the same examples.
    pub places: Vec<ExternalActivations>,
    /// The place of each probe, an index into the others.
    pub of_probe: Vec<usize>,
}

/// What probes read of stored activations.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProbedConfig {
    /// Which hook, where the probe does not say it; or `<model>_<layer>` of a MOSAIC folder.
    /// Default none: the one of the probe, or the only one.
    pub hook: Option<String>,
    /// What the labels are. Default none: labels are not read.
    pub labels: Option<LabelKind>,
    /// Token whose run at either end of an example of a MOSAIC folder is padding. Default none.
    pub pad_token_id: Option<u32>,
    /// Go on although the activations are of other weights than the probe was trained on. Default
    /// false.
    pub allow_other_revision: bool,
}

impl ProbedActivations {
    /// Reads the activations that each probe reads; refuses those that are not what a probe was
    /// trained on.
    ///
    /// A row that one place lacks is left out at all of them.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::InFile`] of [`SavedProbe::check_model`], [`SavedProbe::check_convention`], or
    ///   [`SavedProbe::check_width`]; of [`ApplyError::MissingHook`] or
    ///   [`ApplyError::Contradiction`] if the probe reads another hook
    /// - [`ProbeError::Activation`] if the activations cannot be read
    ///
    /// # Memory
    ///
    /// As [`ExternalStore::read`], for each place.
    ///
    /// [`SavedProbe::check_model`]: crate::SavedProbe::check_model
    /// [`SavedProbe::check_convention`]: crate::SavedProbe::check_convention
    /// [`SavedProbe::check_width`]: crate::SavedProbe::check_width
    pub fn read(
        store: &ExternalStore,
        probes: &[ProbeFile],
        config: &ProbedConfig,
    ) -> Result<Self, ProbeError> {
        let shown = format!("`{}`", store.path().display());
        let (mut places, mut of_probe): (Vec<Vec<usize>>, Vec<usize>) = (Vec::new(), Vec::new());
        for probe in probes {
            let sites = sites_of(probe, store, config).map_err(|error| probe.in_file(error))?;
            let known = places.iter().position(|place| *place == sites);
            of_probe.push(known.unwrap_or(places.len()));
            if known.is_none() {
                places.push(sites);
            }
        }
        let mut external = ExternalConfig {
            hook: None,
            with_labels: config.labels.is_some(),
            label_kind: config.labels.unwrap_or_default(),
            pad_token_id: config.pad_token_id,
            left_out: BTreeSet::new(),
        };
        let read = |config: &ExternalConfig| {
            let places = places.iter().map(|sites| store.read(sites, config));
            places
                .collect::<Result<Vec<_>, _>>()
                .map_err(|source| ProbeError::Activation { source })
        };
        let mut found = read(&external)?;
        // A row that one place lacks is left out at all of them.
        external.left_out = found.iter().flat_map(|place| &place.skipped).copied().collect();
        if found.iter().any(|place| place.skipped.len() < external.left_out.len()) {
            found = read(&external)?;
        }
        for (probe, &place) in probes.iter().zip(&of_probe) {
            let width = probe.saved.check_width(found[place].d_model, &shown);
            width.map_err(|error| probe.in_file(error))?;
        }
        Ok(Self { places: found, of_probe })
    }
}

/// The sites that a probe reads: those that it says, unless it leaves them open or the activations
/// do not say what they are.
fn sites_of(
    probe: &ProbeFile,
    store: &ExternalStore,
    config: &ProbedConfig,
) -> Result<Vec<usize>, ProbeError> {
    let shown = format!("`{}`", store.path().display());
    let origin = store.origin();
    probe.saved.check_model(&MetModel {
        name: origin.model.as_deref(),
        revision: origin.revision.as_deref(),
        allows_other_revision: config.allow_other_revision,
        remedy: ModelRemedy::GiveOwn,
    })?;
    probe.saved.check_convention(origin.convention, &shown)?;
    let of_probe = probe.saved.hooks()?;
    let given = config.hook.as_deref();
    let is_told = store.sites().iter().any(|site| site.is_hook);
    let Some(hooks) = of_probe.filter(|_| is_told) else {
        let site = store.choose(given).map_err(|source| ProbeError::Activation { source })?;
        return Ok(vec![site]);
    };
    if let Some(given) = given
        && hooks != [given]
    {
        let given = given.to_owned();
        return Err(ApplyError::Contradiction { what: "hook", given, recorded: hooks }.into());
    }
    let site = |hook: String| {
        store.sites().iter().position(|site| site.name == hook).ok_or_else(|| {
            let hooks = store.sites().iter().map(|site| site.name.clone()).collect();
            ApplyError::MissingHook { hook, of: shown.clone(), hooks }.into()
        })
    };
    hooks.into_iter().map(site).collect()
}
