//! Why a page of results could not be made.

use attention_probes_errors::ErrorKind;

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

    /// A file or folder cannot be read or written.
    #[cfg(any(feature = "probes", feature = "sae"))]
    #[error(transparent)]
    File(#[from] attention_probes_errors::FileError),

    /// Texts or activations cannot be read, or a page cannot be written.
    #[cfg(any(feature = "probes", feature = "sae"))]
    #[error(transparent)]
    Activation {
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

impl PageError {
    /// What kind of error it is. Numbers that do not fit on their page are a fault: they come from
    /// results that these libraries have made.
    pub fn kind(&self) -> ErrorKind {
        match self {
            #[cfg(feature = "probes")]
            Self::Sweep { source } => source.kind(),
            #[cfg(feature = "probes")]
            Self::Probe { source } => source.kind(),
            #[cfg(any(feature = "probes", feature = "sae"))]
            Self::Metric { source } => source.kind(),
            #[cfg(any(feature = "probes", feature = "sae"))]
            Self::Activation { source } => source.kind(),
            #[cfg(any(feature = "probes", feature = "sae"))]
            Self::File(error) => error.kind(),
            Self::Report { .. } => ErrorKind::Fault,
        }
    }

    /// Whether a file, a folder, a model, or a repository of the Hub is not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            #[cfg(feature = "probes")]
            Self::Sweep { source } => source.is_not_found(),
            #[cfg(feature = "probes")]
            Self::Probe { source } => source.is_not_found(),
            #[cfg(any(feature = "probes", feature = "sae"))]
            Self::Activation { source } => source.is_not_found(),
            #[cfg(any(feature = "probes", feature = "sae"))]
            Self::File(error) => error.is_not_found(),
            _ => false,
        }
    }
}
