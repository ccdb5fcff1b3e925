//! Token ids of many texts as contexts of one length.

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;

/// Contexts of one length, packed from texts one after another.
///
/// Each begins with the token for the beginning, if the model has one; texts run on from one context
/// into the next, and the rest that fills no context is left out.
///
/// # Memory
///
/// Four bytes for each token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contexts {
    ids: Vec<u32>,
    length: usize,
    has_bos: bool,
}

impl Contexts {
    /// Packs texts; `separator`, if any, stands between two of them.
    ///
    /// # Panics
    ///
    /// If a context would have no room for a token of a text.
    pub fn pack<'a>(
        texts: impl IntoIterator<Item = &'a [u32]>,
        length: usize,
        bos: Option<u32>,
        separator: Option<u32>,
    ) -> Self {
        assert!(length > usize::from(bos.is_some()), "a context has room for a token");
        let mut ids = Vec::new();
        for (i, text) in texts.into_iter().enumerate() {
            let separator = separator.filter(|_| i > 0);
            // The tokenizer may have put the token for the beginning before every text.
            let text = text.strip_prefix(bos.as_slice()).unwrap_or(text);
            for id in separator.into_iter().chain(text.iter().copied()) {
                if ids.len().is_multiple_of(length) {
                    ids.extend(bos);
                }
                ids.push(id);
            }
        }
        ids.truncate(ids.len() / length * length);
        Self { ids, length, has_bos: bos.is_some() }
    }

    /// Takes the last `n` contexts away, and returns them.
    ///
    /// # Panics
    ///
    /// If there are not as many.
    #[must_use]
    pub fn split_off(&mut self, n: usize) -> Self {
        let ids = self.ids.split_off((self.len() - n) * self.length);
        Self { ids, ..*self }
    }

    /// Number of contexts.
    pub fn len(&self) -> usize {
        self.ids.len() / self.length
    }

    /// Whether the texts fill no context.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }

    /// Tokens of a context.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Tokens of a context that stand for text, not for its beginning.
    pub fn n_text_tokens(&self) -> usize {
        self.length - usize::from(self.has_bos)
    }

    /// Whether each context begins with the token for it.
    pub fn has_bos(&self) -> bool {
        self.has_bos
    }

    /// Ids of one context.
    ///
    /// # Panics
    ///
    /// If there is no such context.
    pub fn ids(&self, context: usize) -> &[u32] {
        &self.ids[context * self.length..][..self.length]
    }

    /// The order in which an epoch reads them.
    pub fn order(&self, seed: u64, epoch: u64) -> Vec<usize> {
        let mut order: Vec<usize> = (0..self.len()).collect();
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        // Another stream than the buffer's, which counts from 0.
        rng.set_stream(u64::MAX - epoch);
        order.shuffle(&mut rng);
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_run_on_and_every_context_has_its_beginning() {
        let texts: [&[u32]; 3] = [&[0, 1, 2, 3], &[0, 4], &[5, 6, 7]];
        let contexts = Contexts::pack(texts, 4, Some(0), Some(9));
        assert_eq!((contexts.len(), contexts.n_text_tokens()), (3, 3));
        assert_eq!(contexts.ids(0), [0, 1, 2, 3]);
        assert_eq!(contexts.ids(1), [0, 9, 4, 9]);
        assert_eq!(contexts.ids(2), [0, 5, 6, 7]);
        let plain = Contexts::pack(texts, 4, None, None);
        assert_eq!((plain.ids(0), plain.len()), (&[0, 1, 2, 3][..], 2));
        let (mut first, both) = (contexts.clone(), contexts.len());
        let last = first.split_off(2);
        assert_eq!((first.len(), last.len(), last.ids(1)), (both - 2, 2, contexts.ids(both - 1)));
        let mut order = plain.order(1, 0);
        order.sort_unstable();
        assert_eq!(order, [0, 1]);
    }
}
