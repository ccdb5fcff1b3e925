//! A saved probe at work: what it says about sequences, and about each of their tokens.

mod classes;
mod decisions;
mod error;
mod evaluation;
mod external;
mod labelled;
mod lines;
mod probe_file;
mod reading;
mod scorer;
mod site;
mod stream;
mod stream_origin;
mod text_line;
mod texts;
mod token_reader;
mod verdict;

pub use classes::KnownData;
pub use decisions::Decisions;
pub use error::{ApplyError, ModelRemedy, OtherModel, label_separator};
pub use evaluation::{
    AtThreshold, ClassEvaluation, EvaluateConfig, LabelledRows, LabelledTexts, OutputEvaluation,
    SavedEvaluation,
};
pub use external::{ProbedActivations, ProbedConfig};
pub use labelled::LabelledColumns;
pub use probe_file::ProbeFile;
pub(crate) use reading::padded;
pub use reading::{Prefixes, Reading, apply_probe};
pub use scorer::{NamedScore, Said, ScoreConfig, ScoredText, Scorer, TextResult, TextScore};
pub use site::{MetModel, ModelChoice, ProbedModel};
pub use stream::{
    NamedVerdict, StreamAnswer, StreamChecked, StreamConfig, StreamLine, StreamReader,
};
pub use stream_origin::StreamOrigin;
pub use text_line::{read_text_line, text_from_line};
pub use texts::{RowScorer, TextScorer};
pub use token_reader::{Contribution, KnownToken, TokenReader, TokenScore};
pub use verdict::{Judge, Scores, Verdict, VerdictConfig};
