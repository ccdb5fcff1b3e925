//! Why a page of results could not be made.

/// Why a page of results could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// The results of a sweep cannot be read.
    #[cfg(feature = "probes")]
    #[error(transparent)]
    Sweep {
        /// Why.
        #[from]
        source: attention_probes_sweep::SweepError,
    },

    /// A saved probe cannot be used.
    #[cfg(feature = "probes")]
    #[error(transparent)]
    Probe {
        /// Why.
        #[from]
        source: attention_probes_probes::ProbeError,
    },

    /// Numbers cannot be measured.
    #[cfg(any(feature = "probes", feature = "sae"))]
    #[error(transparent)]
    Metric {
        /// Why.
        #[from]
        source: attention_probes_metrics::MetricError,
    },

    /// Texts or activations cannot be read, or a page cannot be written.
    #[cfg(any(feature = "probes", feature = "sae"))]
    #[error(transparent)]
    File {
        /// Why.
        #[from]
        source: attention_probes_activations::ActivationError,
    },

    /// The results do not fit together.
    #[error(transparent)]
    Report {
        /// Why.
        #[from]
        source: attention_probes_report::ReportError,
    },
}
