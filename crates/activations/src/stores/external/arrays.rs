//! Activations out of one file of arrays: `x`, or arrays that are named as hooks, with labels.

use super::array_file::ArrayFile;
use super::labels::RowLabels;
use super::site::Sites;
use crate::{
    ActivationError, ExternalActivations, ExternalConfig, ExternalError, NpzArray, NpzData,
};

/// Names of the array that tells real tokens from padding: that of `probe extract` is the second.
const MASKS: [&str; 2] = ["mask", "attention_mask"];

/// Where the activations of a site are.
#[derive(Clone, Debug)]
pub(super) struct SiteArray {
    /// Name of the array.
    pub(super) array: String,
    /// Index along its second axis, where the array has the layers of a model.
    pub(super) index: Option<usize>,
}

/// Padded activations of a site.
struct Padded {
    x: Vec<f32>,
    /// `[n, pos, d_model]`; `[n, d_model]` is one token each.
    shape: [usize; 3],
}

/// Reads sites of a file; real tokens are packed, and bad examples left out. Rows of several sites
/// stand side by side.
pub(super) fn read_arrays(
    file: &ArrayFile,
    arrays: &[&SiteArray],
    class_names: Option<Vec<String>>,
    about: Sites,
    config: &ExternalConfig,
) -> Result<ExternalActivations, ActivationError> {
    let first = Padded::read(file, arrays[0])?;
    let shape = first.shape;
    let [n, pos, _] = shape;
    let mut sites = vec![first];
    for &array in &arrays[1..] {
        let site = Padded::read(file, array)?;
        if site.shape[..2] != shape[..2] {
            let (path, [one, other]) = (file.path().to_owned(), [arrays[0], array]);
            return Err(ExternalError::SiteShape {
                path,
                array: other.array.as_str().into(),
                shape: site.shape.as_slice().into(),
                other: one.array.as_str().into(),
                other_shape: shape.as_slice().into(),
            }
            .into());
        }
        sites.push(site);
    }
    let reader = Reader { file, shape };
    let mask = reader.mask()?;
    let labels = match file.read("y", None)? {
        Some(y) if config.with_labels => {
            if config.label_kind.is_class() {
                reader.check("y", &y.shape, &[&[n][..], &[n, 1]])?;
            }
            RowLabels::new(file.path(), config.label_kind, (y, n), class_names)?
        }
        _ => RowLabels::Absent,
    };
    let position = reader.integers("position")?;
    let input_ids = reader.integers("input_ids")?;
    let texts = reader.texts()?;

    let is_real = |token: &usize| mask.as_ref().is_none_or(|mask| mask[*token]);
    let (mut offsets, mut tokens) = (vec![0], Vec::new());
    let (mut source_rows, mut skipped) = (Vec::new(), Vec::new());
    for row in 0..n {
        let n_before = tokens.len();
        tokens.extend((row * pos..(row + 1) * pos).filter(is_real));
        let is_usable = |&token: &usize| sites.iter().all(|site| site.is_finite(token));
        let is_wanted = labels.has(row) && !config.left_out.contains(&row);
        if is_wanted && tokens.len() > n_before && tokens[n_before..].iter().all(is_usable) {
            offsets.push(tokens.len());
            source_rows.push(row);
        } else {
            tokens.truncate(n_before);
            skipped.push(row);
        }
    }
    if source_rows.is_empty() {
        let (path, n_skipped) = (file.path().to_owned(), skipped.len());
        return Err(ExternalError::NoUsableExamples { path, n_skipped }.into());
    }

    let packed: Vec<(Vec<f32>, usize)> = sites.into_iter().map(|site| site.pack(&tokens)).collect();
    let d_model = packed.iter().map(|(_, width)| width).sum();
    let of_tokens = |values: Vec<i64>| tokens.iter().map(|&token| values[token]).collect();
    let kept = labels.of(&source_rows);
    Ok(ExternalActivations {
        x: side_by_side(packed),
        offsets,
        labels: kept.labels,
        targets: kept.targets,
        classes: kept.classes,
        d_model,
        position: position.map(of_tokens),
        input_ids: input_ids.map(of_tokens),
        texts: texts.map(|texts| source_rows.iter().map(|&row| texts[row].clone()).collect()),
        groups: None,
        source_rows,
        skipped,
        sites: about.sites,
        origin: about.origin,
        hash: about.hash,
    })
}

/// Rows of several sites, `[n_tokens, width]` each, side by side; those of one stay where they are.
pub(super) fn side_by_side(mut sites: Vec<(Vec<f32>, usize)>) -> Vec<f32> {
    if sites.len() == 1 {
        return sites.remove(0).0;
    }
    let n_tokens = sites.first().map_or(0, |(x, width)| x.len() / width);
    let mut joined = Vec::with_capacity(sites.iter().map(|(x, _)| x.len()).sum());
    for token in 0..n_tokens {
        for (x, width) in &sites {
            joined.extend_from_slice(&x[token * width..(token + 1) * width]);
        }
    }
    joined
}

impl Padded {
    fn read(file: &ArrayFile, site: &SiteArray) -> Result<Self, ActivationError> {
        let path = file.path();
        let Some(NpzArray { shape, data }) = file.read(&site.array, site.index)? else {
            let (path, array) = (path.to_owned(), site.array.clone());
            return Err(ActivationError::MissingArray { path, array, arrays: Vec::new() });
        };
        let axes = match shape[..] {
            [n, d_model] => [n, 1, d_model],
            // The heads of a hook lie side by side.
            [n, pos, ref width @ ..] => [n, pos, width.iter().product()],
            _ => [0; 3],
        };
        match data.into_f32() {
            Some(x) if !axes.contains(&0) => Ok(Self { x, shape: axes }),
            _ => {
                let (path, array) = (path.to_owned(), site.array.clone());
                let expected = "floats, no axis 0";
                Err(ActivationError::ArrayShape { path, array, shape, expected })
            }
        }
    }

    fn is_finite(&self, token: usize) -> bool {
        let width = self.shape[2];
        self.x[token * width..(token + 1) * width].iter().all(|value| value.is_finite())
    }

    /// The rows of some tokens, ascending, and their width.
    fn pack(self, tokens: &[usize]) -> (Vec<f32>, usize) {
        let Self { mut x, shape: [_, _, width] } = self;
        // Tokens only move to the front, so none is overwritten before it has moved.
        for (to, &from) in tokens.iter().enumerate() {
            x.copy_within(from * width..(from + 1) * width, to * width);
        }
        x.truncate(tokens.len() * width);
        x.shrink_to_fit();
        (x, width)
    }
}

/// Reads what stands beside activations of a shape.
struct Reader<'a> {
    file: &'a ArrayFile,
    shape: [usize; 3],
}

impl Reader<'_> {
    /// `true` where the token is real; `None` if all are.
    fn mask(&self) -> Result<Option<Vec<bool>>, ActivationError> {
        let pos = self.shape[1];
        for name in MASKS {
            let Some(data) = self.of_tokens(name)? else { continue };
            let values: Vec<f64> = match data {
                NpzData::Bool(mask) => return Ok(Some(mask)),
                NpzData::F32(values) => values.into_iter().map(f64::from).collect(),
                NpzData::F64(values) => values,
                data => {
                    let integers =
                        data.into_i64().ok_or_else(|| self.wrong_type(name, "1 or 0"))?;
                    integers.into_iter().map(|value| value as f64).collect()
                }
            };
            let is_flag = |value: &f64| [0.0, 1.0].contains(value);
            return match values.iter().position(|value| !is_flag(value)) {
                None => Ok(Some(values.into_iter().map(|value| value > 0.5).collect())),
                Some(token) => Err(ActivationError::ArrayValue {
                    path: self.file.path().to_owned(),
                    array: name,
                    example: token / pos,
                    value: values[token],
                    expected: "1 for a real token or 0 for padding",
                }),
            };
        }
        Ok(None)
    }

    fn integers(&self, name: &'static str) -> Result<Option<Vec<i64>>, ActivationError> {
        let Some(data) = self.of_tokens(name)? else { return Ok(None) };
        match data {
            NpzData::F32(_) | NpzData::F64(_) => {
                let path = self.file.path().to_owned();
                Err(ActivationError::FloatArray { path, array: name })
            }
            data => data.into_i64().map(Some).ok_or_else(|| self.wrong_type(name, "integers")),
        }
    }

    fn texts(&self) -> Result<Option<Vec<String>>, ActivationError> {
        let Some(NpzArray { shape, data }) = self.file.read("text", None)? else { return Ok(None) };
        let n = self.shape[0];
        self.check("text", &shape, &[&[n][..], &[n, 1]])?;
        match data {
            NpzData::Text(texts) => Ok(Some(texts)),
            _ => Err(self.wrong_type("text", "strings")),
        }
    }

    /// An array of one value for each token, if there is one.
    fn of_tokens(&self, name: &'static str) -> Result<Option<NpzData>, ActivationError> {
        let Some(NpzArray { shape, data }) = self.file.read(name, None)? else { return Ok(None) };
        let [n, pos, _] = self.shape;
        let n_shapes = if pos == 1 { 2 } else { 1 };
        self.check(name, &shape, &[&[n, pos][..], &[n]][..n_shapes])?;
        Ok(Some(data))
    }

    /// Refuses an array whose shape is none of those expected.
    fn check(
        &self,
        array: &'static str,
        shape: &[usize],
        expected: &[&[usize]],
    ) -> Result<(), ActivationError> {
        if expected.contains(&shape) {
            return Ok(());
        }
        let (path, x_shape) = (self.file.path().to_owned(), self.shape.to_vec());
        Err(ActivationError::ArrayMismatch { path, array, shape: shape.to_vec(), x_shape })
    }

    fn wrong_type(&self, array: &str, expected: &'static str) -> ActivationError {
        let header = self.file.headers().ok().and_then(|mut all| all.remove(array)?.ok());
        let dtype = header.map_or_else(|| "strings".to_owned(), |header| header.dtype);
        let (path, array) = (self.file.path().to_owned(), array.to_owned());
        ExternalError::ArrayType { path, array, dtype, expected }.into()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::path::PathBuf;

    use attention_probes_models::Convention;

    use super::*;
    use crate::{ActivationOrigin, Component, ExternalStore, LabelKind, write_npz};

    fn file(arrays: &[(&str, NpzArray)]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.npz");
        write_npz(&path, arrays).unwrap();
        (folder, path)
    }

    fn read(arrays: &[(&str, NpzArray)]) -> Result<ExternalActivations, ActivationError> {
        ExternalActivations::read(file(arrays).1)
    }

    /// Four examples of two tokens of width two, numbered from 0.
    fn x() -> Vec<f32> {
        (0..16_u8).map(f32::from).collect()
    }

    fn array(shape: &[usize], data: impl Into<NpzData>) -> NpzArray {
        NpzArray::new(shape.to_vec(), data)
    }

    fn text(values: &[&str]) -> NpzArray {
        array(&[values.len()], values.iter().map(|&value| value.to_owned()).collect::<Vec<_>>())
    }

    fn scalar(value: &str) -> NpzArray {
        array(&[], vec![value.to_owned()])
    }

    #[test]
    fn real_tokens_are_packed_and_bad_examples_left_out() {
        let mut x = x();
        x[5] = f32::NAN; // example 1, token 0: a real token
        x[13] = f32::INFINITY; // example 3, token 0: padding
        let activations = read(&[
            ("x", array(&[4, 2, 2], x)),
            ("mask", array(&[4, 2], vec![1_i64, 1, 1, 1, 0, 0, 0, 1])),
            ("y", array(&[4], vec![10_i32, 3, 4, 9])),
            ("input_ids", array(&[4, 2], (20..28_i64).collect::<Vec<_>>())),
            ("text", text(&["a", "b", "c", "d"])),
            ("notes", array(&[], vec![1_u8])),
        ])
        .unwrap();
        assert_eq!(activations.x, [0.0, 1.0, 2.0, 3.0, 14.0, 15.0]);
        assert_eq!(activations.offsets, [0, 2, 3]);
        assert_eq!(activations.input_ids, Some(vec![20, 21, 27]));
        assert_eq!(activations.texts, Some(vec!["a".to_owned(), "d".to_owned()]));
        assert_eq!((activations.source_rows, activations.skipped), (vec![0, 3], vec![1, 2]));
        assert_eq!(activations.classes, ["9", "10"]);
        assert_eq!(activations.labels, Some(vec![1, 0]));
        assert_eq!((activations.d_model, activations.position), (2, None));
        assert_eq!(activations.origin, ActivationOrigin::default());
    }

    #[test]
    fn labels_may_be_absent_and_a_mask_of_any_type() {
        let flags = [true, false, true, true, true, true, true, true];
        let masks: [NpzData; 4] = [
            flags.to_vec().into(),
            flags.map(u8::from).to_vec().into(),
            flags.map(|flag| f32::from(u8::from(flag))).to_vec().into(),
            flags.map(|flag| f64::from(u8::from(flag))).to_vec().into(),
        ];
        for mask in masks {
            let activations =
                read(&[("x", array(&[4, 2, 2], x())), ("mask", array(&[4, 2], mask))]).unwrap();
            assert_eq!(activations.offsets, [0, 1, 3, 5, 7]);
            assert_eq!(activations.labels, None);
            assert!(activations.classes.is_empty());
        }
    }

    #[test]
    fn one_row_per_example_needs_neither_positions_nor_a_mask() {
        let x = || ("x", array(&[8, 2], x()));
        let found = read(&[x(), ("y", array(&[8, 1], vec![0_i64, 1, 0, 1, 0, 1, 0, 1]))]).unwrap();
        assert_eq!(found.offsets, (0..=8).collect::<Vec<_>>());
        assert_eq!((found.d_model, found.n_examples()), (2, 8));
        assert_eq!(found.labels, Some(vec![0, 1, 0, 1, 0, 1, 0, 1]));
        let ids = ("input_ids", array(&[8], (0..8).collect::<Vec<i64>>()));
        let mask = ("mask", array(&[8, 1], vec![1_u8, 0, 1, 1, 1, 1, 1, 1]));
        let found = read(&[x(), ids, mask]).unwrap();
        assert_eq!(found.input_ids, Some(vec![0, 2, 3, 4, 5, 6, 7]));
        assert_eq!(found.skipped, [1]);
    }

    #[test]
    fn classes_are_strings_integers_or_floats_that_are_integers() {
        let x = || ("x", array(&[4, 4], x()));
        let names = |y: NpzArray| {
            let found = read(&[x(), ("y", y)]).unwrap();
            let label = |label: usize| found.classes[label].clone();
            let labels: Vec<String> = found.labels.unwrap().into_iter().map(label).collect();
            (found.classes.join(","), labels.join(","), found.skipped)
        };
        let expected = |classes: &str, labels: &str, skipped: &[usize]| {
            (classes.to_owned(), labels.to_owned(), skipped.to_vec())
        };
        let found = names(text(&["pos", "neg", "", "pos"]));
        assert_eq!(found, expected("neg,pos", "pos,neg,pos", &[2]));
        let found = names(array(&[4], vec![10.0_f32, 9.0, 10.0, f32::NAN]));
        assert_eq!(found, expected("9,10", "10,9,10", &[3]));
        let found = names(array(&[4], vec![true, false, true, true]));
        assert_eq!(found, expected("0,1", "1,0,1,1", &[]));
        // Negative numbers are classes, unless they are numbers of names.
        let found = names(array(&[4], vec![-1_i64, 1, -1, 1]));
        assert_eq!(found, expected("-1,1", "-1,1,-1,1", &[]));

        let with_names = |y: NpzArray, class_names: &[&str]| {
            read(&[x(), ("y", y), ("class_names", text(class_names))])
        };
        let found =
            with_names(array(&[4], vec![1_i64, 0, -1, 1]), &["yes", "no", "never"]).unwrap();
        // In the order of their numbers, and without the one that has no example.
        assert_eq!(found.classes, ["yes", "no"]);
        assert_eq!((found.labels, found.skipped), (Some(vec![1, 0, 1]), vec![2]));
        let found = with_names(text(&["no", "yes", "no", "yes"]), &["yes", "no"]).unwrap();
        assert_eq!(found.labels, Some(vec![1, 0, 1, 0]));

        let error = with_names(array(&[4], vec![0_u8, 1, 2, 0]), &["a", "b"]).unwrap_err();
        assert!(error.to_string().contains("has 2 at example 2, but `class_names` has 2 names"));
        let error = with_names(text(&["a", "b", "c", "a"]), &["a", "b"]).unwrap_err();
        assert!(error.to_string().contains("has `c` at example 2, which is not in `class_names`"));
        let error = with_names(text(&["a", "b", "a", "a"]), &["a", "b", "a"]).unwrap_err();
        assert!(error.to_string().ends_with("expected a list of different strings"), "{error}");
        let error = read(&[x(), ("y", array(&[4], vec![0.0, 1.0, 0.37, 1.0]))]).unwrap_err();
        assert!(
            error.to_string().ends_with(
                "has 0.37 at example 2, which is no class; set `label_kind` to `number`, or round it"
            ),
            "{error}"
        );
    }

    #[test]
    fn labels_of_other_kinds_take_their_names_from_the_file() {
        let (_folder, path) = file(&[
            ("x", array(&[4, 4], x())),
            ("y", array(&[4, 2], vec![1_u8, 0, 1, 1, 0, 1, 0, 0])),
            ("class_names", text(&["warm", "long"])),
        ]);
        let read = |label_kind| {
            let config = ExternalConfig { label_kind, ..ExternalConfig::default() };
            ExternalActivations::read_with(&path, &config)
        };
        let targets = read(LabelKind::Labels).unwrap().targets.unwrap();
        assert_eq!(targets.names, ["warm", "long"]);
        assert_eq!(targets.numbers(), [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
        assert!(matches!(
            read(LabelKind::Class),
            Err(ActivationError::ArrayMismatch { array: "y", .. })
        ));
        let (_folder, path) =
            file(&[("x", array(&[4, 4], x())), ("y", text(&["a", "b", "a", "b"]))]);
        let config = ExternalConfig { label_kind: LabelKind::Number, ..ExternalConfig::default() };
        let error = ExternalActivations::read_with(&path, &config).unwrap_err().to_string();
        assert!(
            error.ends_with("holds strings, expected numbers for this `label_kind`"),
            "{error}"
        );
    }

    #[test]
    fn a_file_says_which_model_and_layer_its_activations_are_of() {
        let (_folder, path) = file(&[
            ("x", array(&[4, 2, 2], x())),
            ("model", scalar("org/llama")),
            ("revision", scalar("main")),
            ("layer", array(&[], vec![12_i64])),
            ("component", scalar("mlp_out")),
            ("convention", scalar("tl_processed")),
            ("max_tokens", array(&[1], vec![256_i32])),
        ]);
        let found = ExternalActivations::read(&path).unwrap();
        assert_eq!(found.sites[0].name, "blocks.12.hook_mlp_out");
        assert_eq!(found.sites[0].place, Some((12, Component::MlpOut)));
        let expected = ActivationOrigin {
            model: Some("org/llama".to_owned()),
            revision: Some("main".to_owned()),
            convention: Some(Convention::TlProcessed),
            max_tokens: Some(256),
            data_hash: None,
        };
        assert_eq!(found.origin, expected);
        assert!(ExternalActivations::read_hook(&path, Some("blocks.12.hook_mlp_out")).is_ok());

        for (name, value, expected) in [
            ("layer", array(&[], vec![-1_i64]), "has `layer` `-1`, expected one whole number"),
            ("layer", array(&[2], vec![1_i64, 2]), "expected one whole number from 0 on"),
            ("layer", scalar("three"), "expected one whole number from 0 on"),
            ("model", array(&[], vec![1_i64]), "has `model` `no single string`"),
            ("convention", scalar("folded"), "expected `raw` or `tl_processed`"),
            ("component", scalar("mlp"), "component `mlp` is not known"),
        ] {
            let error = read(&[("x", array(&[4, 4], x())), (name, value)]).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn several_layers_are_sites_that_are_read_one_by_one_or_side_by_side() {
        let by_layer = [
            ("x.10", array(&[4, 2, 2], x())),
            ("x.2", array(&[4, 2, 2], x().iter().map(|x| -x).collect::<Vec<_>>())),
        ];
        let together: Vec<f32> = x()
            .chunks(4)
            .flat_map(|x| [x.iter().map(|x| -x).collect(), x.to_vec()].concat())
            .collect();
        let one_array =
            [("x", array(&[4, 2, 2, 2], together)), ("layers", array(&[2], vec![2_i64, 10]))];
        for arrays in [&by_layer, &one_array] {
            let (_folder, path) = file(arrays);
            let store = ExternalStore::open(&path).unwrap();
            let places: Vec<_> = store.sites().iter().map(|site| site.place).collect();
            let expected = [2, 10].map(|layer| Some((layer, Component::ResidPost)));
            assert_eq!(places, expected);
            let read = |sites: &[usize]| store.read(sites, &ExternalConfig::default()).unwrap();
            assert_eq!(read(&[1]).x, x());
            assert_eq!(read(&[0]).x[..3], [-0.0, -1.0, -2.0]);
            let both = read(&[0, 1]);
            assert_eq!((both.d_model, both.sites.len()), (4, 2));
            assert_eq!(both.x[..8], [-0.0, -1.0, 0.0, 1.0, -2.0, -3.0, 2.0, 3.0]);
            // What is resumed under the hash of one layer must not be another.
            let hashes: BTreeSet<String> =
                [read(&[0]).hash, read(&[1]).hash, both.hash].into_iter().collect();
            assert_eq!(hashes.len(), 3);
            let left_out = BTreeSet::from([1, 3]);
            let config = ExternalConfig { left_out, ..ExternalConfig::default() };
            assert_eq!(store.read(&[1], &config).unwrap().source_rows, [0, 2]);
            let error = ExternalActivations::read(&path).unwrap_err().to_string();
            assert!(error.contains("several hooks, expected one; name one of them"), "{error}");
        }
        let refused = |arrays: &[(&str, NpzArray)], expected: &str| {
            let error = read(arrays).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        };
        refused(&one_array[..1], "has no array `layers`");
        let layers = |layers: Vec<i64>| ("layers", array(&[layers.len()], layers));
        refused(&[one_array[0].clone(), layers(vec![1, 2, 3])], "has shape [3], which contradicts");
        refused(&[one_array[0].clone(), layers(vec![1, 1])], "expected each layer once");
        refused(&[one_array[0].clone(), layers(vec![-1, 1])], "expected layers counted from 0");
        let (_folder, path) = file(&[by_layer[0].clone(), ("x.2", array(&[8, 2], x()))]);
        let store = ExternalStore::open(path).unwrap();
        let error = store.read(&[0, 1], &ExternalConfig::default()).unwrap_err().to_string();
        assert!(error.contains("which contradicts `x.2` with shape [8, 1, 2]"), "{error}");
    }

    #[test]
    fn arrays_that_are_named_as_hooks_are_sites_in_either_form_of_file() {
        use safetensors::tensor::{Dtype, TensorView};
        let folder = tempfile::tempdir().unwrap();
        let values = |x: &[f32]| x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let ints = |x: &[i64]| x.iter().flat_map(|x| x.to_le_bytes()).collect::<Vec<u8>>();
        let mask = [1, 1, 1, 0, 1, 1, 0, 0];
        let (x_bytes, mask_bytes, y) = (values(&x()), ints(&mask), ints(&[1, 0, 1, -1]));
        let narrow: Vec<u8> =
            x().iter().flat_map(|&x| half::bf16::from_f32(x).to_le_bytes()).collect();
        let view =
            |dtype, shape: &[usize], bytes| TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
        let tensors = [
            ("blocks.3.attn.hook_z", view(Dtype::BF16, &[4, 2, 2, 1], &narrow)),
            ("blocks.0.hook_resid_post", view(Dtype::F32, &[4, 2, 2], &x_bytes)),
            ("blocks.1.attn.hook_pattern", view(Dtype::F32, &[4, 1, 2, 2], &x_bytes)),
            ("attention_mask", view(Dtype::I64, &[4, 2], &mask_bytes)),
            ("y", view(Dtype::I64, &[4], &y)),
        ];
        let metadata = [("model", "demo"), ("layer_names", "?"), ("class_names", "[\"n\", \"p\"]")];
        let metadata = metadata.map(|(key, value)| (key.to_owned(), value.to_owned()));
        let path = folder.path().join("a.safetensors");
        let bytes = safetensors::serialize(tensors, Some(metadata.into_iter().collect())).unwrap();
        fs::write(&path, &bytes).unwrap();

        let json = br#"{"model": "demo", "class_names": ["n", "p"]}"#.to_vec();
        let (_npz_folder, npz) = file(&[
            ("blocks.3.attn.hook_z", array(&[4, 2, 2, 1], x())),
            ("blocks.0.hook_resid_post", array(&[4, 2, 2], x())),
            ("blocks.1.attn.hook_pattern", array(&[4, 1, 2, 2], x())),
            ("attention_mask", array(&[4, 2], mask.to_vec())),
            ("y", array(&[4], vec![1_i64, 0, 1, -1])),
            ("metadata", array(&[json.len()], json)),
        ]);
        let both = [&path, &npz].map(|path| {
            let store = ExternalStore::open(path).unwrap();
            assert_eq!(store.origin().model.as_deref(), Some("demo"));
            let of = |hook: &str| {
                let site = store.choose(Some(hook)).unwrap();
                store.read(&[site], &ExternalConfig::default())
            };
            let error = of("blocks.1.attn.hook_pattern").unwrap_err().to_string();
            assert!(error.ends_with("relates positions, expected one activation per token"));
            let [mut stream, mut z] =
                [of("blocks.0.hook_resid_post").unwrap(), of("blocks.3.attn.hook_z").unwrap()];
            assert_eq!(stream.x, z.x);
            assert_eq!(stream.x, [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 8.0, 9.0, 10.0, 11.0]);
            assert_eq!(
                (&stream.classes[..], stream.skipped.len()),
                (&["n".to_owned(), "p".to_owned()][..], 1)
            );
            assert_eq!(stream.labels, Some(vec![1, 0, 1]));
            stream.hash.clear();
            z.hash.clear();
            (stream, z)
        });
        assert_eq!(both[0], both[1]);

        for length in [0, 7, 100, bytes.len() - 1] {
            fs::write(&path, &bytes[..length]).unwrap();
            assert!(ExternalStore::open(&path).is_err(), "{length}");
        }
    }

    #[test]
    fn contradictions_are_refused_by_name() {
        let good = || ("x", array(&[4, 2, 2], x()));
        let ones = || ("mask", array(&[4, 2], vec![1_u8; 8]));
        let error = read(&[good(), ("mask", array(&[2, 4], vec![1_u8; 8]))]).unwrap_err();
        assert!(
            error
                .to_string()
                .ends_with("has shape [2, 4], which contradicts `x` with shape [4, 2, 2]")
        );
        let result = read(&[good(), ones(), ("y", array(&[3], vec![0_i64; 3]))]);
        assert!(matches!(result, Err(ActivationError::ArrayMismatch { array: "y", .. })));
        let result = read(&[good(), ones(), ("position", array(&[4, 2], vec![0.0_f32; 8]))]);
        assert!(matches!(result, Err(ActivationError::FloatArray { array: "position", .. })));
        let result = read(&[good(), ("mask", array(&[4, 2], vec![2_u8; 8]))]);
        assert!(matches!(result, Err(ActivationError::ArrayValue { array: "mask", .. })));
        let result = read(&[("x", array(&[16], x())), ones()]);
        assert!(matches!(result, Err(ActivationError::ArrayShape { array, .. }) if array == "x"));
        let result = read(&[good(), ("mask", array(&[4, 2], vec![0_u8; 8]))]);
        assert!(matches!(
            result,
            Err(ActivationError::External {
                source: ExternalError::NoUsableExamples { n_skipped: 4, .. }
            })
        ));
        let error = read(&[("x", array(&[4, 4], (0..16).collect::<Vec<i32>>()))]).unwrap_err();
        assert!(
            error.to_string().ends_with("holds int32, expected float16, float32, or float64"),
            "{error}"
        );
        let error = read(&[good(), ("mask", text(&["a"; 4]))]).unwrap_err().to_string();
        assert!(error.contains("array `mask`") && error.contains("has shape [4]"), "{error}");
        let error = read(&[ones()]).unwrap_err().to_string();
        assert!(error.contains("has no activations: expected an array `x`"), "{error}");
    }
}
