//! Why a page of results could not be made.

use attention_probes_activations::ActivationError;
use attention_probes_errors::{ErrorKind, FileError, Stopped};
use attention_probes_metrics::MetricError;
use attention_probes_probes::ProbeError;
use attention_probes_report::ReportError;
use attention_probes_sweep::SweepError;

/// Why a page of results could not be made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PageError {
    /// A signal to stop was given.
    #[error(transparent)]
    Stopped(#[from] Stopped),

    /// The results of a sweep cannot be read.
    #[error(transparent)]
    Sweep {
        /// Why.
        #[from]
        source: SweepError,
    },

    /// A saved probe cannot be used.
    #[error(transparent)]
    Probe {
        /// Why.
        source: ProbeError,
    },

    /// Numbers cannot be measured.
    #[error(transparent)]
    Metric {
        /// Why.
        #[from]
        source: MetricError,
    },

    /// A file or folder cannot be read or written.
    #[error(transparent)]
    File(#[from] FileError),

    /// Texts or activations cannot be read, or a page cannot be written.
    #[error(transparent)]
    Activation {
        /// Why.
        source: ActivationError,
    },

    /// The results do not fit together.
    #[error(transparent)]
    Report {
        /// Why.
        #[from]
        source: ReportError,
    },
}

impl From<ProbeError> for PageError {
    fn from(source: ProbeError) -> Self {
        match source {
            ProbeError::Stopped(stopped) => stopped.into(),
            source => Self::Probe { source },
        }
    }
}

impl From<ActivationError> for PageError {
    fn from(source: ActivationError) -> Self {
        match source {
            ActivationError::Stopped => Stopped.into(),
            source => Self::Activation { source },
        }
    }
}

impl PageError {
    /// What kind of error it is. Numbers that do not fit on their page are a fault: they come from
    /// results that these libraries have made.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Stopped(stopped) => stopped.kind(),
            Self::Sweep { source } => source.kind(),
            Self::Probe { source } => source.kind(),
            Self::Metric { source } => source.kind(),
            Self::Activation { source } => source.kind(),
            Self::File(error) => error.kind(),
            Self::Report { .. } => ErrorKind::Fault,
        }
    }

    /// Whether a file, a folder, a model, or a repository of the Hub is not there.
    pub fn is_not_found(&self) -> bool {
        match self {
            Self::Sweep { source } => source.is_not_found(),
            Self::Probe { source } => source.is_not_found(),
            Self::Activation { source } => source.is_not_found(),
            Self::File(error) => error.is_not_found(),
            _ => false,
        }
    }
}
