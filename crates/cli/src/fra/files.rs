//! The files of some layers: figures and page of each head, and pages of single texts.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::Result;
use attention_probes_activations::write_atomically;
use attention_probes_report::FraSampleLink;
use attention_probes_sae::SaeError;
use attention_probes_sae::fra::FraLayer;
use tracing::warn;

use super::examples::{self, Examples, Looked, ShownPairs};
use super::page::{self, Features, Links};
use super::report::{HeadReport, shown_pairs};
use super::sample::{Asked, Sample, resolve};
use super::subject::{Reader, TextIds};

/// Pairs of each head that a page of a text shows wherever they occur, and of the text itself.
const N_LINKED: usize = 30;

/// Names and contents of files.
pub(super) type Files = Vec<(String, Vec<u8>)>;

/// What the files are made from.
pub(super) struct Run<'a> {
    pub(super) reader: Reader<'a>,
    pub(super) layers: &'a [FraLayer<'a>],
    /// Texts that features and intervals are taken from, and for how many of them each layer has a
    /// page.
    pub(super) looked: Looked<'a>,
    /// Page of each layer's autoencoder, beside the files; empty where there is none.
    pub(super) sae_pages: &'a [String],
}

impl Run<'_> {
    /// Makes the files of each layer's heads, after it has added to the reports what a second look at
    /// some of the texts says; also returns the features that are shown of each layer.
    pub(super) fn files(&self, reports: &mut [Vec<HeadReport>]) -> Result<(Files, Vec<Features>)> {
        let shown: Vec<ShownPairs> = reports.iter().map(|heads| shown_pairs(heads)).collect();
        let found = examples::collect(self.reader, self.layers, &shown, self.looked)?;
        let mut files = Files::new();
        let mut features = Vec::new();
        for (place, (heads, examples)) in reports.iter_mut().zip(found).enumerate() {
            for head in &mut *heads {
                head.add_intervals(&examples);
            }
            files.extend(self.of_layer(place, heads, &examples)?);
            features.push(examples.features);
        }
        Ok((files, features))
    }

    fn of_layer(&self, place: usize, heads: &[HeadReport], examples: &Examples) -> Result<Files> {
        let Some(first) = heads.first() else { return Ok(Files::new()) };
        let (sae, n_texts) = (&self.sae_pages[place], Some(first.n_texts));
        let links = Links { sae, n_texts, ..Links::default() };
        let strongest = |head: &HeadReport| {
            let pairs = head.main_pairs().iter().take(N_LINKED);
            (head.head, pairs.map(|of| of.pair).collect())
        };
        let also: ShownPairs = heads.iter().map(strongest).collect();
        let numbers: Vec<usize> = heads.iter().map(|head| head.head).collect();
        let asked = Asked { heads: &numbers, n_top: N_LINKED, also: &also, sae: &first.sae };
        let mut samples = Vec::new();
        for text in &examples.texts {
            let TextIds { row, ids } = &self.looked.texts[*text];
            let page = format!("fra_sample_L{}_row{row}.html", first.layer);
            let link = FraSampleLink { name: format!("row {row}"), page };
            match resolve(self.reader, &self.layers[place], ids, &asked) {
                Ok(sample) => samples.push((link, sample)),
                // The scores, which statistics do not read, may be beyond what can be shown.
                Err(error) if is_non_finite(&error) => warn!("no page of row {row}: {error:#}"),
                Err(error) => return Err(error),
            }
        }
        let mut files = BTreeMap::new();
        for (link, sample) in &samples {
            let links = Links { text: &link.name, ..links };
            let page = page::of_sample(sample, &examples.features, links).to_html()?;
            files.insert(link.page.clone(), page.into_bytes());
        }
        let reports: Vec<_> = samples
            .iter()
            .map(|(link, sample): &(FraSampleLink, Sample<'_>)| (link.clone(), &sample.report))
            .collect();
        let pages = page::of_heads(heads, &examples.features, &reports, links)?;
        for (head, page) in heads.iter().zip(pages) {
            let mut text = serde_json::to_vec_pretty(head)?;
            text.push(b'\n');
            files.insert(format!("{}.json", head.file_stem()), text);
            files.insert(format!("{}.html", head.file_stem()), page.to_html()?.into_bytes());
        }
        Ok(files.into_iter().collect())
    }
}

fn is_non_finite(error: &anyhow::Error) -> bool {
    matches!(error.downcast_ref(), Some(SaeError::NonFinite { .. }))
}

/// Writes files into a folder.
pub(super) fn write(folder: &Path, files: &Files) -> Result<()> {
    fs::create_dir_all(folder)?;
    for (name, contents) in files {
        write_atomically(&folder.join(name), |file| file.write_all(contents))?;
    }
    Ok(())
}
