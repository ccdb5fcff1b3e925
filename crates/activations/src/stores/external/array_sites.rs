//! Which arrays of a file are activations, and what the file says about them.

use std::collections::BTreeMap;
use std::path::Path;

use attention_probes_models::{Convention, HookPoint};
use serde_json::{Map, Value};

use super::array_file::{ArrayFile, ArrayHeader};
use super::arrays::SiteArray;
use super::site::{ActivationOrigin, ExternalSite};
use crate::{ActivationError, Component, ExternalError, NpzArray, NpzData};

/// How arrays of one layer each begin.
const OF_LAYER: &str = "x.";

/// The shapes of `x`.
const SHAPES: &str =
    "floats of shape [n, d_model], [n, pos, d_model], or [n, n_layers, pos, d_model], no axis 0";

/// What is known of a file of arrays before its activations are read.
pub(super) struct ArraySites {
    pub(super) sites: Vec<ExternalSite>,
    /// The array of each site.
    pub(super) arrays: Vec<SiteArray>,
    pub(super) origin: ActivationOrigin,
    pub(super) class_names: Option<Vec<String>>,
}

/// Finds the activations of a file.
pub(super) fn array_sites(file: &ArrayFile) -> Result<ArraySites, ActivationError> {
    let mut headers = file.headers()?;
    let names: Vec<String> = headers.keys().cloned().collect();
    let about = About { file, metadata: file.metadata()? };
    let component = match about.text("component")? {
        Some(name) => name.parse::<Component>()?,
        None => Component::default(),
    };
    let known = |name: String| {
        let wrong = || about.wrong("convention", &name, "`raw` or `tl_processed`");
        Convention::named(&name).ok_or_else(wrong)
    };
    let convention = about.text("convention")?.map(known).transpose()?;
    let origin = ActivationOrigin {
        model: about.text("model")?,
        revision: about.text("revision")?,
        convention,
        max_tokens: about.number("max_tokens")?,
        data_hash: about.text("data_hash")?,
    };
    let class_names = about.class_names()?;

    let mut found = BTreeMap::new();
    if let Some(header) = headers.remove("x") {
        let header = header?;
        check(file.path(), "x", &header)?;
        if let Some(other) = headers.keys().find(|name| name.starts_with(OF_LAYER)) {
            let expected = "`x`, or an array for each layer, and not both";
            return Err(about.wrong("x", &format!("with `{other}`"), expected));
        }
        for (order, (site, array)) in
            sites_of_x(&about, &header, component)?.into_iter().enumerate()
        {
            found.insert((order, String::new()), (site, array));
        }
    } else {
        for (name, header) in headers {
            let Some((order, site)) = site_of(&name, component) else { continue };
            let header = header?;
            // Norms have one scale per token, which is a hook and not what a probe reads.
            if !header.is_float && !name.starts_with(OF_LAYER) {
                continue;
            }
            check(file.path(), &name, &header)?;
            let array = SiteArray { array: name.clone(), index: None };
            found.insert((order, name), (site, array));
        }
    }
    if found.is_empty() {
        let path = file.path().to_owned();
        return Err(ExternalError::NoActivations { path, arrays: names }.into());
    }
    let (sites, arrays): (Vec<ExternalSite>, Vec<SiteArray>) = found.into_values().unzip();
    for (index, site) in sites.iter().enumerate() {
        if sites[..index].iter().any(|other| other.name == site.name) {
            return Err(about.wrong("layers", &site.name, "each layer once"));
        }
    }
    Ok(ArraySites { sites, arrays, origin, class_names })
}

/// The site of an array that is one layer, or is named as a hook; and its place in the order.
fn site_of(name: &str, component: Component) -> Option<(usize, ExternalSite)> {
    if let Some(layer) = name.strip_prefix(OF_LAYER) {
        let layer: usize = layer.parse().ok()?;
        return Some((layer, ExternalSite::layer(layer, component)));
    }
    let hook: HookPoint = name.parse().ok()?;
    Some((hook.layer().unwrap_or(usize::MAX), ExternalSite::hook(name)))
}

/// The sites of `x`: the layers of its second axis, the layer that the file names, or an unknown
/// one.
fn sites_of_x(
    about: &About<'_>,
    header: &ArrayHeader,
    component: Component,
) -> Result<Vec<(ExternalSite, SiteArray)>, ActivationError> {
    let array = |index| SiteArray { array: "x".to_owned(), index };
    let &[_, n_layers, _, _] = &header.shape[..] else {
        if about.file.headers()?.contains_key("layers") {
            let shape = format!("{:?}", header.shape);
            let expected = "[n, n_layers, pos, d_model] with `layers`; of one layer give `layer`";
            return Err(about.wrong("x", &shape, expected));
        }
        let site = match about.number("layer")? {
            Some(layer) => ExternalSite::layer(layer, component),
            None => ExternalSite::unknown("x"),
        };
        return Ok(vec![(site, array(None))]);
    };
    let path = || about.file.path().to_owned();
    let Some(NpzArray { shape, data }) = about.file.read("layers", None)? else {
        let arrays = about.file.headers()?.into_keys().collect();
        let array = "layers".to_owned();
        return Err(ActivationError::MissingArray { path: path(), array, arrays });
    };
    if shape != [n_layers] {
        let (array, x_shape) = ("layers", header.shape.clone());
        return Err(ActivationError::ArrayMismatch { path: path(), array, shape, x_shape });
    }
    let Some(layers) = data.into_i64() else {
        return Err(ActivationError::FloatArray { path: path(), array: "layers" });
    };
    let site = |(index, layer): (usize, i64)| {
        let number = usize::try_from(layer)
            .map_err(|_| about.wrong("layers", &layer.to_string(), "layers counted from 0"))?;
        Ok((ExternalSite::layer(number, component), array(Some(index))))
    };
    layers.into_iter().enumerate().map(site).collect()
}

/// Refuses an array that cannot be activations, by its type and shape.
fn check(path: &Path, name: &str, header: &ArrayHeader) -> Result<(), ActivationError> {
    let path = path.to_owned();
    if !header.is_float {
        let (array, dtype) = (name.to_owned(), header.dtype.clone());
        let expected = "float16, float32, or float64";
        return Err(ExternalError::ArrayType { path, array, dtype, expected }.into());
    }
    let n_axes = if name == "x" { 2..=4 } else { 2..=5 };
    if n_axes.contains(&header.shape.len()) && !header.shape.contains(&0) {
        return Ok(());
    }
    let (array, shape) = (name.to_owned(), header.shape.clone());
    Err(ActivationError::ArrayShape { path, array, shape, expected: SHAPES })
}

/// What a file says about itself, in arrays of one value or beside its arrays.
struct About<'a> {
    file: &'a ArrayFile,
    metadata: Map<String, Value>,
}

impl About<'_> {
    fn wrong(&self, field: &str, value: &str, expected: &'static str) -> ActivationError {
        let (path, field) = (self.file.path().to_owned(), field.to_owned());
        ExternalError::Field { path, field, value: value.to_owned(), expected }.into()
    }

    /// A string; an empty one is none.
    fn text(&self, field: &str) -> Result<Option<String>, ActivationError> {
        let text = match self.file.read(field, None)?.map(|array| array.data) {
            Some(NpzData::Text(mut values)) if values.len() == 1 => values.pop(),
            Some(_) => return Err(self.wrong(field, "no single string", "one string")),
            None => self.metadata.get(field).and_then(Value::as_str).map(str::to_owned),
        };
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// A whole number from 0 on.
    fn number(&self, field: &str) -> Result<Option<usize>, ActivationError> {
        let expected = "one whole number from 0 on";
        let values = match self.file.read(field, None)?.map(|array| array.data) {
            None => {
                let value = match self.metadata.get(field) {
                    None | Some(Value::Null) => return Ok(None),
                    Some(Value::String(text)) => text.clone(),
                    Some(other) => other.to_string(),
                };
                return match value.parse() {
                    Ok(number) => Ok(Some(number)),
                    Err(_) => Err(self.wrong(field, &value, expected)),
                };
            }
            Some(data) => data.into_i64().unwrap_or_default(),
        };
        match values[..] {
            [value] => usize::try_from(value)
                .map(Some)
                .map_err(|_| self.wrong(field, &value.to_string(), expected)),
            _ => Err(self.wrong(field, "no single integer", expected)),
        }
    }

    /// The name of each class, by its number.
    fn class_names(&self) -> Result<Option<Vec<String>>, ActivationError> {
        let (field, expected) = ("class_names", "a list of different strings");
        let names = match self.file.read(field, None)?.map(|array| array.data) {
            Some(NpzData::Text(names)) => names,
            Some(_) => return Err(self.wrong(field, "no strings", expected)),
            None => {
                let Some(value) = self.metadata.get(field) else { return Ok(None) };
                // Safetensors keep strings alone, so a list is JSON in one.
                let names: Option<Vec<String>> = match value {
                    Value::String(json) => serde_json::from_str(json).ok(),
                    value => serde_json::from_value(value.clone()).ok(),
                };
                names.ok_or_else(|| self.wrong(field, &value.to_string(), expected))?
            }
        };
        let mut sorted: Vec<&String> = names.iter().collect();
        sorted.sort_unstable();
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0] == pair[1]) {
            return Err(self.wrong(field, pair[0], expected));
        }
        Ok(Some(names))
    }
}
