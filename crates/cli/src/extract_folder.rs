//! Activations of one shard of the texts, in part files of a folder.

use std::path::Path;

use anyhow::Result;
use attention_probes_activations::{Shard, ShardManifest, ShardWriter};
use attention_probes_models::{HookPoint, ModelAlone};
use attention_probes_sweep::Tracker;
use serde::Serialize;
use tracing::info;

use crate::extraction::Extraction;
use crate::progress::Progress;
use crate::source::{Pieces, Source};
use crate::token_rows::TokenRows;

/// A folder that is to be written.
pub(crate) struct OutputFolder<'a> {
    pub(crate) path: &'a Path,
    pub(crate) manifest: ShardManifest,
    pub(crate) shard: Shard,
}

/// What a shard holds after a run.
#[derive(Debug, Default, Serialize)]
pub(crate) struct ShardReport {
    /// Which shard, `I/N`.
    pub(crate) shard: String,
    /// First row, and the row after the last one.
    pub(crate) rows: [usize; 2],
    /// Part files that this run wrote.
    pub(crate) n_written: usize,
    /// Part files that were whole already.
    pub(crate) n_found: usize,
    /// Tokens in all part files.
    pub(crate) n_tokens: usize,
    /// Bytes of all part files.
    pub(crate) size_bytes: u64,
    /// Rows with NaN or infinity.
    pub(crate) non_finite_texts: Vec<usize>,
}

impl OutputFolder<'_> {
    /// Runs the model on the parts of the shard that are missing. `check` is asked about the rows
    /// with NaN or infinity, before the part that holds them gets its name.
    pub(crate) fn write(
        self,
        extraction: &Extraction<'_>,
        source: &Source,
        model: &ModelAlone,
        check: impl Fn(&[(usize, Option<HookPoint>)]) -> Result<()>,
    ) -> Result<ShardReport> {
        let rows = self.shard.rows(self.manifest.data.n_rows);
        let mut writer = ShardWriter::open(self.path, self.manifest, self.shard)?;
        let found = writer.parts().flat_map(|part| &part.non_finite_rows);
        check(&found.map(|row| (*row, None)).collect::<Vec<_>>())?;
        let missing = writer.missing();
        let n_found = writer.parts().count();
        if n_found > 0 {
            info!("{n_found} files of shard {} are whole, {} missing", self.shard, missing.len());
        }
        let mut pieces = Pieces::new(source);
        let mut bar = Progress::default();
        let mut n_done = rows.len() - missing.iter().map(|p| writer.rows(*p).len()).sum::<usize>();
        for &part in &missing {
            let part_rows = writer.rows(part);
            let tokens = pieces.read(part_rows.start, part_rows.len())?;
            let mut file = writer.begin(part, &tokens)?;
            let token_rows = TokenRows::new(tokens.ids, tokens.offsets);
            token_rows.check(&*model.model)?;
            let mut n_run = 0;
            let non_finite = extraction.run(
                &token_rows,
                &mut |values| Ok(file.write(values.hook, values.row, values.values)?),
                &mut |n| {
                    n_run += n;
                    bar.extracted("extract", n_done + n_run, rows.len());
                },
            )?;
            let non_finite: Vec<(usize, Option<HookPoint>)> = non_finite
                .into_iter()
                .map(|(row, hook)| (part_rows.start + row, Some(hook)))
                .collect();
            check(&non_finite)?;
            writer.finish(file, non_finite.into_iter().map(|(row, _)| row).collect())?;
            n_done += part_rows.len();
            bar.extracted("extract", n_done, rows.len());
        }
        bar.clear();
        pieces.note();
        let mut report = ShardReport {
            shard: self.shard.to_string(),
            rows: [rows.start, rows.end],
            n_written: missing.len(),
            n_found,
            ..ShardReport::default()
        };
        for part in writer.parts() {
            report.n_tokens += part.n_tokens;
            report.size_bytes += part.size_bytes;
            report.non_finite_texts.extend(&part.non_finite_rows);
        }
        writer.close()?;
        Ok(report)
    }
}
