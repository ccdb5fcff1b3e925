//! `probe score --stream`: activations come in one by one, and every one is answered.

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{BufReader, Read, Write};

use anyhow::Result;
use attention_probes_errors::json_words;
use attention_probes_probes::{Judge, StreamingProbe, Verdict};
use serde::{Deserialize, Serialize};
use tracing::warn;

use super::origin::{StreamOrigin, StreamOriginArgs};
use crate::input::{ModelArgs, ProbeFile};
use crate::text_line::read_line;
use crate::verdict::VerdictArgs;

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

/// One line of output.
#[derive(Serialize)]
struct Line<'a> {
    stream: &'a str,
    #[serde(flatten)]
    answer: Answer<'a>,
}

/// What a line of input is answered with.
#[derive(Serialize)]
#[serde(untagged)]
enum Answer<'a> {
    /// What the only probe says of the text so far.
    One {
        /// Number of the token in its text, from 0.
        position: usize,
        #[serde(flatten)]
        verdict: Verdict<'a>,
    },
    /// The same of several probes.
    Several { position: usize, probes: Vec<NamedVerdict<'a>> },
    /// The text has ended, and is forgotten.
    Ended { ended: bool, n_tokens: usize },
    /// Why nothing could be said; the text is as it was.
    Failed { error: String },
}

#[derive(Serialize)]
struct NamedVerdict<'a> {
    probe: &'a str,
    #[serde(flatten)]
    verdict: Verdict<'a>,
}

/// What a first line is answered with that says what the stream is.
#[derive(Serialize)]
struct Checked {
    /// Keys that were compared with the probes.
    checked: Vec<&'static str>,
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

/// How a stream is served.
#[derive(Clone, Copy)]
pub(super) struct StreamConfig<'a> {
    pub(super) verdict: &'a VerdictArgs,
    /// What flags say of the activations.
    pub(super) origin: &'a StreamOriginArgs,
    pub(super) model: &'a ModelArgs,
    /// Most texts that are read at the same time.
    pub(super) max_streams: usize,
}

/// Answers the lines of a stream until it ends.
///
/// # Errors
///
/// If a probe is at fault, the stream is of other activations than it reads, or the input or output
/// cannot be used.
pub(super) fn serve(
    files: &[ProbeFile],
    config: StreamConfig<'_>,
    (input, mut output): (impl Read, impl Write),
) -> Result<()> {
    let probes: Vec<Served<'_>> =
        files.iter().map(|file| Served::new(file, config.verdict)).collect::<Result<_>>()?;
    let check = |origin: &StreamOrigin| {
        files
            .iter()
            .zip(&probes)
            .try_for_each(|(file, probe)| origin.check(file, probe.hooks.as_deref(), config.model))
    };
    let mut origin = StreamOrigin::from_flags(config.origin, config.model);
    check(&origin)?;
    let mut input = BufReader::with_capacity(1 << 16, input);
    let mut next = read_line(&mut input)?;
    let first = next.as_ref().and_then(|line| line.as_deref().ok());
    if let Some(found) = first.map(StreamOrigin::from_line).transpose()?.flatten() {
        check(&found)?;
        let checked = Checked { checked: found.keys() };
        origin = found.with_flags(origin)?;
        serde_json::to_writer(&mut output, &checked)?;
        output.write_all(b"\n")?;
        output.flush()?;
        next = read_line(&mut input)?;
    }
    files.iter().try_for_each(|file| origin.check_needs(file))?;
    if next.is_some() && origin.keys().is_empty() {
        warn!(
            "the stream does not say what its activations are, so they are not compared with the \
             probe; begin it with a line {{\"model\": …, \"revision\": …, \"hooks\": […], \
             \"convention\": …}}, or give `--model`, `--revision`, `--hooks`, and `--convention`"
        );
    }
    let max_streams = config.max_streams;
    let mut server =
        Server { probes: &probes, hooks: origin.hooks, streams: HashMap::new(), max_streams };
    while let Some(line) = next {
        let mut answer = server.answer(line)?;
        answer.push(b'\n');
        output.write_all(&answer)?;
        // Whoever waits for the answer to the last line that came is not kept waiting.
        if input.buffer().is_empty() {
            output.flush()?;
        }
        next = read_line(&mut input)?;
    }
    Ok(output.flush()?)
}

impl<'a> Served<'a> {
    fn new(file: &'a ProbeFile, args: &VerdictArgs) -> Result<Self> {
        Ok(Self {
            name: file.name(),
            hooks: file.hooks()?,
            judge: args.judge(file)?,
            blank: StreamingProbe::from_saved(&file.saved)?,
        })
    }

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
                 lists by hook, or say the order with `--hooks {}`",
                self.name,
                hooks.len(),
                hooks.join(",")
            )),
            _ => Ok(()),
        }
    }
}

/// Every text that is being read.
struct Server<'a> {
    probes: &'a [Served<'a>],
    /// Hooks of the activations, where somebody says it.
    hooks: Option<Vec<String>>,
    /// Of each text one reader per probe.
    streams: HashMap<String, Vec<StreamingProbe>>,
    max_streams: usize,
}

impl<'a> Server<'a> {
    /// Answers one line; what is wrong with it is an answer too.
    fn answer(&mut self, line: Result<Vec<u8>, String>) -> serde_json::Result<Vec<u8>> {
        let request = line.and_then(|line| {
            serde_json::from_slice::<Request>(&line).map_err(|error| {
                if StreamOrigin::from_line(&line).is_ok_and(|origin| origin.is_some()) {
                    return "what the activations are can be said in the first line alone".into();
                }
                format!("not an object with `stream` and `x` or `end`: {}", json_words(&error))
            })
        });
        let (stream, answer) = match request {
            Ok(request) => {
                let answer = self.serve(&request);
                (request.stream, answer)
            }
            Err(error) => (String::new(), Err(error)),
        };
        let answer = answer.unwrap_or_else(|error| Answer::Failed { error });
        serde_json::to_vec(&Line { stream: &stream, answer })
    }

    fn serve(&mut self, request: &Request) -> Result<Answer<'a>, String> {
        if let Some(x) = &request.x {
            let of_stream = self.hooks.as_deref();
            let activations = self.probes.iter().map(|probe| probe.activation(x, of_stream));
            let activations = activations.collect::<Result<Vec<_>, _>>()?;
            let answer = self.push(&request.stream, &activations)?;
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
        Ok(Answer::Ended { ended: true, n_tokens })
    }

    /// Hands the activations of a token to the readers of its text.
    fn push(&mut self, stream: &str, activations: &[Cow<'_, [f32]>]) -> Result<Answer<'a>, String> {
        let n_streams = self.streams.len();
        let readers = match self.streams.entry(stream.to_owned()) {
            Entry::Occupied(readers) => readers.into_mut(),
            Entry::Vacant(_) if n_streams >= self.max_streams => {
                return Err(format!(
                    "{n_streams} streams are open; end one, or raise `--max-streams`"
                ));
            }
            Entry::Vacant(place) => {
                place.insert(self.probes.iter().map(|probe| probe.blank.clone()).collect())
            }
        };
        let position = readers.first().map_or(0, StreamingProbe::n_tokens);
        let mut verdicts: Vec<NamedVerdict<'a>> = Vec::new();
        for ((probe, reader), x) in self.probes.iter().zip(readers.iter_mut()).zip(activations) {
            let verdict = probe.judge.judge(reader.push(x));
            verdicts.push(NamedVerdict { probe: &probe.name, verdict });
        }
        Ok(match <[_; 1]>::try_from(verdicts) {
            Ok([NamedVerdict { verdict, .. }]) => Answer::One { position, verdict },
            Err(probes) => Answer::Several { position, probes },
        })
    }
}
