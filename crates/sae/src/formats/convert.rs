//! An autoencoder of any form as a folder of `SAELens`.

use std::path::Path;

use super::form::SaeFormat;
use super::published::{PublishedSae, SaeNote};
use super::read::read_sae;
use super::sae_lens::write_sae_lens;
use super::site_error::SiteError;
use crate::{SaeDtype, SaeError};

/// How an autoencoder is converted.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ConvertOptions {
    /// Whether an autoencoder of the same form is replaced. Default no.
    pub overwrite: bool,
    /// Type of the weights in the file; without it, the one that they were read in.
    pub dtype: Option<SaeDtype>,
}

/// Reads an autoencoder in any known form and writes it as a folder that `sae_lens` loads; returns
/// what a person should know.
///
/// # Errors
///
/// - [`SiteError::Occupied`] if the folder holds an autoencoder already, also if it is the one that is
///   read.
/// - the errors of [`read_sae`] and [`write_sae_lens`].
///
/// # Memory
///
/// The weights, twice.
pub fn convert_sae(
    from: &Path,
    to: &Path,
    options: ConvertOptions,
) -> Result<Vec<SaeNote>, SaeError> {
    let (read, written) = (from.canonicalize(), to.canonicalize());
    if read.is_ok_and(|read| written.is_ok_and(|written| read == written)) {
        return Err(SiteError::Occupied { path: to.to_owned(), hint: "" }.into());
    }
    let mut sae = read_sae(from)?;
    let earlier = SaeFormat::of(to).ok().map(|(format, _)| format);
    if earlier.is_some_and(|earlier| !options.overwrite || earlier != SaeFormat::SaeLens) {
        let hint = if earlier == Some(SaeFormat::SaeLens) { ", or overwrite it" } else { "" };
        return Err(SiteError::Occupied { path: to.to_owned(), hint }.into());
    }
    let mut notes: Vec<SaeNote> =
        PublishedSae { path: from, sae: &sae }.scale_note().into_iter().collect();
    if options.dtype.is_none() && !sae.config.mixed_dtypes.is_empty() {
        notes.push(SaeNote::MixedDtypes);
    }
    if let Some(dtype) = options.dtype {
        sae.config.dtype = dtype;
    }
    write_sae_lens(&sae, to)?;
    Ok(notes)
}
