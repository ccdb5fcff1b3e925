//! Which texts a probe was trained or selected on, kept beside its weights in few bytes.

use std::fmt::Write as _;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Most keys that are kept.
const MAX_KEYS: usize = 8192;

/// Bits of a key that are left out.
const CUT_BITS: u32 = 16;

/// Hexadecimal digits of a key.
const DIGITS: usize = (u64::BITS - CUT_BITS) as usize / 4;

/// The texts, or rows of activations, that a probe was trained or selected on.
///
/// Of each one it keeps 48 bits of a hash, and no more than the 8,192 lowest of them: of more
/// texts these are an even sample, which says how many texts are known without telling all of
/// them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TrainedOn {
    /// Ascending, each once.
    keys: Vec<u64>,
}

/// How many of some texts a probe was trained or selected on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownTexts {
    /// How many.
    pub n: usize,
    /// Whether `n` is an estimate.
    pub is_estimate: bool,
}

impl TrainedOn {
    /// Keeps the keys of texts, as [`text_key`] gives them, or of activations.
    ///
    /// [`text_key`]: attention_probes_activations::text_key
    pub fn new(keys: impl IntoIterator<Item = u64>) -> Self {
        Self::from_cut(keys.into_iter().map(|key| key >> CUT_BITS).collect())
    }

    fn from_cut(mut keys: Vec<u64>) -> Self {
        keys.sort_unstable();
        keys.dedup();
        keys.truncate(MAX_KEYS);
        Self { keys }
    }

    /// Whether nothing is known of what the probe was trained on.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// How many of these texts the probe was trained or selected on.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::text_key;
    /// use attention_probes::probes::{KnownTexts, TrainedOn};
    ///
    /// let trained_on = TrainedOn::new(["a fine film", "an awful one"].map(text_key));
    /// let known = trained_on.known(&["an awful  one", "unseen"].map(text_key));
    /// assert_eq!(known, KnownTexts { n: 1, is_estimate: false });
    /// ```
    pub fn known(&self, keys: &[u64]) -> KnownTexts {
        let is_sample = self.keys.len() == MAX_KEYS;
        let highest = self.keys.last().copied().filter(|_| is_sample).unwrap_or(u64::MAX);
        let comparable: Vec<u64> =
            keys.iter().map(|key| key >> CUT_BITS).filter(|key| *key <= highest).collect();
        let n_known = comparable.iter().filter(|key| self.keys.binary_search(key).is_ok()).count();
        let n = match comparable.len() {
            n if n == keys.len() => n_known,
            n => (n_known as f64 / n.max(1) as f64 * keys.len() as f64).round() as usize,
        };
        KnownTexts { n, is_estimate: comparable.len() < keys.len() }
    }
}

impl Serialize for TrainedOn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut digits = String::with_capacity(DIGITS * self.keys.len());
        for key in &self.keys {
            let _ = write!(digits, "{key:0DIGITS$x}");
        }
        serializer.serialize_str(&digits)
    }
}

impl<'de> Deserialize<'de> for TrainedOn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.as_bytes();
        let key = |digits: &[u8]| {
            let digits = str::from_utf8(digits).ok().filter(|_| digits.len() == DIGITS)?;
            let is_hex = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
            u64::from_str_radix(digits, 16).ok().filter(|_| is_hex)
        };
        let keys: Option<Vec<u64>> = digits.chunks(DIGITS).map(key).collect();
        keys.map(Self::from_cut).ok_or_else(|| {
            D::Error::custom("`trained_on` is no list of 12 hexadecimal digits each")
        })
    }
}

#[cfg(test)]
mod tests {
    use attention_probes_activations::text_key;

    use super::*;

    fn keys(texts: std::ops::Range<usize>) -> Vec<u64> {
        texts.map(|text| text_key(&format!("text {text}"))).collect()
    }

    #[test]
    fn few_texts_are_all_known_and_survive_json() {
        let trained_on = TrainedOn::new(keys(0..100));
        assert_eq!(trained_on.known(&keys(90..120)), KnownTexts { n: 10, is_estimate: false });
        let json = serde_json::to_string(&trained_on).unwrap();
        assert_eq!(json.len(), 2 + 100 * 12);
        assert_eq!(serde_json::from_str::<TrainedOn>(&json).unwrap(), trained_on);
        assert!(TrainedOn::default().known(&keys(0..3)).n == 0);
        for json in ["\"abc\"", "\"zzzzzzzzzzzz\"", "\"+00000000001\"", "\"ééé\"", "3"] {
            assert!(serde_json::from_str::<TrainedOn>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn of_many_texts_a_sample_tells_how_many_are_known() {
        let trained_on = TrainedOn::new(keys(0..50_000));
        let KnownTexts { n, is_estimate } = trained_on.known(&keys(45_000..55_000));
        assert!(is_estimate && (4_500..5_500).contains(&n), "{n}");
        assert_eq!(trained_on.known(&keys(50_000..60_000)).n, 0);
        let json = serde_json::to_string(&trained_on).unwrap();
        assert!(json.len() < 100_000, "{}", json.len());
        assert_eq!(serde_json::from_str::<TrainedOn>(&json).unwrap(), trained_on);
    }
}
