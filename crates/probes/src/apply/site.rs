//! Where a saved probe reads: model, layers, component, hooks, convention, and task.

use attention_probes_activations::{Component, Place, Task};
use attention_probes_models::{Convention, Dtype, HubAccess, LanguageModel, open_model};
use burn::tensor::Device;

use super::error::{ApplyError, ModelRemedy, OtherModel, SHORT};
use crate::{ModelMetadata, ProbeError, ProbeMetadata, SavedProbe};

/// What a caller says of the model of a probe, where the probe does not say it.
///
/// What contradicts the probe is refused.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ModelChoice {
    /// The model, by a name that [`open_model`] knows.
    pub model: Option<String>,
    /// The layers, ascending; their activations stand side by side if they are several.
    pub layers: Option<Vec<usize>>,
    /// The part of each layer.
    pub component: Option<Component>,
    /// Number format that the model computes in. Default [`Dtype::Auto`].
    pub dtype: Dtype,
    /// Go on although the weights of the model are not those that the probe was trained on.
    /// Default false.
    pub allow_other_revision: bool,
}

/// A model that a probe meets: the one that is run, or the one that activations are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetModel<'a> {
    /// Its name, where it is known.
    pub name: Option<&'a str>,
    /// What tells its versions apart, where it is known.
    pub revision: Option<&'a str>,
    /// Whether another revision is allowed.
    pub allows_other_revision: bool,
    /// What to do about a model of another name.
    pub remedy: ModelRemedy,
}

/// The model that a probe reads, and where it reads it.
pub struct ProbedModel {
    /// The model.
    pub model: LanguageModel,
    /// Layers, component, and convention.
    pub place: Place,
    /// Device of the model.
    pub device: Device,
}

impl ProbeMetadata {
    /// Says which model the probe reads, and where: all that [`SavedProbe::open_model`] asks for.
    #[must_use]
    pub fn with_place(self, model: &LanguageModel, place: &Place) -> Self {
        let (name, revision) = (model.name.clone(), Some(model.revision.clone()));
        Self { model: Some(ModelMetadata { name, revision }), ..self.reading(place) }
    }

    /// Says where in its model the probe reads.
    #[must_use]
    pub(crate) fn reading(self, place: &Place) -> Self {
        let convention = place.sites().first().map(|site| site.convention.to_string());
        Self {
            layer: place.layer(),
            layers: place.layer().is_none().then(|| place.layers().to_vec()),
            component: Some(place.component().to_string()),
            convention,
            ..self
        }
    }
}

impl SavedProbe {
    /// Where the probe reads its model, as it says itself.
    ///
    /// # Errors
    ///
    /// As [`SavedProbe::place_with`], with nothing given.
    pub fn place(&self) -> Result<Place, ProbeError> {
        self.place_with(&ModelChoice::default())
    }

    /// Where the probe reads its model, by what it says and what is given.
    ///
    /// # Errors
    ///
    /// - [`ApplyError::Hook`] if it reads a hook that is no component of a layer
    /// - [`ApplyError::Unsaid`] if neither says the layer or the component
    /// - [`ApplyError::Contradiction`] if both do, and differ
    /// - [`ApplyError::Convention`] if its convention is not known
    /// - [`ProbeError::Activation`] if its component is not known
    pub fn place_with(&self, given: &ModelChoice) -> Result<Place, ProbeError> {
        if let Some(hook) = &self.metadata.hook {
            return Err(ApplyError::Hook { hook: hook.clone() }.into());
        }
        let shown =
            |layers: &Vec<usize>| layers.iter().map(usize::to_string).collect::<Vec<_>>().join("+");
        let layers = pick("layer", (given.layers.clone(), self.layers()), shown)?;
        let components = (given.component, self.component()?);
        let component = pick("component", components, ToString::to_string)?;
        let convention = self.convention()?.unwrap_or(Convention::Raw);
        Ok(Place::new(layers, component, convention))
    }

    /// The layers that the probe says it reads, ascending; several stand side by side.
    pub fn layers(&self) -> Option<Vec<usize>> {
        let layers = self.metadata.layers.clone();
        let layers = layers.or(self.metadata.layer.map(|layer| vec![layer]));
        layers.filter(|layers| !layers.is_empty())
    }

    /// The part of a layer that the probe says it reads.
    ///
    /// # Errors
    ///
    /// [`ProbeError::Activation`] if the metadata names a component that is not known.
    pub fn component(&self) -> Result<Option<Component>, ProbeError> {
        let component = self.metadata.component.as_deref().map(str::parse).transpose();
        component.map_err(|source| ProbeError::Activation { source })
    }

    /// Which numbers the probe says it reads.
    ///
    /// # Errors
    ///
    /// [`ApplyError::Convention`] if the metadata names a convention that is not known.
    pub fn convention(&self) -> Result<Option<Convention>, ProbeError> {
        let Some(name) = self.metadata.convention.as_deref() else { return Ok(None) };
        let convention = Convention::named(name);
        let unknown = || ApplyError::Convention { name: name.to_owned() };
        Ok(Some(convention.ok_or_else(unknown)?))
    }

    /// The hooks that the probe says it reads, whose values stand side by side: one for each layer.
    ///
    /// # Errors
    ///
    /// As [`SavedProbe::component`].
    pub fn hooks(&self) -> Result<Option<Vec<String>>, ProbeError> {
        if let Some(hook) = &self.metadata.hook {
            return Ok(Some(vec![hook.clone()]));
        }
        let hooks = self.layers().zip(self.component()?).map(|(layers, component)| {
            layers.into_iter().map(|layer| component.hook(layer).to_string()).collect()
        });
        Ok(hooks)
    }

    /// The task that the probe was trained on, about whole texts if the probe does not say.
    ///
    /// # Errors
    ///
    /// [`ApplyError::Task`] if the metadata names a task that is not known, or leaves out its
    /// target.
    pub fn task(&self) -> Result<Task, ProbeError> {
        let task = self.metadata.task.as_deref().unwrap_or("sequence");
        match (task, self.metadata.target.clone()) {
            ("sequence", _) => Ok(Task::Sequence),
            ("tokens", _) => Ok(Task::Tokens),
            ("current_token", Some(target)) => Ok(Task::CurrentToken { target }),
            ("next_token", Some(target)) => Ok(Task::NextToken { target }),
            (task, _) => Err(ApplyError::Task { task: task.to_owned() }.into()),
        }
    }

    /// Most tokens of a text: what was given, else as many as in training, else `otherwise`; never
    /// more than the model's context.
    pub fn max_tokens(&self, given: Option<usize>, otherwise: usize, n_ctx: usize) -> usize {
        given.or(self.metadata.max_tokens).unwrap_or(otherwise).min(n_ctx)
    }

    /// Opens the model that the probe was trained on, and checks that it is that model.
    ///
    /// # Errors
    ///
    /// - as [`SavedProbe::place_with`], and [`ApplyError::Unsaid`] or
    ///   [`ApplyError::Contradiction`] about the model
    /// - as [`SavedProbe::place_in`]
    /// - [`ProbeError::Model`] with whatever [`open_model`] returns
    ///
    /// # Memory
    ///
    /// As [`open_model`].
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::{Component, Place};
    /// use attention_probes::models::{Convention, open_model};
    /// use attention_probes::probes::{
    ///     Linear, ModelChoice, ProbeConfig, ProbeMetadata, SavedProbe,
    /// };
    /// use burn::tensor::Device;
    ///
    /// let device = Device::default();
    /// let model = open_model("demo-gpt2", None, &device)?;
    /// let place = Place::new([1, 3], Component::ResidPost, Convention::Raw);
    /// let width = place.width(model.model.shape());
    /// let config = ProbeConfig::new(Linear::default(), width, 2);
    /// let classes = vec!["no".to_owned(), "yes".to_owned()];
    /// let metadata = ProbeMetadata::new(config.clone(), classes).with_place(&model, &place);
    /// let saved = SavedProbe { state: config.init_state(1), metadata };
    ///
    /// assert_eq!(saved.place()?, place);
    /// let hooks = saved.hooks()?.unwrap_or_default();
    /// assert_eq!(hooks, ["blocks.1.hook_resid_post", "blocks.3.hook_resid_post"]);
    /// let probed = saved.open_model(&ModelChoice::default(), None, &device)?;
    /// assert_eq!(probed.model.name, "demo-gpt2");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_model(
        &self,
        given: &ModelChoice,
        hub: Option<&HubAccess>,
        device: &Device,
    ) -> Result<ProbedModel, ProbeError> {
        // What can be refused is refused before a model is opened.
        self.place_with(given)?;
        let trained_on = self.metadata.model.as_ref();
        let recorded = trained_on.map(|model| model.name.clone());
        // Without a revision to compare, the name is all there is to tell two models apart.
        let name = match (&given.model, trained_on.and_then(|model| model.revision.as_ref())) {
            (Some(name), Some(_)) => name.clone(),
            (name, _) => pick("model", (name.clone(), recorded), String::clone)?,
        };
        let model = open_model(&name, hub, (device, given.dtype));
        let model = model.map_err(|source| ProbeError::Model { source })?;
        let place = self.place_in(&model, given)?;
        Ok(ProbedModel { model, place, device: device.clone() })
    }

    /// Where the probe reads a model that is open already, and checks that it is its model.
    ///
    /// # Errors
    ///
    /// - as [`SavedProbe::place_with`] and [`SavedProbe::check_model`]
    /// - [`ApplyError::Layer`] if the model does not have a layer
    /// - [`ApplyError::Width`] if its activations are not as wide as the probe reads
    pub fn place_in(
        &self,
        model: &LanguageModel,
        given: &ModelChoice,
    ) -> Result<Place, ProbeError> {
        let place = self.place_with(given)?;
        self.check_model(&MetModel {
            name: Some(&model.name),
            revision: Some(&model.revision),
            allows_other_revision: given.allow_other_revision,
            remedy: ModelRemedy::RunOwn,
        })?;
        let shape = model.model.shape();
        if let Some(&layer) = place.layers().iter().find(|layer| **layer >= shape.n_layers) {
            let (model, n_layers) = (model.name.clone(), shape.n_layers);
            return Err(ApplyError::Layer { layer, model, n_layers }.into());
        }
        self.check_width(place.width(shape), &format!("`{}`", model.name))?;
        Ok(place)
    }

    /// Refuses a model that is not the one that the probe was trained on, as far as both say it.
    ///
    /// Of two revisions one may be short, 12 characters and more.
    ///
    /// # Errors
    ///
    /// [`ApplyError::OtherModel`] if the revision is another one, or, where one of the two says
    /// none, the name.
    pub fn check_model(&self, met: &MetModel<'_>) -> Result<(), ProbeError> {
        let Some(trained_on) = &self.metadata.model else { return Ok(()) };
        let recorded = trained_on.name.as_str();
        let is_other_name = met.name.is_some_and(|name| name != recorded);
        let revisions = trained_on.revision.as_deref().zip(met.revision);
        let is_other =
            revisions.map_or(is_other_name, |(expected, found)| !is_same_revision(expected, found));
        let is_allowed = met.allows_other_revision && (!is_other_name || revisions.is_none());
        if !is_other || is_allowed {
            return Ok(());
        }
        let remedy = match (is_other_name, revisions) {
            (true, Some(_)) => met.remedy,
            (true, None) => ModelRemedy::SameModel,
            (false, _) => ModelRemedy::GoOn,
        };
        Err(ApplyError::OtherModel(OtherModel {
            recorded: recorded.to_owned(),
            met: met.name.map(str::to_owned),
            revisions: revisions.map(|(expected, found)| (expected.to_owned(), found.to_owned())),
            remedy,
        })
        .into())
    }

    /// Refuses numbers of another convention than the probe reads, as far as both say it; `of` says
    /// in words whose they are.
    ///
    /// # Errors
    ///
    /// - [`ApplyError::OtherConvention`] if they differ
    /// - as [`SavedProbe::convention`]
    pub fn check_convention(&self, found: Option<Convention>, of: &str) -> Result<(), ProbeError> {
        match (self.convention()?, found) {
            (Some(expected), Some(found)) if expected != found => {
                Err(ApplyError::OtherConvention { expected, found, of: of.to_owned() }.into())
            }
            _ => Ok(()),
        }
    }

    /// Refuses activations of another width than the probe reads; `of` says in words whose they
    /// are.
    ///
    /// # Errors
    ///
    /// [`ApplyError::Width`] if the width differs.
    pub fn check_width(&self, d_model: usize, of: &str) -> Result<(), ProbeError> {
        let expected = self.config().d_model();
        if d_model == expected {
            return Ok(());
        }
        Err(ApplyError::Width { expected, found: d_model, of: of.to_owned() }.into())
    }

    /// Refuses a probe whose outputs are no classes.
    ///
    /// # Errors
    ///
    /// [`ProbeError::NotClasses`] if they are not.
    pub fn check_classes(&self) -> Result<(), ProbeError> {
        if self.metadata.outputs.are_classes() { Ok(()) } else { Err(ProbeError::NotClasses) }
    }
}

/// What the caller or the probe says, if they agree.
fn pick<T: PartialEq>(
    what: &'static str,
    (given, recorded): (Option<T>, Option<T>),
    shown: impl Fn(&T) -> String,
) -> Result<T, ApplyError> {
    match (given, recorded) {
        (Some(given), Some(recorded)) if given != recorded => Err(ApplyError::Contradiction {
            what,
            given: shown(&given),
            recorded: vec![shown(&recorded)],
        }),
        (Some(value), _) | (None, Some(value)) => Ok(value),
        (None, None) => Err(ApplyError::Unsaid { what }),
    }
}

/// Whether two revisions are one, of which one may be short, as messages show it.
fn is_same_revision(a: &str, b: &str) -> bool {
    let is_short = |short: &str, long: &str| short.len() >= SHORT && long.starts_with(short);
    a == b || is_short(a, b) || is_short(b, a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_revision_may_be_short() {
        let whole = "8c45088225b2d1e0";
        assert!(is_same_revision(whole, &whole[..12]) && is_same_revision(&whole[..13], whole));
        assert!(!is_same_revision(whole, &whole[..11]) && !is_same_revision("", whole));
    }

    fn saved(layers: &[usize]) -> SavedProbe {
        let config = crate::ProbeConfig::new(crate::Linear::default(), 3, 2);
        let classes = vec!["no".to_owned(), "yes".to_owned()];
        let metadata = ProbeMetadata {
            model: Some(ModelMetadata { name: "small".to_owned(), revision: None }),
            layers: Some(layers.to_vec()),
            component: Some("resid_post".to_owned()),
            ..ProbeMetadata::new(config.clone(), classes)
        };
        SavedProbe { state: config.init_state(1), metadata }
    }

    #[test]
    fn what_is_given_fills_gaps_and_contradicts_nothing() {
        let mut probe = saved(&[0, 2]);
        let place = probe.place().unwrap();
        assert_eq!(place.layers(), [0, 2]);
        let hooks = ["blocks.0.hook_resid_post", "blocks.2.hook_resid_post"].map(str::to_owned);
        assert_eq!(probe.hooks().unwrap().unwrap(), hooks);
        let given = ModelChoice { layers: Some(vec![1]), ..ModelChoice::default() };
        let error = probe.place_with(&given).unwrap_err().to_string();
        assert!(error.starts_with("layer `1` contradicts the probe, which reads `0+2`"), "{error}");

        probe.metadata.layers = None;
        let error = probe.place().unwrap_err().to_string();
        assert!(error.starts_with("it does not say which layer it reads"), "{error}");
        assert_eq!(probe.place_with(&given).unwrap().layer(), Some(1));
        probe.metadata.hook = Some("hook_embed".to_owned());
        assert_eq!(probe.hooks().unwrap().unwrap(), ["hook_embed"]);
        assert!(probe.place_with(&given).unwrap_err().to_string().contains("`hook_embed`"));
    }

    #[test]
    fn a_model_is_told_by_its_revision_or_else_by_its_name() {
        let mut probe = saved(&[0]);
        let check = |probe: &SavedProbe, name, revision, allows_other_revision| {
            let remedy = ModelRemedy::GiveOwn;
            let met = MetModel { name, revision, allows_other_revision, remedy };
            probe.check_model(&met).map_err(|error| error.to_string())
        };
        check(&probe, Some("small"), Some("0123"), false).unwrap();
        check(&probe, None, None, false).unwrap();
        let error = check(&probe, Some("large"), None, false).unwrap_err();
        assert!(error.ends_with("not on `large`; allow another revision if both are one model"));
        check(&probe, Some("large"), None, true).unwrap();

        let model = probe.metadata.model.as_mut().unwrap();
        model.revision = Some("0123456789abcdef".to_owned());
        check(&probe, Some("another name"), Some("0123456789ab"), false).unwrap();
        let error = check(&probe, Some("small"), Some("ffff"), false).unwrap_err();
        assert!(error.ends_with("`small` is of revision ffff; allow another revision to go on"));
        check(&probe, Some("small"), Some("ffff"), true).unwrap();
        let error = check(&probe, Some("large"), Some("ffff"), true).unwrap_err();
        assert!(error.ends_with("; give activations of the probe's model"), "{error}");
    }
}
