//! What `TransformerLens` calls models of the Hub.

/// Names of models in `TransformerLens` that are no names of the Hub, and the repositories they mean.
const REPOSITORIES: [(&str, &str); 6] = [
    ("gpt2-small", "openai-community/gpt2"),
    ("gpt2-medium", "openai-community/gpt2-medium"),
    ("gpt2-large", "openai-community/gpt2-large"),
    ("gpt2-xl", "openai-community/gpt2-xl"),
    ("distillgpt2", "distilbert/distilgpt2"),
    ("distilgpt2", "distilbert/distilgpt2"),
];

/// How the names of models begin that `TransformerLens` has without their organisation.
const GOOGLE: &str = "gemma-";

/// The repository that `TransformerLens` calls by this name.
pub(crate) fn repository(name: &str) -> Option<String> {
    let known = REPOSITORIES.iter().find(|(known, _)| *known == name);
    let google = || {
        let is_plain = name.starts_with(GOOGLE) && !name.contains('/');
        is_plain.then(|| format!("google/{name}"))
    };
    known.map(|(_, repository)| (*repository).to_owned()).or_else(google)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_models_mean_repositories() {
        assert_eq!(repository("gpt2-small").unwrap(), "openai-community/gpt2");
        assert_eq!(repository("gemma-2-2b").unwrap(), "google/gemma-2-2b");
        assert_eq!(repository("google/gemma-2-2b"), None);
        assert_eq!(repository("demo-gpt2"), None);
    }
}
