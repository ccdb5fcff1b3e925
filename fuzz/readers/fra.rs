//! Statistics of feature-resolved attention that a run goes on with, without their hash.

use std::sync::LazyLock;

use attention_probes_models::HookPoint;
use attention_probes_sae::fra::{FraLayer, FraStatistics, FraStatisticsConfig};
use attention_probes_sae::{Sae, SaeActivation, SaeConfig};

use crate::folder::Folder;
use crate::hashed::hashed;
use crate::tiny;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

/// An autoencoder of the stream before the layer.
fn sae() -> Sae {
    let d_sae = 16;
    let wave =
        |at: f32| (0..tiny::D_MODEL * d_sae).map(|i| (i as f32 * at).sin()).collect::<Vec<_>>();
    let mut sae = Sae {
        config: SaeConfig::new(tiny::D_MODEL, d_sae),
        activation: SaeActivation::Standard { b_enc: vec![0.01; d_sae] },
        encoder: wave(0.9),
        decoder: wave(1.3),
        b_dec: vec![0.0; tiny::D_MODEL],
    };
    sae.set_hook(HookPoint::ResidPre(0));
    sae
}

/// Statistics of no text.
pub(crate) fn blank() -> FraStatistics {
    let (model, sae) = (tiny::model(), sae());
    let layer = FraLayer::new(&sae, &model, 0).expect("the scores read the autoencoder's hook");
    let config = FraStatisticsConfig {
        heads: vec![0, 1],
        budget_bytes: 1 << 16,
        ..FraStatisticsConfig::default()
    };
    FraStatistics::new(&layer, config).expect("the layer has both heads")
}

thread_local! {
    static BLANK: FraStatistics = blank();
}

/// Whether the statistics are read.
pub(crate) fn read(bytes: &[u8]) -> bool {
    let path = FOLDER.put("fra.checkpoint", &hashed(bytes));
    let mut statistics = BLANK.with(FraStatistics::clone);
    statistics.load(&path, "these").is_ok()
}
