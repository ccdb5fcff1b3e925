//! Activations that come in one by one, as lines of JSON, and the answer to every line.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use attention_probes_errors::json_words;
use serde::{Deserialize, Serialize};

use super::probe_file::ProbeFile;
use super::stream_origin::StreamOrigin;
use super::verdict::{Judge, Verdict, VerdictConfig};
use crate::{ProbeError, StreamingProbe};

/// One line of input.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    /// Text that the activation belongs to; texts may come interleaved.
    #[serde(default)]
    stream: String,
    /// Activations of the next token.
    x: Option<Activation>,
    /// Whether the text has ended.
    #[serde(default)]
    end: bool,
}

/// Activations of one token.
#[derive(Deserialize)]
#[serde(untagged)]
enum Activation {
    /// For every probe alike.
    Same(Vec<f32>),
    /// By the hook that a probe reads.
    ByHook(HashMap<String, Vec<f32>>),
}

/// The answer to a line, of which each is one object of JSON.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StreamLine<'a> {
    /// Name of the text.
    pub stream: String,
    /// What is said.
    #[serde(flatten)]
    pub answer: StreamAnswer<'a>,
}

/// What a line of input is answered with.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum StreamAnswer<'a> {
    /// What the only probe says of the text so far.
    One {
        /// Number of the token in its text, from 0.
        position: usize,
        /// What it says.
        #[serde(flatten)]
        verdict: Verdict<'a>,
    },
    /// The same of several probes.
    Several {
        /// Number of the token in its text, from 0.
        position: usize,
        /// In the order of the probes.
        probes: Vec<NamedVerdict<'a>>,
    },
    /// The text has ended, and is forgotten.
    Ended {
        /// Always true.
        ended: bool,
        /// Tokens that it had.
        n_tokens: usize,
    },
    /// Why nothing could be said; the text is as it was.
    Failed {
        /// What is wrong with the line.
        error: String,
    },
}

/// What one of several probes says.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct NamedVerdict<'a> {
    /// Name of the probe's file, without `_state.npz`.
    pub probe: &'a str,
    /// What it says.
    #[serde(flatten)]
    pub verdict: Verdict<'a>,
}

/// What a first line is answered with that says what the stream is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StreamChecked {
    /// Keys that were compared with the probes.
    pub checked: Vec<&'static str>,
}

/// How a stream is read.
#[derive(Clone, Debug, PartialEq)]
pub struct StreamConfig<'a> {
    /// How logits become verdicts.
    pub verdict: VerdictConfig,
    /// What the activations are, as far as the caller says it.
    pub origin: StreamOrigin,
    /// Go on although the activations are of other weights than a probe was trained on. Default
    /// false.
    pub allow_other_revision: bool,
    /// Most texts that are read at the same time. Default 1024.
    pub max_streams: usize,
    /// What to do when these are open, as the answer says it. Default to end one, or raise
    /// `max_streams`.
    pub remedy_when_full: &'a str,
}

impl Default for StreamConfig<'_> {
    fn default() -> Self {
        Self {
            verdict: VerdictConfig::default(),
            origin: StreamOrigin::default(),
            allow_other_revision: false,
            max_streams: 1024,
            remedy_when_full: "end one, or raise `max_streams`",
        }
    }
}

/// A probe that reads streams.
struct Served<'a> {
    name: String,
    /// Hooks that it reads side by side, where it says.
    hooks: Option<Vec<String>>,
    judge: Judge<'a>,
    /// The probe at the beginning of a text.
    blank: StreamingProbe,
}

/// Reads the activations of many texts token by token, and answers every line.
///
/// # Memory
///
/// The weights, and of each open text the state of each probe, as [`StreamingProbe`] says.
///
/// # Examples
///
/// ```
/// use attention_probes::probes::{
///     Linear, ProbeConfig, ProbeFile, ProbeMetadata, SavedProbe, StreamConfig,
///     StreamReader,
/// };
/// use burn::tensor::Device;
///
/// let config = ProbeConfig::new(Linear::default(), 3, 2);
/// let metadata = ProbeMetadata::new(config.clone(), vec!["no".to_owned(), "yes".to_owned()]);
/// let saved = SavedProbe { state: config.init_state(1), metadata };
/// let folder = tempfile::tempdir()?;
/// let files = [ProbeFile::open(&saved.save(folder.path(), "a")?, &Device::default())?];
///
/// let mut reader = StreamReader::new(&files, StreamConfig::default())?;
/// assert!(reader.begin(br#"{"stream": "a", "x": [1, 2, 3]}"#)?.is_none());
/// reader.check_needs()?;
/// let answer = serde_json::to_value(reader.answer(br#"{"stream": "a", "x": [1, 2, 3]}"#))?;
/// assert_eq!((&answer["stream"], &answer["position"]), (&"a".into(), &0.into()));
/// let answer = serde_json::to_value(reader.answer(br#"{"stream": "a", "end": true}"#))?;
/// assert_eq!(answer["n_tokens"], 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub struct StreamReader<'a> {
    files: &'a [ProbeFile],
    probes: Vec<Served<'a>>,
    config: StreamConfig<'a>,
    /// Of each text one reader per probe.
    streams: HashMap<String, Vec<StreamingProbe>>,
}

impl<'a> StreamReader<'a> {
    /// Takes probes, and compares them with what the caller says of the stream.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::InFile`] of what [`Judge::new`] and [`StreamOrigin::check`] return
    /// - as [`StreamingProbe::new`]
    pub fn new(files: &'a [ProbeFile], config: StreamConfig<'a>) -> Result<Self, ProbeError> {
        let probe = |file: &'a ProbeFile| {
            let judge = Judge::new(&file.saved, &config.verdict);
            Ok(Served {
                name: file.name(),
                hooks: file.saved.hooks()?,
                judge: judge.map_err(|error| file.in_file(error))?,
                blank: StreamingProbe::from_saved(&file.saved)?,
            })
        };
        let probes = files.iter().map(probe).collect::<Result<_, ProbeError>>()?;
        let reader = Self { files, probes, config, streams: HashMap::new() };
        reader.check(&reader.config.origin)?;
        Ok(reader)
    }

    /// Looks at the first line: where it says what the stream is, compares that with the probes, and
    /// returns the answer to it. Any other line is left for [`StreamReader::answer`].
    ///
    /// # Errors
    ///
    /// - [`ProbeError::InFile`] of what [`StreamOrigin::check`] returns
    /// - as [`StreamOrigin::from_line`] and [`StreamOrigin::with_given`]
    pub fn begin(&mut self, first_line: &[u8]) -> Result<Option<StreamChecked>, ProbeError> {
        let Some(found) = StreamOrigin::from_line(first_line)? else { return Ok(None) };
        self.check(&found)?;
        let checked = found.keys();
        self.config.origin = found.with_given(self.config.origin.clone())?;
        Ok(Some(StreamChecked { checked }))
    }

    /// Refuses a probe that needs to know more of the stream than was said.
    ///
    /// # Errors
    ///
    /// [`ProbeError::InFile`] of what [`StreamOrigin::check_needs`] returns.
    pub fn check_needs(&self) -> Result<(), ProbeError> {
        self.files.iter().try_for_each(|file| {
            let checked = self.config.origin.check_needs(&file.saved);
            checked.map_err(|error| file.in_file(error))
        })
    }

    /// What is known of the activations.
    pub fn origin(&self) -> &StreamOrigin {
        &self.config.origin
    }

    fn check(&self, origin: &StreamOrigin) -> Result<(), ProbeError> {
        self.files.iter().try_for_each(|file| {
            let checked = origin.check(&file.saved, self.config.allow_other_revision);
            checked.map_err(|error| file.in_file(error))
        })
    }

    /// Answers one line; what is wrong with it is an answer too.
    pub fn answer(&mut self, line: &[u8]) -> StreamLine<'_> {
        let request = serde_json::from_slice::<Request>(line).map_err(|error| {
            if StreamOrigin::from_line(line).is_ok_and(|origin| origin.is_some()) {
                return "what the activations are can be said in the first line alone".to_owned();
            }
            format!("not an object with `stream` and `x` or `end`: {}", json_words(&error))
        });
        match request {
            Err(error) => StreamLine::failed(error),
            Ok(request) => {
                let answer = self.serve(&request);
                let answer = answer.unwrap_or_else(|error| StreamAnswer::Failed { error });
                StreamLine { stream: request.stream, answer }
            }
        }
    }

    fn serve(&mut self, request: &Request) -> Result<StreamAnswer<'_>, String> {
        if let Some(x) = &request.x {
            let of_stream = self.config.origin.hooks.as_deref();
            let activations = self.probes.iter().map(|probe| probe.activation(x, of_stream));
            let activations = activations.collect::<Result<Vec<_>, _>>()?;
            let readers = readers(
                &mut self.streams,
                &request.stream,
                (&self.probes, self.config.max_streams, self.config.remedy_when_full),
            )?;
            let answer = push(&self.probes, readers, &activations);
            if request.end {
                self.streams.remove(&request.stream);
            }
            return Ok(answer);
        }
        if !request.end {
            return Err("neither `x` nor `end`".to_owned());
        }
        let ended = self.streams.remove(&request.stream);
        let n_tokens = ended.and_then(|readers| Some(readers.first()?.n_tokens())).unwrap_or(0);
        Ok(StreamAnswer::Ended { ended: true, n_tokens })
    }
}

impl StreamLine<'_> {
    /// The answer to a line that could not be read.
    pub fn failed(error: String) -> Self {
        Self { stream: String::new(), answer: StreamAnswer::Failed { error } }
    }
}

/// The readers of a text, which may be a new one.
fn readers<'s>(
    streams: &'s mut HashMap<String, Vec<StreamingProbe>>,
    stream: &str,
    (probes, max_streams, remedy): (&[Served<'_>], usize, &str),
) -> Result<&'s mut [StreamingProbe], String> {
    let n_streams = streams.len();
    match streams.entry(stream.to_owned()) {
        Entry::Occupied(readers) => Ok(readers.into_mut()),
        Entry::Vacant(_) if n_streams >= max_streams => {
            Err(format!("{n_streams} streams are open; {remedy}"))
        }
        Entry::Vacant(place) => {
            Ok(place.insert(probes.iter().map(|probe| probe.blank.clone()).collect()))
        }
    }
}

/// Hands the activations of a token to the readers of its text.
fn push<'s>(
    probes: &'s [Served<'_>],
    readers: &mut [StreamingProbe],
    activations: &[Cow<'_, [f32]>],
) -> StreamAnswer<'s> {
    let position = readers.first().map_or(0, StreamingProbe::n_tokens);
    let mut verdicts: Vec<NamedVerdict<'s>> = Vec::new();
    for ((probe, reader), x) in probes.iter().zip(readers).zip(activations) {
        let verdict = probe.judge.judge(reader.push(x));
        verdicts.push(NamedVerdict { probe: &probe.name, verdict });
    }
    match <[_; 1]>::try_from(verdicts) {
        Ok([NamedVerdict { verdict, .. }]) => StreamAnswer::One { position, verdict },
        Err(probes) => StreamAnswer::Several { position, probes },
    }
}

impl Served<'_> {
    /// The activations that this probe reads, of a stream whose hooks may be known.
    fn activation<'x>(
        &self,
        x: &'x Activation,
        of_stream: Option<&[String]>,
    ) -> Result<Cow<'x, [f32]>, String> {
        let values = match x {
            Activation::Same(values) => {
                self.check_order(of_stream)?;
                Cow::Borrowed(&values[..])
            }
            Activation::ByHook(by_hook) => {
                let hooks = self.hooks.as_ref().ok_or_else(|| {
                    format!("probe `{}` does not say which hook it reads", self.name)
                })?;
                let of =
                    |hook: &String| by_hook.get(hook).ok_or_else(|| format!("`x` has no `{hook}`"));
                match &hooks[..] {
                    [hook] => Cow::Borrowed(&of(hook)?[..]),
                    hooks => {
                        let values = hooks.iter().map(of).collect::<Result<Vec<_>, _>>()?;
                        Cow::Owned(values.into_iter().flatten().copied().collect())
                    }
                }
            }
        };
        let expected = self.blank.config().d_model();
        if values.len() != expected {
            return Err(format!(
                "`x` has {} numbers, but probe `{}` reads {expected}",
                values.len(),
                self.name
            ));
        }
        if !values.iter().all(|value| value.is_finite()) {
            return Err("`x` has a number that is not finite".to_owned());
        }
        Ok(values)
    }

    /// Whether one list of numbers is what this probe reads, of a stream whose hooks may be known.
    fn check_order(&self, of_stream: Option<&[String]>) -> Result<(), String> {
        match (of_stream, &self.hooks) {
            (Some(there), Some(hooks)) if there != hooks => Err(format!(
                "`x` is one list of {} hooks, of which probe `{}` does not read all in this order; \
                 give an object of lists by hook",
                there.len(),
                self.name
            )),
            (None, Some(hooks)) if hooks.len() > 1 => Err(format!(
                "`x` is one list, but probe `{}` reads {} hooks side by side; give an object of \
                 lists by hook, or say their order in the first line of the stream: \
                 {{\"hooks\": {hooks:?}}}",
                self.name,
                hooks.len()
            )),
            _ => Ok(()),
        }
    }
}
