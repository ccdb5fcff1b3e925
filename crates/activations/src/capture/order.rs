//! Handing sequences on in the order given, although they come as their batches do.

use std::collections::BTreeMap;

use super::rows::{NonFinite, SequenceRows};

/// Sequences that wait for earlier ones.
pub(super) struct Waiting {
    /// `None` of a sequence that is not handed on.
    held: BTreeMap<usize, Option<Held>>,
    /// Which sequences have a token, and so are waited for.
    is_filled: Vec<bool>,
    next: usize,
}

struct Held {
    values: Vec<Vec<f32>>,
    n_tokens: usize,
    non_finite: Option<NonFinite>,
}

impl Waiting {
    pub(super) fn new(is_filled: Vec<bool>) -> Self {
        Self { held: BTreeMap::new(), is_filled, next: 0 }
    }

    /// Takes a sequence, or that it is skipped, and hands on all whose turn has come.
    pub(super) fn take<E>(
        &mut self,
        sequence: usize,
        rows: Option<&SequenceRows<'_>>,
        sink: &mut impl FnMut(&SequenceRows<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.pass_empty();
        if self.next != sequence {
            self.held.insert(sequence, rows.map(Held::copied));
            return Ok(());
        }
        if let Some(rows) = rows {
            sink(rows)?;
        }
        self.next += 1;
        self.pass_empty();
        while let Some(held) = self.held.remove(&self.next) {
            if let Some(Held { values, n_tokens, non_finite }) = held {
                let values = values.iter().map(Vec::as_slice).collect();
                sink(&SequenceRows { sequence: self.next, n_tokens, values, non_finite })?;
            }
            self.next += 1;
            self.pass_empty();
        }
        Ok(())
    }

    fn pass_empty(&mut self) {
        while self.is_filled.get(self.next) == Some(&false) {
            self.next += 1;
        }
    }
}

impl Held {
    fn copied(rows: &SequenceRows<'_>) -> Self {
        Self {
            values: rows.values.iter().map(|values| values.to_vec()).collect(),
            n_tokens: rows.n_tokens,
            non_finite: rows.non_finite,
        }
    }
}
