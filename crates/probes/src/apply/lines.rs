//! Lines in, lines of JSON out: texts that are scored, and activations that are answered, as they come.

use std::io::{self, BufReader, Read, Write};

use serde::Serialize;

use super::error::ApplyError;
use super::stream::{StreamLine, StreamReader};
use super::text_line::{read_text_line, text_from_line};
use super::texts::TextScorer;
use crate::ProbeError;

/// Bytes of input that are read ahead.
const READ_AHEAD: usize = 1 << 16;

impl TextScorer<'_> {
    /// Scores the texts of lines, each plain or a JSON object with `text`, until they end: one line of
    /// JSON for each, sent off at once.
    ///
    /// Lines that have come already are scored together, at most [`TextScorer::BATCH`].
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Stream`] if the input cannot be read or the output cannot be written
    /// - as [`TextScorer::score`]
    ///
    /// # Examples
    ///
    /// ```no_run
    /// use attention_probes::probes::{ProbeError, TextScorer};
    ///
    /// fn serve(scorer: &TextScorer<'_>) -> Result<(), ProbeError> {
    ///     scorer.score_lines(std::io::stdin(), std::io::stdout())
    /// }
    /// ```
    pub fn score_lines(&self, input: impl Read, mut output: impl Write) -> Result<(), ProbeError> {
        let mut input = BufReader::with_capacity(READ_AHEAD, input);
        let mut index = 0;
        loop {
            let texts = waiting_texts(&mut input).map_err(stream)?;
            if texts.is_empty() {
                return Ok(());
            }
            let n_texts = texts.len();
            let mut lines = Vec::new();
            for scored in self.score(index, texts)? {
                push_line(&mut lines, &scored).map_err(stream)?;
            }
            output.write_all(&lines).and_then(|()| output.flush()).map_err(stream)?;
            index += n_texts;
        }
    }
}

impl StreamReader<'_> {
    /// Answers lines until they end, each with one line of JSON, which is sent off once no further
    /// line is waiting.
    ///
    /// `unsaid` is called, after the first line, where nobody says what the activations are, so that
    /// they are not compared with what the probes were trained on.
    ///
    /// # Errors
    ///
    /// - [`ProbeError::Stream`] if the input cannot be read or the output cannot be written
    /// - as [`StreamReader::begin`] and [`StreamReader::check_needs`]
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
    /// let config = ProbeConfig::new(Linear::default(), 2, 2);
    /// let classes = vec!["no".to_owned(), "yes".to_owned()];
    /// let metadata = ProbeMetadata::new(config.clone(), classes);
    /// let saved = SavedProbe { state: config.init_state(1), metadata };
    /// let folder = tempfile::tempdir()?;
    /// let file = ProbeFile::open(&saved.save(folder.path(), "a")?, &Device::default())?;
    ///
    /// let reader = StreamReader::new(std::slice::from_ref(&file), StreamConfig::default())?;
    /// let (mut answers, mut unsaid) = (Vec::new(), false);
    /// let lines = &b"{\"x\": [0.5, 1.0]}\n{\"x\": [0.5]}\n"[..];
    /// reader.answer_lines(lines, &mut answers, &mut || unsaid = true)?;
    /// let answers = String::from_utf8(answers)?;
    /// assert!(unsaid);
    /// assert!(answers.lines().next().is_some_and(|line| line.contains("\"position\":0")));
    /// assert!(answers.lines().nth(1).is_some_and(|line| line.contains("\"error\"")));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn answer_lines(
        mut self,
        input: impl Read,
        mut output: impl Write,
        unsaid: &mut dyn FnMut(),
    ) -> Result<(), ProbeError> {
        let mut input = BufReader::with_capacity(READ_AHEAD, input);
        let mut next = read_text_line(&mut input).map_err(stream)?;
        let first = next.as_ref().and_then(|line| line.as_deref().ok());
        let checked = first.map(|line| self.begin(line)).transpose()?;
        if let Some(checked) = checked.flatten() {
            send(&mut output, &checked).and_then(|()| output.flush()).map_err(stream)?;
            next = read_text_line(&mut input).map_err(stream)?;
        }
        self.check_needs()?;
        if next.is_some() && self.origin().keys().is_empty() {
            unsaid();
        }
        while let Some(line) = next {
            let answer = match line {
                Ok(line) => self.answer(&line),
                Err(error) => StreamLine::failed(error),
            };
            send(&mut output, &answer).map_err(stream)?;
            // Whoever waits for the answer to the last line that came is not kept waiting.
            if input.buffer().is_empty() {
                output.flush().map_err(stream)?;
            }
            next = read_text_line(&mut input).map_err(stream)?;
        }
        output.flush().map_err(stream)
    }
}

/// The texts of lines that have come already, after waiting for the first; none at the end.
fn waiting_texts(input: &mut BufReader<impl Read>) -> io::Result<Vec<Result<String, ApplyError>>> {
    let mut texts = Vec::new();
    while texts.len() < TextScorer::BATCH && (texts.is_empty() || input.buffer().contains(&b'\n')) {
        let Some(line) = read_text_line(input)? else { break };
        let text = line.and_then(|line| text_from_line(&line));
        texts.push(text.map_err(|message| ApplyError::Unreadable { message }));
    }
    Ok(texts)
}

fn push_line(text: &mut Vec<u8>, line: &impl Serialize) -> io::Result<()> {
    serde_json::to_writer(&mut *text, line)?;
    text.push(b'\n');
    Ok(())
}

fn send(output: &mut impl Write, line: &impl Serialize) -> io::Result<()> {
    let mut text = Vec::new();
    push_line(&mut text, line)?;
    output.write_all(&text)
}

fn stream(source: io::Error) -> ProbeError {
    ProbeError::Stream { source }
}
