//! Statistics of feature-resolved attention that a run goes on with, without their hash.

use std::sync::LazyLock;

use attention_probes_sae::fra::{FraLayer, FraStatistics, FraStatisticsConfig};

use crate::folder::Folder;
use crate::hashed::hashed;
use crate::tiny;

static FOLDER: LazyLock<Folder> = LazyLock::new(Folder::new);

/// Statistics of no text.
pub(crate) fn blank() -> FraStatistics {
    let (model, sae) = (tiny::model(), tiny::sae());
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
