//! Why a folder of shards could not be used.

use std::path::PathBuf;

use attention_probes_errors::{ErrorKind, did_you_mean, nearest};

use crate::wording::{listed, shown};

/// Why a folder of shards could not be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ShardError {
    /// A shard has a name that makes no sense.
    #[error(
        "shard `{}` is not one of at most {max}: give it as `I/N`, counted from 1, such as `3/10`",
        shown(name)
    )]
    Name {
        /// What was given.
        name: String,
        /// Most shards of a folder.
        max: usize,
    },
    /// A folder has files, but no manifest.
    #[error(
        "`{}` has other files than activations of this program; name a new folder, or an empty one",
        path.display()
    )]
    Foreign {
        /// The folder.
        path: PathBuf,
    },
    /// A folder holds other activations than those that are to be written.
    #[error(
        "`{}` holds activations of another {what}: `{}`, not `{}`; name another folder, or replace \
         them",
        path.display(), shown(found), shown(expected)
    )]
    Other {
        /// The folder.
        path: PathBuf,
        /// What differs.
        what: &'static str,
        /// What the folder says.
        found: String,
        /// What was asked for.
        expected: String,
    },
    /// Another process writes the same shard.
    #[error("another process works on shard {shard} of `{}`; wait until it has ended", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// The shard.
        shard: super::Shard,
    },
    /// A file is no JSON of the form that it should have.
    #[error("`{}` is damaged, or of another version", path.display())]
    Json {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// A file contradicts itself, or what is said about it.
    #[error(
        "`{}` is damaged: {reason}; run the extraction of shard {shard} again, which replaces it",
        path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        reason: &'static str,
        /// The shard that writes it.
        shard: super::Shard,
    },
    /// A manifest has a value that makes no sense.
    #[error("`{}` has a wrong `{field}`: {expected}", path.display())]
    Field {
        /// The file.
        path: PathBuf,
        /// The field.
        field: &'static str,
        /// What would have been accepted.
        expected: &'static str,
    },
    /// A shard is not there, or not complete.
    #[error("`{}` lacks rows of shard {shard}; extract that shard first", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
        /// The shard.
        shard: super::Shard,
    },
    /// Labels are needed, and a folder has none.
    #[error("`{}` has no labels; extract it again with the column of its labels", path.display())]
    NoLabels {
        /// The folder.
        path: PathBuf,
    },
    /// One hook is needed, and a folder has several.
    #[error("`{}` has several hooks, expected one; name one of them: {}",
        path.display(), listed(hooks)
    )]
    SeveralHooks {
        /// The folder.
        path: PathBuf,
        /// Their names.
        hooks: Vec<String>,
    },
    /// A hook was named that is not there.
    #[error(
        "`{}` has no hook `{}`; hooks: {}{}",
        path.display(), shown(hook), listed(hooks), did_you_mean(nearest(hook, hooks))
    )]
    NoSuchHook {
        /// The folder, or file.
        path: PathBuf,
        /// The hook that was asked for.
        hook: String,
        /// The hooks that exist.
        hooks: Vec<String>,
    },
    /// A hook that relates positions is no sequence of activations.
    #[error("`{hook}` of `{}` relates positions, expected one activation per token", path.display())]
    Pairs {
        /// The folder.
        path: PathBuf,
        /// The hook.
        hook: String,
    },
}

impl ShardError {
    /// [`ErrorKind::Input`].
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Input
    }

    /// Whether a shard has not been extracted.
    pub fn is_not_found(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }
}
