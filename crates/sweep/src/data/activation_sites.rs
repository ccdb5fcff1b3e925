//! Activations that a data set brings: which of their layers are probed, read one at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::OnceLock;

use attention_probes_activations::{
    ActivationOrigin, Component, ExternalActivations, ExternalConfig, ExternalStore, Place,
    TokenizedDataset,
};
use attention_probes_models::Convention;
use attention_probes_probes::{ModelMetadata, ProbeMetadata};

use crate::SweepError;
use crate::config::sweep_config::quartiles;
use crate::config::{ActivationsConfig, DataConfig, HeldOut, Layers};

/// Largest token id that a bag of words counts: no vocabulary is a tenth as large.
const MAX_TOKEN_ID: i64 = 1 << 24;

/// The activations of a data set and of what is held out from it, and what is probed of them.
pub(crate) struct ActivationSites {
    data: ExternalStore,
    validation: Option<ExternalStore>,
    test: Option<ExternalStore>,
    probed: Vec<ProbedSite>,
    /// Names of what is there and not probed.
    idle: Vec<String>,
    /// Found by reading every layer, once.
    left_out: OnceLock<LeftOut>,
}

/// What an experiment reads.
struct ProbedSite {
    /// Layers and component, where the activations say it.
    place: Option<Place>,
    /// Names of the sites whose rows stand side by side.
    names: Vec<String>,
}

/// Rows of each file that are left out at one of the layers, and so at all of them.
#[derive(Clone, Debug, Default)]
pub(crate) struct LeftOut {
    data: BTreeSet<usize>,
    validation: BTreeSet<usize>,
    test: BTreeSet<usize>,
}

/// A file that is held out from another, or the other itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum File {
    Data,
    Validation,
    Test,
}

impl ActivationSites {
    /// Looks into the activations of a data set.
    pub(crate) fn open(
        config: &DataConfig,
        activations: &ActivationsConfig,
    ) -> Result<Self, SweepError> {
        let data = ExternalStore::open(&config.path)?;
        let held_out = |held_out: &HeldOut| held_out.file().map(ExternalStore::open).transpose();
        let (validation, test) = (held_out(&config.validation)?, held_out(&config.test)?);
        for other in validation.iter().chain(&test) {
            check_origin(&data, other)?;
        }
        let probed = probed_sites(&data, config.hook.as_deref(), activations)?;
        let is_probed = |name: &String| probed.iter().any(|site| site.names.contains(name));
        let names = data.sites().iter().map(|site| site.name.clone());
        let idle = match config.hook {
            Some(_) => Vec::new(),
            None => names.filter(|name| !is_probed(name)).collect(),
        };
        Ok(Self { data, validation, test, probed, idle, left_out: OnceLock::new() })
    }

    /// Number of experiments.
    pub(crate) fn len(&self) -> usize {
        self.probed.len()
    }

    /// Where each experiment reads; empty if the activations do not say it.
    pub(crate) fn places(&self) -> Vec<Place> {
        self.probed.iter().filter_map(|site| site.place.clone()).collect()
    }

    /// Whether other activations may be of the same model.
    pub(crate) fn may_be_of_model(&self, other: &Self) -> bool {
        difference(self.data.origin(), other.data.origin()).is_none()
    }

    /// Names of sites that no experiment reads.
    pub(crate) fn idle(&self) -> &[String] {
        &self.idle
    }

    /// Name of what the experiment at a place reads, where it is one site.
    pub(crate) fn hook_at(&self, place: Option<&Place>) -> Option<&str> {
        let site = self.probed.iter().find(|site| site.place.as_ref() == place)?;
        let [name] = &site.names[..] else { return None };
        let is_hook = |name: &&String| {
            self.data.sites().iter().any(|site| site.is_hook && site.name == **name)
        };
        Some(name).filter(is_hook).map(String::as_str)
    }

    /// Rows to leave out, so that all layers have the same examples; where there is one, its reader
    /// leaves them out.
    pub(crate) fn left_out(&self, config: &DataConfig) -> Result<&LeftOut, SweepError> {
        if let Some(left_out) = self.left_out.get() {
            return Ok(left_out);
        }
        let mut left_out = LeftOut::default();
        let sites = if self.len() == 1 { 0..0 } else { 0..self.len() };
        for site in sites {
            for file in [File::Data, File::Validation, File::Test] {
                if let Some(found) = self.read(file, site, config, &LeftOut::default())? {
                    left_out.of_mut(file).extend(found.skipped);
                }
            }
        }
        Ok(self.left_out.get_or_init(|| left_out))
    }

    /// Reads what an experiment needs of a file, if there is such a file.
    pub(crate) fn read(
        &self,
        file: File,
        site: usize,
        config: &DataConfig,
        left_out: &LeftOut,
    ) -> Result<Option<ExternalActivations>, SweepError> {
        let store = match file {
            File::Data => Some(&self.data),
            File::Validation => self.validation.as_ref(),
            File::Test => self.test.as_ref(),
        };
        let Some(store) = store else { return Ok(None) };
        let reading = ExternalConfig {
            hook: None,
            with_labels: true,
            label_kind: config.label_kind(),
            pad_token_id: config.pad_token_id,
            left_out: left_out.of(file).clone(),
        };
        let find = |name: &String| {
            let knows = |store: &ExternalStore| store.sites().iter().any(|site| site.is_hook);
            // Where one of two sites does not say what it is, there is nothing to find it by.
            let is_told = knows(&self.data) && (knows(store) || self.len() > 1);
            let is_told = is_told || config.hook.is_some();
            store.choose(Some(name.as_str()).filter(|_| is_told))
        };
        let sites = self.probed[site].names.iter().map(find).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(store.read(&sites, &reading)?))
    }

    /// Fills in what the activations say about where they are from.
    pub(crate) fn describe(&self, metadata: &mut ProbeMetadata) {
        let ActivationOrigin { model, revision, convention, max_tokens, .. } = self.data.origin();
        metadata.model =
            model.clone().map(|name| ModelMetadata { name, revision: revision.clone() });
        metadata.convention = convention.map(|convention| convention.to_string());
        metadata.max_tokens = *max_tokens;
        if model.is_some() {
            metadata.task = Some("sequence".to_owned());
        }
        if let [ProbedSite { place: None, .. }] = &self.probed[..] {
            metadata.hook = self.hook_at(None).map(str::to_owned);
        }
    }
}

impl LeftOut {
    fn of(&self, file: File) -> &BTreeSet<usize> {
        match file {
            File::Data => &self.data,
            File::Validation => &self.validation,
            File::Test => &self.test,
        }
    }

    fn of_mut(&mut self, file: File) -> &mut BTreeSet<usize> {
        match file {
            File::Data => &mut self.data,
            File::Validation => &mut self.validation,
            File::Test => &mut self.test,
        }
    }
}

/// Tokens of activations that bring their ids; `None` if there are none, or none that can be
/// counted.
pub(crate) fn tokens_of(external: &ExternalActivations) -> Option<TokenizedDataset> {
    let ids = external.input_ids.as_ref()?;
    let id = |&id: &i64| u32::try_from(id).ok().filter(|_| id < MAX_TOKEN_ID);
    let ids: Vec<u32> = ids.iter().map(id).collect::<Option<_>>()?;
    let sequences: Vec<&[u32]> =
        external.offsets.windows(2).map(|pair| &ids[pair[0]..pair[1]]).collect();
    Some(TokenizedDataset::from_sequences(&sequences))
}

/// The hook that is named, the only one, or every component of a layer, by component and then by
/// layer.
fn probed_sites(
    store: &ExternalStore,
    hook: Option<&str>,
    config: &ActivationsConfig,
) -> Result<Vec<ProbedSite>, SweepError> {
    let convention = store.origin().convention.unwrap_or(Convention::Raw);
    let mut by_component: BTreeMap<Component, BTreeMap<usize, String>> = BTreeMap::new();
    for site in store.sites().iter().filter(|site| !site.is_pairs) {
        if let Some((layer, component)) = site.place {
            by_component.entry(component).or_default().insert(layer, site.name.clone());
        }
    }
    if hook.is_some() || store.sites().len() == 1 || by_component.is_empty() {
        let site = &store.sites()[store.choose(hook)?];
        let place = site.place.map(|(layer, component)| Place::new([layer], component, convention));
        return Ok(vec![ProbedSite { place, names: vec![site.name.clone()] }]);
    }
    let mut probed = Vec::new();
    for (component, by_layer) in by_component {
        let there: Vec<usize> = by_layer.keys().copied().collect();
        let layers = chosen(&there, &config.layers, store.path())?;
        let names: Vec<String> = layers.iter().map(|layer| by_layer[layer].clone()).collect();
        if config.concat {
            let place = Some(Place::new(layers, component, convention));
            probed.push(ProbedSite { place, names });
            continue;
        }
        let one = |(layer, name)| ProbedSite {
            place: Some(Place::new([layer], component, convention)),
            names: vec![name],
        };
        probed.extend(layers.into_iter().zip(names).map(one));
    }
    Ok(probed)
}

/// Layers of a choice among those that are there.
fn chosen(there: &[usize], layers: &Layers, path: &Path) -> Result<Vec<usize>, SweepError> {
    match layers {
        Layers::Word(word) if word == "auto" => {
            let indices: BTreeSet<usize> = quartiles(there.len()).collect();
            Ok(indices.into_iter().map(|index| there[index]).collect())
        }
        Layers::Word(_) => Ok(there.to_vec()),
        Layers::One(layer) => Ok(vec![layer_of(*layer, there, path)?]),
        Layers::List(layers) => {
            let layers = layers.iter().map(|&layer| layer_of(layer, there, path));
            Ok(layers.collect::<Result<BTreeSet<_>, _>>()?.into_iter().collect())
        }
    }
}

/// A layer that is there, counted from the last of them where it is negative.
fn layer_of(layer: i64, there: &[usize], path: &Path) -> Result<usize, SweepError> {
    let found = if let Ok(layer) = usize::try_from(layer) {
        there.contains(&layer).then_some(layer)
    } else {
        let index = there.len() as i64 + layer.max(-(1 << 32));
        usize::try_from(index).ok().and_then(|index| there.get(index).copied())
    };
    found.ok_or_else(|| SweepError::LayerNotThere {
        path: path.to_owned(),
        layer,
        layers: there.to_vec(),
    })
}

/// Refuses activations held out of another model than those that are trained on.
fn check_origin(data: &ExternalStore, other: &ExternalStore) -> Result<(), SweepError> {
    match difference(data.origin(), other.origin()) {
        None => Ok(()),
        Some((what, expected, found)) => {
            let path = other.path().to_owned();
            Err(SweepError::OtherOrigin { path, what, found, expected })
        }
    }
}

/// What differs of the models that activations are of, and how, as far as both say it.
fn difference(
    expected: &ActivationOrigin,
    found: &ActivationOrigin,
) -> Option<(&'static str, String, String)> {
    let convention = |origin: &ActivationOrigin| origin.convention.map(|one| one.to_string());
    let names = (expected.model.clone(), found.model.clone());
    let revisions = (expected.revision.clone(), found.revision.clone());
    let parts = [
        // Two names may be of one model, which its revision tells.
        ("model", if revisions.0.is_some() && revisions.1.is_some() { revisions } else { names }),
        ("convention", (convention(expected), convention(found))),
    ];
    parts.into_iter().find_map(|(what, pair)| match pair {
        (Some(expected), Some(found)) if expected != found => Some((what, expected, found)),
        _ => None,
    })
}
