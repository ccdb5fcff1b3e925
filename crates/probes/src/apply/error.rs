//! Why a saved probe cannot be used on a model, on activations, or on labels.

use std::fmt;

use attention_probes_errors::{ErrorKind, did_you_mean, json_words, listed, nearest, shown};
use attention_probes_models::Convention;

/// Why a saved probe cannot be used as it was asked for.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// The probe reads a hook that is no component of a layer, which a model is not run for.
    #[error(
        "it reads hook `{hook}`, which is no component of a layer; give its activations instead of \
         texts"
    )]
    Hook {
        /// The hook.
        hook: String,
    },

    /// Neither the probe nor the caller says what it reads.
    #[error("it does not say which {what} it reads; give the {what}, or activations")]
    Unsaid {
        /// `model`, `layer`, or `component`.
        what: &'static str,
    },

    /// The caller says something else than the probe.
    #[error(
        "{what} `{given}` contradicts the probe, which reads {}; leave it out",
        listed(recorded)
    )]
    Contradiction {
        /// `model`, `layer`, `component`, or `hook`.
        what: &'static str,
        /// What the caller says.
        given: String,
        /// What the probe says; several hooks if it reads them side by side.
        recorded: Vec<String>,
    },

    /// The metadata names a convention that is not known.
    #[error("its convention `{name}` is unknown, save the probe again")]
    Convention {
        /// The name.
        name: String,
    },

    /// The metadata names a task that is not known, or leaves out its target.
    #[error("its task `{task}` is unknown or has no target token; save the probe again")]
    Task {
        /// The name.
        task: String,
    },

    /// The model that is run, or that activations are of, is not the one of the probe.
    #[error("{0}; {remedy}", remedy = .0.remedy)]
    OtherModel(OtherModel),

    /// Activations are of another convention than the probe reads.
    #[error(
        "it reads activations of the convention `{expected}`, but those of {of} are `{found}`; \
         give activations of the convention `{expected}`"
    )]
    OtherConvention {
        /// What the probe reads.
        expected: Convention,
        /// What there is.
        found: Convention,
        /// Whose activations these are, in words.
        of: String,
    },

    /// The model does not have the layer.
    #[error(
        "it is a probe for another model: it reads layer {layer}, but `{model}` has {n_layers} \
         layers"
    )]
    Layer {
        /// The layer, from 0.
        layer: usize,
        /// Name of the model.
        model: String,
        /// Number of its layers.
        n_layers: usize,
    },

    /// Activations have another width than the probe reads.
    #[error(
        "it is a probe for another model: it reads activations {expected} wide, but those of {of} \
         are {found} wide"
    )]
    Width {
        /// What the probe reads.
        expected: usize,
        /// What there is.
        found: usize,
        /// Whose activations these are, in words.
        of: String,
    },

    /// Activations are not of the hook that the probe reads.
    #[error("it reads `{hook}`, which {of} does not have; hooks there: {}", listed(hooks))]
    MissingHook {
        /// The hook.
        hook: String,
        /// What does not have it, in words.
        of: String,
        /// The hooks that there are.
        hooks: Vec<String>,
    },

    /// A stream is not of the hook that the probe reads.
    #[error("it reads `{hook}`, which the stream does not have; its hooks: {}", listed(hooks))]
    StreamHook {
        /// The hook.
        hook: String,
        /// The hooks that the stream has.
        hooks: Vec<String>,
    },

    /// A class of the data is not one of the probe's.
    #[error(
        "`{data}`: label `{}` is no class of the probe, whose classes are {}; rename the label, or \
         name another column of labels",
        shown(label),
        listed(known)
    )]
    UnknownClass {
        /// Name of the data.
        data: String,
        /// Name of the class.
        label: String,
        /// Classes of the probe.
        known: Vec<String>,
    },

    /// A label of the data, of which a text has several, is not one of the probe's.
    #[error(
        "`{data}` has the label `{label}`, which the probe does not know; its labels are {}{}",
        listed(known),
        label_remedy(label, known)
    )]
    UnknownLabel {
        /// Name of the data.
        data: String,
        /// Name of the label.
        label: String,
        /// Labels of the probe.
        known: Vec<String>,
    },

    /// A text has nothing to read.
    #[error("empty text")]
    EmptyText,

    /// A text has no token.
    #[error("the text has no token")]
    NoToken,

    /// The activations of a text have NaN or infinity.
    #[error("NaN or infinity among its activations")]
    NotFinite,

    /// A text could not be given to the probe; the message says why.
    #[error("{message}")]
    Unreadable {
        /// What is wrong with it, such as that a line is not UTF-8.
        message: String,
    },

    /// The first line of a stream cannot be read.
    #[error(
        "the first line of the stream: {}; it may have `model`, `revision`, `hooks`, a list, and \
         `convention`",
        json_words(source)
    )]
    FirstLine {
        /// What is wrong with the JSON.
        source: serde_json::Error,
    },

    /// The first line of a stream and the caller say different things.
    #[error(
        "`{key}` is {line} in the first line of the stream, but {given} was given; leave one of \
         them out"
    )]
    SaidTwice {
        /// `model`, `revision`, `hooks`, or `convention`.
        key: &'static str,
        /// What the first line says, in backticks.
        line: String,
        /// What the caller says, in backticks.
        given: String,
    },

    /// The convention of a stream is not known.
    #[error("`convention` of the stream is `{name}`, expected `raw` or `tl_processed`")]
    StreamConvention {
        /// What the stream says.
        name: String,
    },

    /// A probe of processed activations meets a stream that does not say what it sends.
    #[error(
        "it reads activations of the convention `tl_processed`; begin the stream with a line \
         `{{\"convention\": \"tl_processed\"}}` if it sends these"
    )]
    UnsaidConvention,
}

impl ApplyError {
    /// [`ErrorKind::Input`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }
}

/// A model that is not the one that a probe was trained on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OtherModel {
    /// The model of the probe.
    pub recorded: String,
    /// The model that it meets, where its name is known.
    pub met: Option<String>,
    /// Revisions of the two, where both are known.
    pub revisions: Option<(String, String)>,
    /// What can be done about it.
    pub remedy: ModelRemedy,
}

/// What to do about a model that is not the one that a probe was trained on; prints as a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ModelRemedy {
    /// Run the probe's own model.
    RunOwn,
    /// Give activations of the probe's model.
    GiveOwn,
    /// Send activations of the probe's model.
    SendOwn,
    /// Allow another revision, if both names are of one model.
    SameModel,
    /// Allow another revision, to go on.
    GoOn,
}

impl fmt::Display for ModelRemedy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::RunOwn => "run the probe's model",
            Self::GiveOwn => "give activations of the probe's model",
            Self::SendOwn => "send activations of the probe's model",
            Self::SameModel => "allow another revision if both are one model",
            Self::GoOn => "allow another revision to go on",
        })
    }
}

impl fmt::Display for OtherModel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { recorded, met, revisions, .. } = self;
        let met = met.as_ref().map_or_else(|| "what it meets".to_owned(), |met| format!("`{met}`"));
        f.write_str("it is a probe for another model: it was trained on ")?;
        match revisions {
            Some((expected, found)) => write!(
                f,
                "`{recorded}` of revision {}, but {met} is of revision {}",
                short(expected),
                short(found)
            ),
            None => write!(f, "`{recorded}`, not on {met}"),
        }
    }
}

/// Characters of a hash that messages show.
pub(super) const SHORT: usize = 12;

/// The beginning of a hash, enough to tell two apart.
fn short(hash: &str) -> String {
    hash.chars().take(SHORT).collect()
}

/// What to do about a label that is not one of the known ones.
fn label_remedy(label: &str, known: &[String]) -> String {
    match label_separator(label, known) {
        Some(separator) => format!("; labels are separated by `{separator}`"),
        None => did_you_mean(nearest(label, known)),
    }
}

/// What separates the labels of a field that was taken for one label, if all of them are known.
pub fn label_separator(label: &str, known: &[String]) -> Option<&'static str> {
    let is_known = |part: &str| known.iter().any(|name| name == part.trim());
    let mut separators = ["|", ",", ";", "/", " ", "\t"].into_iter();
    separators.find(|one| label.contains(*one) && label.split(*one).all(is_known))
}
