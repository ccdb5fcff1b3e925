//! What long work tells, on the terminal.

use attention_probes_cli::progress::Progress;
use attention_probes_pages_sae::fra::FraRunEvent;
use attention_probes_sae::fra::{FraProgress, InductionHead};
use tracing::{info, warn};

/// Shows what a run tells; `data` is where its texts are from, and `added` what its bar is called
/// while texts are added.
pub(super) fn show(bar: &mut Progress, told: FraRunEvent<'_>, (data, added): (&str, &str)) {
    match told {
        FraRunEvent::GoesOn { path, n_texts } => {
            info!("going on from text {n_texts} with `{}`", path.display());
        }
        FraRunEvent::Progress(FraProgress::Added { done, total }) => {
            bar.advance_until_done(added, done, total);
        }
        FraRunEvent::Progress(FraProgress::LookedAt { done, total }) => {
            bar.advance_until_done("texts of the pairs", done, total);
        }
        FraRunEvent::Progress(FraProgress::LeftOut { row, index, value }) => {
            warn!("row {row} of `{data}` left out: value {index} of its activations is {value}");
        }
        FraRunEvent::Head(InductionHead { layer, head, score }) => info!(
            "head {head} of layer {layer} looks behind the earlier occurrence of a random token \
             with weight {score:.3}"
        ),
        FraRunEvent::SaePage { path, size_bytes, n_features } => {
            let size = size_bytes as f64 / f64::from(1 << 20);
            info!("wrote `{}` ({size:.2} MiB): {n_features} features", path.display());
        }
        FraRunEvent::NoPage { row, error } => {
            let error = anyhow::Error::from(error);
            warn!("no page of row {row}: {error:#}");
        }
        _ => {}
    }
}
