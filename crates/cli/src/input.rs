//! What commands that use a saved probe share: its file, its model, and what it says.

use std::collections::BTreeSet;
use std::fmt::{self, Display};
use std::io::ErrorKind;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use anyhow::Result;
use attention_probes_activations::{Component, Place, Task};
use attention_probes_models::{Convention, Dtype, LanguageModel, open_model};
use attention_probes_probes::{AnyProbe, Probe as _, SavedProbe};
use burn::tensor::Device;
use clap::Args;

use crate::chosen::chosen_in;
use crate::exit::InputError;
use crate::hub::hub_access;

/// Flags of [`ModelArgs`] that run a model, which nothing does where there are activations.
pub const MODEL_FLAGS: [&str; 4] = ["model", "layer", "component", "dtype"];

/// Flags about the model that a probe reads.
#[derive(Args, Debug, Default)]
pub struct ModelArgs {
    /// Model, where the probe does not name it; another one than the probe's is refused.
    #[arg(long)]
    pub model: Option<String>,
    /// Layer, where the probe does not name it, or several that stand side by side, as in `0+3`;
    /// another one than the probe's is refused.
    #[arg(long)]
    pub layer: Option<JoinedLayers>,
    /// Component such as `resid_post`, where the probe does not name it.
    #[arg(long)]
    pub component: Option<Component>,
    /// Number format that the model computes in: `f32`, `bf16`, `f16`, or `auto`, which is bf16 on
    /// CUDA and f32 elsewhere.
    #[arg(long, default_value = "auto")]
    pub dtype: Dtype,
    /// Go on although the weights of the model, or those that activations are of, are not those that
    /// the probe was trained on.
    #[arg(long)]
    pub allow_other_revision: bool,
}

/// A model that a probe meets: the one that is run, or the one that activations are of.
pub(crate) struct MetModel<'a> {
    /// Its name, where it is known.
    pub(crate) name: Option<&'a str>,
    /// What tells its versions apart, where it is known.
    pub(crate) revision: Option<&'a str>,
    /// Whether another revision is allowed.
    pub(crate) allows_other_revision: bool,
    /// What to do about a model of another name.
    pub(crate) remedy: &'static str,
}

/// A saved probe, ready to use.
pub struct ProbeFile {
    /// Where it lies.
    pub path: PathBuf,
    /// Weights and metadata.
    pub saved: SavedProbe,
    /// The probe on its device.
    pub probe: AnyProbe,
}

/// The model that a probe reads, and where it reads it.
pub struct ProbedModel {
    /// The model.
    pub model: LanguageModel,
    /// Layers, component, and convention.
    pub place: Place,
}

/// Layers whose activations stand side by side; prints as `0+3`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JoinedLayers(Vec<usize>);

impl FromStr for JoinedLayers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let layers: Option<BTreeSet<usize>> =
            text.split('+').map(|layer| layer.trim().parse().ok()).collect();
        let layers = layers.ok_or("expected a number, or several as in `0+3`")?;
        Ok(Self(layers.into_iter().collect()))
    }
}

impl fmt::Display for JoinedLayers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let layers: Vec<String> = self.0.iter().map(usize::to_string).collect();
        f.write_str(&layers.join("+"))
    }
}

impl ProbeFile {
    /// Reads a probe and puts it on a device; of a folder of results, the probe that validation
    /// chose.
    ///
    /// # Errors
    ///
    /// If the file is no probe, or a damaged one, or if a folder does not stand for one probe.
    pub fn open(path: &Path, device: &Device) -> Result<Self> {
        let path = if path.is_dir() { chosen_in(path)? } else { path.to_owned() };
        let saved = SavedProbe::load(&path)?;
        let probe = saved.to_probe(device)?;
        Ok(Self { path, saved, probe })
    }

    /// Name of the file without `_state.npz`.
    pub fn name(&self) -> String {
        let name = self.path.file_name().unwrap_or_default().to_string_lossy();
        name.strip_suffix("_state.npz").unwrap_or(&name).to_owned()
    }

    /// Names of the classes.
    pub fn class_names(&self) -> &[String] {
        &self.saved.metadata.class_names
    }

    /// Most tokens of a text: what was given, else as many as in training, else `otherwise`; never
    /// more than the model's context.
    pub fn max_tokens(&self, given: Option<NonZeroUsize>, otherwise: usize, n_ctx: usize) -> usize {
        let given = given.map(NonZeroUsize::get).or(self.saved.metadata.max_tokens);
        given.unwrap_or(otherwise).min(n_ctx)
    }

    /// The task that the probe was trained on, about whole texts if the probe does not say.
    ///
    /// # Errors
    ///
    /// [`InputError`] if the metadata names a task that is not known, or leaves out its target.
    pub fn task(&self) -> Result<Task, InputError> {
        let metadata = &self.saved.metadata;
        match (metadata.task.as_deref().unwrap_or("sequence"), metadata.target.clone()) {
            ("sequence", _) => Ok(Task::Sequence),
            ("tokens", _) => Ok(Task::Tokens),
            ("current_token", Some(target)) => Ok(Task::CurrentToken { target }),
            ("next_token", Some(target)) => Ok(Task::NextToken { target }),
            (task, _) => Err(self.wrong(&format!(
                "its task `{task}` is unknown or has no target token; save the probe again"
            ))),
        }
    }

    /// Opens the model that the probe was trained on, and checks that it is that model.
    ///
    /// # Errors
    ///
    /// - [`InputError`] if a flag contradicts the probe, neither says what is needed, or the model
    ///   is another one than the probe's
    /// - whatever [`open_model`] returns
    pub fn open_model(&self, args: &ModelArgs, device: &Device) -> Result<ProbedModel> {
        let place = self.place(args)?;
        let trained_on = self.saved.metadata.model.as_ref();
        let recorded = trained_on.map(|model| model.name.clone());
        // Without a revision to compare, the name is all there is to tell two models apart.
        let name = match (&args.model, trained_on.and_then(|model| model.revision.as_ref())) {
            (Some(flag), Some(_)) => flag.clone(),
            (flag, _) => self.pick("model", flag.clone(), recorded)?,
        };
        let model = open_model(&name, hub_access().as_ref(), (device, args.dtype))?;
        self.check_run(&model, &name, args)?;
        self.check_place(&model, &place)?;
        Ok(ProbedModel { model, place })
    }

    /// Where the probe reads a model that is open already, and checks that it is its model.
    ///
    /// # Errors
    ///
    /// As [`ProbeFile::open_model`].
    pub fn place_in(&self, model: &LanguageModel, args: &ModelArgs) -> Result<Place> {
        let place = self.place(args)?;
        self.check_run(model, &model.name, args)?;
        self.check_place(model, &place)?;
        Ok(place)
    }

    /// Layers, component, and convention.
    fn place(&self, args: &ModelArgs) -> Result<Place> {
        let metadata = &self.saved.metadata;
        if let Some(hook) = &metadata.hook {
            return Err(self
                .wrong(&format!(
                    "it reads hook `{hook}`, which is no component of a layer; give its activations \
                     with `--activations`"
                ))
                .into());
        }
        let recorded = self.layers().map(JoinedLayers);
        let JoinedLayers(layers) = self.pick("layer", args.layer.clone(), recorded)?;
        let component = metadata.component.as_deref().map(str::parse::<Component>).transpose()?;
        let component = self.pick("component", args.component, component)?;
        let convention = self.convention()?.unwrap_or(Convention::Raw);
        Ok(Place::new(layers, component, convention))
    }

    /// The layers that the probe says it reads, ascending.
    fn layers(&self) -> Option<Vec<usize>> {
        let metadata = &self.saved.metadata;
        let layers = metadata.layers.clone().or(metadata.layer.map(|layer| vec![layer]));
        layers.filter(|layers| !layers.is_empty())
    }

    /// Which numbers the probe says it reads.
    ///
    /// # Errors
    ///
    /// [`InputError`] if the metadata names a convention that is not known.
    pub(crate) fn convention(&self) -> Result<Option<Convention>, InputError> {
        let Some(name) = self.saved.metadata.convention.as_deref() else { return Ok(None) };
        Convention::named(name).map(Some).ok_or_else(|| {
            self.wrong(&format!("its convention `{name}` is unknown, save the probe again"))
        })
    }

    /// The hooks that the probe says it reads, one for each layer.
    ///
    /// # Errors
    ///
    /// If the metadata names a component that is not known.
    pub(crate) fn hooks(&self) -> Result<Option<Vec<String>>> {
        let metadata = &self.saved.metadata;
        if let Some(hook) = &metadata.hook {
            return Ok(Some(vec![hook.clone()]));
        }
        let component = metadata.component.as_deref().map(str::parse::<Component>).transpose()?;
        let hooks = self.layers().zip(component).map(|(layers, component)| {
            layers.into_iter().map(|layer| component.hook(layer).to_string()).collect()
        });
        Ok(hooks)
    }

    /// Refuses a model that is run and has other weights than the probe was trained on.
    fn check_run(
        &self,
        model: &LanguageModel,
        name: &str,
        args: &ModelArgs,
    ) -> Result<(), InputError> {
        self.check_model(&MetModel {
            name: Some(name),
            revision: Some(&model.revision),
            allows_other_revision: args.allow_other_revision,
            remedy: "leave out `--model`",
        })
    }

    /// Refuses a model that is not the one that the probe was trained on, as far as both say it.
    ///
    /// # Errors
    ///
    /// [`InputError`] if the revision is another one, or, where one of the two says none, the name.
    pub(crate) fn check_model(&self, met: &MetModel<'_>) -> Result<(), InputError> {
        let Some(trained_on) = &self.saved.metadata.model else { return Ok(()) };
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
            (true, None) => "give `--allow-other-revision` if both are one model",
            (false, _) => "give `--allow-other-revision` to go on",
        };
        let name = met.name.map_or_else(|| "what it meets".to_owned(), |name| format!("`{name}`"));
        let message = match revisions {
            Some((expected, found)) => format!(
                "it was trained on `{recorded}` of revision {}, but {name} is of revision {}",
                short(expected),
                short(found)
            ),
            None => format!("it was trained on `{recorded}`, not on {name}"),
        };
        Err(self.wrong(&format!("it is a probe for another model: {message}; {remedy}")))
    }

    /// Refuses numbers of another convention than the probe reads, as far as both say it.
    ///
    /// # Errors
    ///
    /// [`InputError`] if they differ, or the probe's is not known.
    pub(crate) fn check_convention(
        &self,
        found: Option<Convention>,
        of: &str,
    ) -> Result<(), InputError> {
        match (self.convention()?, found) {
            (Some(expected), Some(found)) if expected != found => Err(self.wrong(&format!(
                "it reads activations of the convention `{expected}`, but those of {of} are \
                 `{found}`; give activations of the convention `{expected}`"
            ))),
            _ => Ok(()),
        }
    }

    /// Refuses a probe whose outputs are no classes.
    ///
    /// # Errors
    ///
    /// [`InputError`] if they are not.
    pub fn check_classes(&self) -> Result<(), InputError> {
        if self.saved.metadata.outputs.are_classes() {
            return Ok(());
        }
        Err(self.wrong(
            "this command needs a classifier; the probe predicts numbers, several labels, or a \
             distribution; use `probe score` or `probe eval`",
        ))
    }

    /// Refuses activations of another width than the probe reads.
    ///
    /// # Errors
    ///
    /// [`InputError`] if the width differs.
    pub fn check_width(&self, d_model: usize, of: &str) -> Result<(), InputError> {
        let expected = self.probe.d_model();
        if d_model == expected {
            return Ok(());
        }
        Err(self.wrong(&format!(
            "it is a probe for another model: it reads activations {expected} wide, but those of \
             {of} are {d_model} wide"
        )))
    }

    /// An error about the probe, which is named first.
    pub fn wrong(&self, message: &str) -> InputError {
        InputError(format!("`{}`: {message}", self.path.display()))
    }

    fn check_place(&self, model: &LanguageModel, place: &Place) -> Result<(), InputError> {
        let shape = model.model.shape();
        if let Some(layer) = place.layers().iter().find(|layer| **layer >= shape.n_layers) {
            return Err(self.wrong(&format!(
                "it is a probe for another model: it reads layer {layer}, but `{}` has {} layers",
                model.name, shape.n_layers
            )));
        }
        self.check_width(place.width(shape), &format!("`{}`", model.name))
    }

    /// What a flag or the probe says, if they agree.
    fn pick<T>(&self, what: &str, flag: Option<T>, recorded: Option<T>) -> Result<T, InputError>
    where
        T: Display + PartialEq,
    {
        match (flag, recorded) {
            (Some(flag), Some(recorded)) if flag != recorded => Err(self.wrong(&format!(
                "`--{what} {flag}` contradicts the probe, which reads {what} `{recorded}`; leave \
                 out the flag"
            ))),
            (Some(value), _) | (None, Some(value)) => Ok(value),
            (None, None) => Err(self.wrong(&format!(
                "it does not say which {what} it reads; give `--{what}`, or its activations with \
                 `--activations`"
            ))),
        }
    }
}

/// Ends quietly where whoever reads stdout has gone, as `head` does.
///
/// # Errors
///
/// Any other error, unchanged.
pub fn ignore_broken_pipe(result: Result<()>) -> Result<()> {
    match result {
        Err(error) if is_broken_pipe(&error) => Ok(()),
        other => other,
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let cause = error.downcast_ref::<std::io::Error>();
    cause.is_some_and(|cause| cause.kind() == ErrorKind::BrokenPipe)
}

/// Whether two revisions are one, of which one may be short, as messages show it.
fn is_same_revision(a: &str, b: &str) -> bool {
    let is_short = |short: &str, long: &str| short.len() >= SHORT && long.starts_with(short);
    a == b || is_short(a, b) || is_short(b, a)
}

/// Characters of a hash that messages show.
const SHORT: usize = 12;

/// The beginning of a hash, enough to tell two apart.
fn short(hash: &str) -> String {
    hash.chars().take(SHORT).collect()
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

    #[test]
    fn layers_that_stand_side_by_side_are_joined_by_a_plus() {
        let parse = |text: &str| text.parse::<JoinedLayers>();
        assert_eq!(parse("3").unwrap().to_string(), "3");
        assert_eq!(parse("3+0").unwrap(), parse("0 + 3").unwrap());
        for text in ["", "+", "0+", "-1", "a", "99999999999999999999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn only_a_broken_pipe_is_quiet() {
        let error = |kind| Err(std::io::Error::from(kind).into());
        assert!(ignore_broken_pipe(error(ErrorKind::BrokenPipe)).is_ok());
        assert!(ignore_broken_pipe(error(ErrorKind::StorageFull)).is_err());
        assert!(ignore_broken_pipe(Err(InputError(String::new()).into())).is_err());
    }
}
