//! What commands that use a saved probe share: its file, its model, and errors about them.

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;
use std::str::FromStr;

use anyhow::Result;
use attention_probes_activations::Component;
use attention_probes_cli::exit::InputError;
use attention_probes_errors::listed;
use attention_probes_models::Dtype;
use attention_probes_probes::{
    ApplyError, ModelChoice, ModelRemedy, ProbeError, ProbeFile, label_separator,
};
use attention_probes_sweep::ChosenProbe;
use burn::tensor::Device;
use clap::Args;
use tracing::info;

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

impl ModelArgs {
    /// What the flags say of the model.
    pub(crate) fn choice(&self) -> ModelChoice {
        ModelChoice {
            model: self.model.clone(),
            layers: self.layer.clone().map(|JoinedLayers(layers)| layers),
            component: self.component,
            dtype: self.dtype,
            allow_other_revision: self.allow_other_revision,
        }
    }
}

/// Reads a probe and puts it on a device; of a folder of results, the probe that validation chose.
///
/// # Errors
///
/// If the file is no probe, or a damaged one, or if a folder does not stand for one probe.
pub fn open_probe(path: &Path, device: &Device) -> Result<ProbeFile> {
    if !path.is_dir() {
        return Ok(ProbeFile::open(path, device)?);
    }
    let ChosenProbe { file, experiment, config_name, n_architectures } = ChosenProbe::find(path)?;
    let of = if n_architectures > 1 {
        format!(", which validation chose of {n_architectures} architectures")
    } else {
        String::new()
    };
    let (folder, shown) = (path.display(), file.display());
    info!("`{folder}`: probe `{config_name}` of `{experiment}`{of}: {shown}");
    Ok(ProbeFile::open(&file, device)?)
}

/// An error about the probe, which is named first.
pub(crate) fn wrong(file: &ProbeFile, message: &str) -> InputError {
    InputError(format!("`{}`: {message}", file.path.display()))
}

/// An error about a saved probe, with the flags that mend it.
pub(crate) fn with_flags(error: ProbeError) -> anyhow::Error {
    match error {
        ProbeError::Apply { source } => InputError(flags_of(&source)).into(),
        ProbeError::InFile { path, source } => match *source {
            ProbeError::Apply { source } => {
                InputError(format!("`{}`: {}", path.display(), flags_of(&source))).into()
            }
            ProbeError::NotClasses => InputError(format!(
                "`{}`: `--target-fpr`, `--calibration`, and `--defer` need a probe of classes; \
                 leave them out",
                path.display()
            ))
            .into(),
            ProbeError::NoThreshold { .. }
            | ProbeError::NoCalibrator { .. }
            | ProbeError::NoDeferral => {
                InputError(format!("`{}`: {source}", path.display())).into()
            }
            source => ProbeError::InFile { path, source: Box::new(source) }.into(),
        },
        ProbeError::Stream { source } => source.into(),
        ProbeError::Model { source } => source.into(),
        ProbeError::Activation { source } => source.into(),
        ProbeError::Metrics { source } => source.into(),
        error => error.into(),
    }
}

/// What is wrong, and which flag mends it.
fn flags_of(error: &ApplyError) -> String {
    match error {
        ApplyError::Hook { hook } => format!(
            "it reads hook `{hook}`, which is no component of a layer; give its activations with \
             `--activations`"
        ),
        ApplyError::Unsaid { what } => format!(
            "it does not say which {what} it reads; give `--{what}`, or its activations with \
             `--activations`"
        ),
        ApplyError::Contradiction { what, given, recorded } => {
            let what_is_read = if *what == "hook" { String::new() } else { format!("{what} ") };
            format!(
                "`--{what} {given}` contradicts the probe, which reads {what_is_read}{}; leave out \
                 the flag",
                listed(recorded)
            )
        }
        ApplyError::OtherModel(other) => {
            let remedy = match other.remedy {
                ModelRemedy::RunOwn => "leave out `--model`".to_owned(),
                ModelRemedy::SameModel => {
                    "give `--allow-other-revision` if both are one model".to_owned()
                }
                ModelRemedy::GoOn => "give `--allow-other-revision` to go on".to_owned(),
                own => own.to_string(),
            };
            format!("{other}; {remedy}")
        }
        ApplyError::UnknownLabel { label, known, .. } => match label_separator(label, known) {
            Some(separator) => format!("{error}: give `--label-separator '{separator}'`"),
            None => error.to_string(),
        },
        ApplyError::SaidTwice { key, line, given } => format!(
            "`{key}` is {line} in the first line of the stream, but {given} by `--{key}`; leave one \
             of them out"
        ),
        ApplyError::UnsaidConvention => format!("{error}, or give `--convention tl_processed`"),
        error => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn layers_that_stand_side_by_side_are_joined_by_a_plus() {
        let parse = |text: &str| text.parse::<JoinedLayers>();
        assert_eq!(parse("3").unwrap().to_string(), "3");
        assert_eq!(parse("3+0").unwrap(), parse("0 + 3").unwrap());
        for text in ["", "+", "0+", "-1", "a", "99999999999999999999999"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
