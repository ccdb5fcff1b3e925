//! Flags about the texts, or the activations, that probes are applied to.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use anyhow::Result;
use attention_probes_activations::{
    DatasetConfig, ExternalActivations, ExternalConfig, ExternalStore, LabelKind, Quoting,
    TableFormat,
};
use attention_probes_errors::listed;
use attention_probes_models::HubAccess;
use clap::{Args, ValueEnum};

use crate::exit::InputError;
use crate::input::{MODEL_FLAGS, MetModel, ModelArgs, ProbeFile};
use crate::text_source::TextSource;

/// Texts, or activations instead of them. A command that has these flags has
/// [`ModelArgs`] too.
#[derive(Args, Debug)]
pub struct DataArgs {
    /// Text: `.csv`, `.tsv`, `.jsonl`, `.parquet`, or `hf://datasets/org/name[@revision][/path]`.
    #[arg(long, conflicts_with = "activations")]
    pub data: Option<PathBuf>,
    /// Activations instead of text: an `.npz` with `x` and perhaps `mask` and `input_ids`, what
    /// `probe extract` writes, or a MOSAIC folder.
    #[arg(long, conflicts_with_all = MODEL_FLAGS)]
    pub activations: Option<PathBuf>,
    /// Which hook of the activations, where the probe does not say which it reads; or
    /// `<model>_<layer>` of a MOSAIC folder.
    #[arg(long, requires = "activations")]
    pub hook: Option<String>,
    /// Token whose run at either end of an example of a MOSAIC folder is padding.
    #[arg(long, requires = "activations")]
    pub pad_token_id: Option<u32>,
    /// Where texts stand in their file.
    #[command(flatten)]
    pub texts: TextArgs,
}

/// Where texts stand in a file or a data set of the Hub.
#[derive(Args, Debug)]
pub struct TextArgs {
    /// Split of a data set of the Hub.
    #[arg(long, default_value = "train")]
    pub split: String,
    /// Column of the text.
    #[arg(long, default_value = "text")]
    pub text: String,
    /// How fields are written.
    #[command(flatten)]
    pub table: TableArgs,
}

/// How the fields of CSV and TSV files are written.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct TableArgs {
    /// Say what a quote means in CSV and TSV files; `--quoting none` reads it as a character like any
    /// other, as in GLUE's tables.
    #[arg(long, value_enum)]
    pub quoting: Option<QuotingArg>,
    /// Character before a quote within a quoted field of CSV and TSV files, e.g. `--escape '\'`.
    #[arg(long, value_name = "CHARACTER")]
    pub escape: Option<char>,
}

/// [`Quoting`] as a flag.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum QuotingArg {
    /// A field may stand in quotes.
    Minimal,
    /// A quote means nothing.
    None,
}

impl TableArgs {
    /// The format that the flags say.
    pub(crate) fn format(self) -> Result<TableFormat, InputError> {
        let quoting = self.quoting.map(|quoting| match quoting {
            QuotingArg::Minimal => Quoting::Minimal,
            QuotingArg::None => Quoting::None,
        });
        let format = TableFormat { quoting, escape: self.escape };
        match format.fault() {
            Some(fault) => Err(InputError(format!("`--escape` {fault}"))),
            None => Ok(format),
        }
    }

    /// The column of the text in files of this format.
    pub(crate) fn columns(self, text: &str) -> Result<DatasetConfig, InputError> {
        let (text, format) = (text.to_owned(), self.format()?);
        Ok(DatasetConfig { text, format, ..DatasetConfig::default() })
    }
}

/// Activations that probes read.
pub(crate) struct ProbedActivations {
    /// At every place that some probe reads; each has the same examples.
    pub(crate) places: Vec<ExternalActivations>,
    /// The place of each probe, an index into the others.
    pub(crate) of_probe: Vec<usize>,
}

impl DataArgs {
    /// Reads the activations that each probe reads, with labels if a kind is given; refuses those
    /// that are not what a probe was trained on.
    pub(crate) fn read_activations(
        &self,
        path: &Path,
        labels: Option<LabelKind>,
        (probes, model): (&[ProbeFile], &ModelArgs),
    ) -> Result<ProbedActivations> {
        let store = ExternalStore::open(path)?;
        let shown = format!("`{}`", path.display());
        let (mut places, mut of_probe): (Vec<Vec<usize>>, Vec<usize>) = (Vec::new(), Vec::new());
        for probe in probes {
            let origin = store.origin();
            probe.check_model(&MetModel {
                name: origin.model.as_deref(),
                revision: origin.revision.as_deref(),
                allows_other_revision: model.allow_other_revision,
                remedy: "give activations of the probe's model",
            })?;
            probe.check_convention(origin.convention, &shown)?;
            let sites = self.sites_of(probe, &store)?;
            let known = places.iter().position(|place| *place == sites);
            of_probe.push(known.unwrap_or(places.len()));
            if known.is_none() {
                places.push(sites);
            }
        }
        let mut config = ExternalConfig {
            hook: None,
            with_labels: labels.is_some(),
            label_kind: labels.unwrap_or_default(),
            pad_token_id: self.pad_token_id,
            left_out: BTreeSet::new(),
        };
        let read = |config: &ExternalConfig| {
            places.iter().map(|sites| store.read(sites, config)).collect::<Result<Vec<_>, _>>()
        };
        let mut found = read(&config)?;
        // A row that one place lacks is left out at all of them.
        config.left_out = found.iter().flat_map(|place| &place.skipped).copied().collect();
        if found.iter().any(|place| place.skipped.len() < config.left_out.len()) {
            found = read(&config)?;
        }
        for (probe, &place) in probes.iter().zip(&of_probe) {
            probe.check_width(found[place].d_model, &shown)?;
        }
        Ok(ProbedActivations { places: found, of_probe })
    }

    /// The sites that a probe reads: those that it says, unless it leaves them open or the
    /// activations do not say what they are.
    fn sites_of(&self, probe: &ProbeFile, store: &ExternalStore) -> Result<Vec<usize>> {
        let of_probe = probe.hooks()?;
        let flag = self.hook.as_deref();
        let is_told = store.sites().iter().any(|site| site.is_hook);
        let Some(hooks) = of_probe.filter(|_| is_told) else {
            return Ok(vec![store.choose(flag)?]);
        };
        if let Some(flag) = flag
            && hooks != [flag]
        {
            return Err(probe
                .wrong(&format!(
                    "`--hook {flag}` contradicts the probe, which reads {}; leave out the flag",
                    listed(&hooks)
                ))
                .into());
        }
        let site = |hook: &String| {
            store.sites().iter().position(|site| site.name == *hook).ok_or_else(|| {
                let there: Vec<String> =
                    store.sites().iter().map(|site| site.name.clone()).collect();
                probe.wrong(&format!(
                    "it reads `{hook}`, which `{}` does not have; hooks there: {}",
                    store.path().display(),
                    listed(&there)
                ))
            })
        };
        hooks.iter().map(|hook| site(hook).map_err(Into::into)).collect()
    }
}

impl TextArgs {
    /// The column of the text, in files of the format that the flags say.
    pub(crate) fn columns(&self) -> Result<DatasetConfig, InputError> {
        self.table.columns(&self.text)
    }

    /// The texts of a file or data set.
    pub(crate) fn source<'a>(
        &'a self,
        path: &'a Path,
        hub: Option<&'a HubAccess>,
    ) -> TextSource<'a> {
        TextSource { path, split: &self.split, hub }
    }
}
