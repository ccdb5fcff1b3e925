//! Activations of one shard of the texts, in part files of a folder.

use std::path::Path;

use attention_probes_models::HookPoint;
use tracing::info;

use super::data::Pieces;
use super::plan::Run;
use super::report::ShardReport;
use super::token_rows::TokenRows;
use crate::{ActivationError, Shard, ShardManifest, ShardWriter, Watch, capture_rows};

/// A folder that is to be written.
pub(super) struct OutputFolder<'a> {
    pub(super) path: &'a Path,
    pub(super) manifest: ShardManifest,
    pub(super) shard: Shard,
}

impl OutputFolder<'_> {
    /// Runs the model on the parts of the shard that are missing. Rows with NaN or infinity are
    /// refused, unless they are allowed, before the part that holds them gets its name.
    pub(super) fn write(self, run: &Run<'_>) -> Result<ShardReport, ActivationError> {
        let model = run.input.model;
        let rows = self.shard.rows(self.manifest.data.n_rows);
        let mut writer = ShardWriter::open(self.path, self.manifest, self.shard)?;
        let found = writer.parts().flat_map(|part| &part.non_finite_rows);
        run.check_finite(&found.map(|row| (*row, None)).collect::<Vec<_>>())?;
        let missing = writer.missing();
        let n_found = writer.parts().count();
        if n_found > 0 {
            info!("{n_found} files of shard {} are whole, {} missing", self.shard, missing.len());
        }
        let mut pieces = Pieces::new(run.input.data, model);
        let tell = |n_done| {
            if let Some(progress) = run.watch.progress {
                progress(n_done, rows.len());
            }
        };
        let mut n_done = rows.len() - missing.iter().map(|p| writer.rows(*p).len()).sum::<usize>();
        for &part in &missing {
            let part_rows = writer.rows(part);
            let tokens = pieces.read(part_rows.start, part_rows.len())?;
            let mut file = writer.begin(part, &tokens)?;
            let token_rows = TokenRows::new(tokens.ids, tokens.offsets);
            token_rows.check(model)?;
            let progress = |n_run: usize, _: usize| tell(n_done + n_run);
            let watch = Watch { progress: Some(&progress), ..run.watch.clone() };
            let summary = capture_rows(&run.capture(watch), &token_rows.sequences(), |found| {
                let mut hooks = found.values.iter().enumerate();
                hooks.try_for_each(|(hook, values)| file.write(hook, found.sequence, values))
            })?;
            let non_finite: Vec<(usize, Option<HookPoint>)> = summary
                .non_finite
                .iter()
                .map(|found| (part_rows.start + found.sequence, Some(found.hook)))
                .collect();
            run.check_finite(&non_finite)?;
            writer.finish(file, non_finite.into_iter().map(|(row, _)| row).collect())?;
            n_done += part_rows.len();
            tell(n_done);
        }
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
