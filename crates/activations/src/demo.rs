//! Texts that come with this crate, for demos without a network; where they are from and under which
//! licences says `demo/README.md`.

/// 3,000 snippets of movie reviews, half of them positive: a CSV file with `text` and `label`.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::demo::SENTIMENT;
///
/// assert_eq!(SENTIMENT.lines().count(), 3001);
/// ```
pub const SENTIMENT: &str = include_str!("../demo/sentiment.csv");

/// 415 passages of children's books by four authors: a JSON Lines file with `text` and more.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::demo::PASSAGES;
///
/// assert_eq!(PASSAGES.lines().count(), 415);
/// ```
pub const PASSAGES: &str = include_str!("../demo/passages.jsonl");
