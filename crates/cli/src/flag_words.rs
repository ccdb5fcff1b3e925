//! What the libraries say to set, with the flags of the commands that set it.

/// The words of libraries that every program uses, and the same with flags.
const FLAGS: [(&str, &str); 8] = [
    // `ModelError::NoHubAccess`: the environment names no folder for the cache.
    ("give a `HubAccess`", "set `HF_HOME` to the folder of its cache"),
    ("an embedded model (", "an embedded model, which `--model` takes without network ("),
    ("what has come is kept", "what has come is kept; `--model demo-gpt2` needs no network"),
    // `ShardError::Other`
    (
        "name another folder, or replace them",
        "name another folder, or replace them with `--overwrite`",
    ),
    // `TableError`
    ("build with feature `parquet`", "build it with `cargo build --release --features parquet`"),
    ("set `quoting` to `none`", "give `quoting = \"none\"` or `--quoting none`"),
    ("set `quoting` to `minimal`", "give `quoting = \"minimal\"` or `--quoting minimal`"),
    ("set `escape` to `\\`", "give `escape = \"\\\\\"` or `--escape '\\'`"),
];

/// A message of a library, with flags where they mend it: those that every program has, and `more`.
pub(crate) fn with_flag_names(message: &str, more: &[(&str, &str)]) -> String {
    let put = |text: String, (words, flags): &(&str, &str)| text.replace(words, flags);
    FLAGS.iter().chain(more).fold(message.to_owned(), put)
}

#[cfg(test)]
mod tests {
    use attention_probes_activations::{ShardError, TableError};
    use attention_probes_models::ModelError;

    use super::*;

    #[test]
    fn messages_name_the_flags_that_mend_them() {
        let path = || "a".into();
        let (found, expected) = (String::new(), String::new());
        let shards = ShardError::Other { path: path(), what: "model", found, expected };
        for (error, n_flags) in [
            (shards.to_string(), 1),
            (TableError::OpenQuote { path: path(), line: 1 }.to_string(), 1),
            (TableError::TextAfterQuote { path: path(), line: 1, opened: 1 }.to_string(), 2),
            (TableError::SpaceBeforeQuote { path: path(), line: 1 }.to_string(), 1),
            (TableError::SwallowedRows { path: path(), first: 1, last: 2 }.to_string(), 2),
        ] {
            assert!(!error.contains("--"), "{error}");
            let shown = with_flag_names(&error, &[]);
            assert_eq!(shown.matches("`--").count(), n_flags, "{shown}");
        }
    }

    #[test]
    fn a_command_without_a_cache_names_the_variable_that_sets_it() {
        let error = ModelError::NoHubAccess { name: "gpt2".to_owned(), embedded: "demo-gpt2" };
        assert!(with_flag_names(&error.to_string(), &[]).contains("`HF_HOME`"), "{error}");
    }

    #[test]
    fn a_program_adds_its_own_and_other_messages_stay() {
        let flags = [("set it", "give `--it`")];
        assert_eq!(with_flag_names("cannot read `a.csv`", &flags), "cannot read `a.csv`");
        assert_eq!(with_flag_names("no name; set it", &flags), "no name; give `--it`");
    }
}
