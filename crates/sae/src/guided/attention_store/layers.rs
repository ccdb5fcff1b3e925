//! Attention of several layers over the same contexts, in one file.

use std::collections::HashMap;
use std::fs::File;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;

use attention_probes_activations::{
    Batching, CaptureHook, CaptureOptions, ModelCapture, NonFinitePolicy, Watch, capture_rows,
};
use attention_probes_errors::FileError;
use attention_probes_models::HookPoint;
use attention_probes_models::files::TemporaryFile;
use memmap2::Mmap;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;

use super::column::{Column, Number};
use super::store::{AttentionStore, KeepAttention, PoolHeads};
use crate::SaeError;
use crate::train::{Contexts, ModelContexts};

/// Key of the metadata that says which contexts and model a file is of.
const DIGEST: &str = "attention_probes_digest";

/// Attention of several layers over the same contexts.
///
/// # Memory
///
/// That of each [`AttentionStore`]; none where it was opened from a file, which is mapped.
#[derive(Clone, Debug, PartialEq)]
pub struct AttentionLayers {
    layers: Vec<usize>,
    stores: Vec<AttentionStore>,
}

impl AttentionLayers {
    /// Runs a model over all contexts and keeps the attention of some layers; nothing of a context
    /// whose attention is not finite.
    ///
    /// `watch` is told the number of contexts that are done.
    ///
    /// # Errors
    ///
    /// - [`SaeError::Model`] if the model fails, or has no such layer.
    /// - [`SaeError::Stopped`] if the signal of `watch` is given.
    /// - the errors of [`AttentionStore::push`].
    pub fn extract(
        read: ModelContexts<'_>,
        layers: &[usize],
        (keep, pool): (KeepAttention, PoolHeads),
        watch: Watch<'_>,
    ) -> Result<Self, SaeError> {
        let ModelContexts { model, device, contexts, contexts_per_forward } = read;
        let n_heads = model.shape().n_heads;
        let hooks: Vec<CaptureHook> =
            layers.iter().map(|layer| HookPoint::Pattern(*layer).into()).collect();
        let mut extracted = Self::new(layers, contexts.length())?;
        let ids: Vec<&[u32]> = (0..contexts.len()).map(|i| contexts.ids(i)).collect();
        let options = CaptureOptions {
            batching: Batching::InOrder { max_sequences: contexts_per_forward.max(1) },
            non_finite: NonFinitePolicy::Keep,
            watch,
            ..CaptureOptions::default()
        };
        let capture = ModelCapture { model, device, hooks: &hooks, options };
        capture_rows(&capture, &ids, |rows| {
            let patterns = rows.values.iter().map(|pattern| pattern.to_vec()).collect();
            extracted.push(patterns, n_heads, (keep, pool))
        })?;
        Ok(extracted)
    }

    /// Begins without contexts.
    ///
    /// # Errors
    ///
    /// Those of [`AttentionStore::new`].
    pub(crate) fn new(layers: &[usize], length: usize) -> Result<Self, SaeError> {
        let stores = layers.iter().map(|_| AttentionStore::new(length));
        Ok(Self { layers: layers.to_vec(), stores: stores.collect::<Result<_, _>>()? })
    }

    /// Appends the patterns of some contexts, `[n, n_heads, length, length]` of each layer; nothing of
    /// a context whose attention is not finite.
    ///
    /// # Errors
    ///
    /// Those of [`AttentionStore::push`].
    pub(crate) fn push(
        &mut self,
        patterns: Vec<Vec<f32>>,
        n_heads: usize,
        (keep, pool): (KeepAttention, PoolHeads),
    ) -> Result<(), SaeError> {
        let size = n_heads * self.length() * self.length();
        for (mut pattern, store) in patterns.into_iter().zip(&mut self.stores) {
            // What is not finite guides nothing; its activations are left out elsewhere.
            for one in pattern.chunks_exact_mut(size) {
                if one.iter().any(|weight| !weight.is_finite()) {
                    one.fill(0.0);
                }
            }
            store.push(&pattern, n_heads, pool, keep)?;
        }
        Ok(())
    }

    #[cfg(test)]
    pub(crate) fn of(layers: Vec<(usize, AttentionStore)>) -> Self {
        let (layers, stores) = layers.into_iter().unzip();
        Self { layers, stores }
    }

    /// The layers, in the order of their stores.
    pub fn layers(&self) -> &[usize] {
        &self.layers
    }

    /// Number of contexts.
    pub fn n_contexts(&self) -> usize {
        self.stores.first().map_or(0, AttentionStore::n_sequences)
    }

    /// Tokens of a context.
    pub fn length(&self) -> usize {
        self.stores.first().map_or(0, AttentionStore::length)
    }

    /// Attention of a layer; `None` if it was not kept.
    pub fn of_layer(&self, layer: usize) -> Option<&AttentionStore> {
        let at = self.layers.iter().position(|one| *one == layer)?;
        self.stores.get(at)
    }

    /// Bytes that all layers take.
    pub fn size_bytes(&self) -> usize {
        self.stores.iter().map(AttentionStore::size_bytes).sum()
    }

    /// Writes a safetensors file: of each layer `layers.{l}.indptr` `u32 [n_rows + 1]`, `.keys`
    /// `u16`, `.weights` `f16`, and `.dropped` `f16 [n_rows]`.
    ///
    /// `digest` says what they are of; [`AttentionLayers::open`] asks for the same.
    ///
    /// # Errors
    ///
    /// [`SaeError::File`] if the file cannot be written.
    pub fn save(&self, path: &Path, digest: &str) -> Result<(), SaeError> {
        let write = |source| FileError::write(path)(source);
        let mut views: Vec<(String, TensorView<'_>)> = Vec::new();
        for (layer, store) in self.layers.iter().zip(&self.stores) {
            let mut put = |name: &str, view| views.push((format!("layers.{layer}.{name}"), view));
            put("indptr", view(&store.indptr).map_err(write)?);
            put("keys", view(&store.keys).map_err(write)?);
            put("weights", view(&store.weights).map_err(write)?);
            put("dropped", view(&store.dropped).map_err(write)?);
        }
        let metadata = HashMap::from([(DIGEST.to_owned(), digest.to_owned())]);
        let temporary = TemporaryFile::create(path).map_err(write)?;
        safetensors::serialize_to_file(views, Some(metadata), temporary.path())
            .map_err(|error| write(std::io::Error::other(error)))?;
        Ok(temporary.finish().map_err(write)?)
    }

    /// Maps a file that [`AttentionLayers::save`] wrote of the same contexts.
    ///
    /// # Errors
    ///
    /// - [`SaeError::File`] if it cannot be read.
    /// - [`SaeError::AttentionStore`] if it is damaged, lacks a layer, or was made from other
    ///   contexts or another model.
    pub fn open(
        path: &Path,
        digest: &str,
        layers: &[usize],
        contexts: &Contexts,
    ) -> Result<Self, SaeError> {
        let read = |source| FileError::read(path)(source);
        let fault = |reason| SaeError::AttentionStore { path: path.to_owned(), reason };
        let map = Arc::new(map(&File::open(path).map_err(read)?).map_err(read)?);
        let damaged = "it is no safetensors file";
        let (_, header) = SafeTensors::read_metadata(&map).map_err(|_| fault(damaged))?;
        let found = header.metadata().as_ref().and_then(|metadata| metadata.get(DIGEST));
        if found.is_none_or(|found| found != digest) {
            return Err(fault(
                "it was made with another tokenization, other texts, another model, or other settings",
            ));
        }
        let file = SafeTensors::deserialize(&map).map_err(|_| fault(damaged))?;
        let shape = (contexts.length(), contexts.len() * contexts.length());
        let store = |layer: &usize| read_store(&map, &file, *layer, shape).map_err(fault);
        let stores = layers.iter().map(store).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { layers: layers.to_vec(), stores })
    }
}

fn view<T: Number>(column: &Column<T>) -> std::io::Result<TensorView<'_>> {
    TensorView::new(T::DTYPE, vec![column.len()], column.bytes()).map_err(std::io::Error::other)
}

/// Reads a layer and checks every number of it.
fn read_store(
    map: &Arc<Mmap>,
    file: &SafeTensors<'_>,
    layer: usize,
    (length, n_rows): (usize, usize),
) -> Result<AttentionStore, &'static str> {
    let indptr: Column<u32> = column(map, file, &format!("layers.{layer}.indptr"))?;
    let keys: Column<u16> = column(map, file, &format!("layers.{layer}.keys"))?;
    let weights: Column<half::f16> = column(map, file, &format!("layers.{layer}.weights"))?;
    let dropped: Column<half::f16> = column(map, file, &format!("layers.{layer}.dropped"))?;
    let is_whole = indptr.len() == n_rows + 1
        && indptr.get(0) == 0
        && indptr.get(n_rows) as usize == keys.len()
        && indptr.iter().is_sorted()
        && weights.len() == keys.len()
        && dropped.len() == n_rows;
    if !is_whole {
        return Err("its rows are not those of the contexts");
    }
    let mut first = 0;
    for (row, end) in indptr.iter().skip(1).enumerate() {
        let end = end as usize;
        if keys.slice(first..end).any(|key| usize::from(key) > row % length) {
            return Err("a token attends to a later one");
        }
        first = end;
    }
    if weights.iter().chain(dropped.iter()).any(|weight| !(0.0..=1.001).contains(&weight.to_f32()))
    {
        return Err("a weight is not from 0 to 1");
    }
    Ok(AttentionStore { length, indptr, keys, weights, dropped })
}

fn column<T: Number>(
    map: &Arc<Mmap>,
    file: &SafeTensors<'_>,
    name: &str,
) -> Result<Column<T>, &'static str> {
    let tensor = file.tensor(name).map_err(|_| "it lacks a layer that is asked for")?;
    if tensor.dtype() != T::DTYPE || tensor.shape().len() != 1 {
        return Err("an array has another type or shape");
    }
    // A view is a part of the map, so this is where it begins in it.
    let start = tensor.data().as_ptr().addr() - map.as_ptr().addr();
    let bytes: Range<usize> = start..start + tensor.data().len();
    Ok(Column::mapped(Arc::clone(map), bytes))
}

#[expect(unsafe_code, reason = "mapping a file is unsafe: it may change beneath the map")]
fn map(file: &File) -> std::io::Result<Mmap> {
    // SAFETY: the file is written under another name and never written to again under its own.
    // Whoever changes it nonetheless changes numbers, every use of which is checked; whoever
    // shortens it ends the process with a signal, which no program that maps files can prevent.
    unsafe { Mmap::map(file) }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;
    use std::fs;

    use attention_probes_models::open_model;
    use burn::tensor::Device;

    use super::*;

    fn contexts() -> Contexts {
        let ids: Vec<u32> = (1..=80).collect();
        Contexts::pack([&ids[..]], 16, Some(0), None)
    }

    fn extracted(contexts: &Contexts) -> AttentionLayers {
        let device = Device::flex();
        let model = open_model("demo-gpt2", None, &device).unwrap();
        let read = ModelContexts {
            model: &*model.model,
            device: &device,
            contexts,
            contexts_per_forward: 2,
        };
        let settings = (KeepAttention::default(), PoolHeads::Mean);
        let done = RefCell::new(Vec::new());
        let progress = |n_done, _| done.borrow_mut().push(n_done);
        let watch = Watch { progress: Some(&progress), ..Watch::default() };
        let layers = AttentionLayers::extract(read, &[0, 2], settings, watch).unwrap();
        assert_eq!(*done.borrow(), [2, 4, 5]);
        layers
    }

    #[test]
    fn a_file_holds_what_was_extracted() {
        let (contexts, folder) = (contexts(), tempfile::tempdir().unwrap());
        let layers = extracted(&contexts);
        let path = folder.path().join("attention.safetensors");
        layers.save(&path, "these").unwrap();
        let opened = AttentionLayers::open(&path, "these", &[0, 2], &contexts).unwrap();
        assert_eq!(opened, layers);
        assert_eq!(opened.of_layer(2).unwrap().n_sequences(), 5);
        assert!(opened.of_layer(1).is_none());
        let row: Vec<(usize, f32)> = opened.of_layer(0).unwrap().row(3, 9).collect();
        assert!(!row.is_empty() && row.iter().all(|(key, _)| (1..9).contains(key)), "{row:?}");
    }

    #[test]
    fn a_file_of_something_else_is_refused() {
        let (contexts, folder) = (contexts(), tempfile::tempdir().unwrap());
        let path = folder.path().join("attention.safetensors");
        extracted(&contexts).save(&path, "these").unwrap();
        let error = |digest: &str, layers: &[usize], contexts: &Contexts| {
            AttentionLayers::open(&path, digest, layers, contexts).unwrap_err().to_string()
        };
        assert!(error("those", &[0], &contexts).contains("another tokenization"));
        assert!(error("these", &[1], &contexts).contains("lacks a layer"));
        let shorter = Contexts::pack([&[1_u32; 40][..]], 16, Some(0), None);
        assert!(error("these", &[0], &shorter).contains("not those of the contexts"));

        let mut bytes = fs::read(&path).unwrap();
        let end = bytes.len() - 1;
        bytes[end] = 0x7c; // infinity, among the weights or what was dropped, or a key far off
        fs::write(&path, &bytes).unwrap();
        let changed = AttentionLayers::open(&path, "these", &[0, 2], &contexts).unwrap_err();
        assert!(changed.to_string().contains("remove it"), "{changed}");
        bytes.truncate(bytes.len() / 2);
        fs::write(&path, bytes).unwrap();
        assert!(error("these", &[0], &contexts).contains("no safetensors file"));
    }
}
