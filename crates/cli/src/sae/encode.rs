//! `sae encode`: activations in, features out.

use std::io::Write;
use std::path::PathBuf;

use anyhow::Result;
use attention_probes_activations::{NpzArray, read_npz_arrays, write_npz};
use attention_probes_sae::read_sae;
use clap::Args;

use crate::exit::InputError;
use crate::input::ignore_broken_pipe;
use crate::output;
use crate::sae::kept::Kept;

/// Encode activations into features, as compressed rows.
#[derive(Args, Debug)]
pub struct EncodeArgs {
    /// The autoencoder, in any known form.
    #[arg(long)]
    pub sae: PathBuf,
    /// An npz with `x`, `[..., d_in]`, or `[..., n_heads, d_head]` of an autoencoder on `hook_z`.
    #[arg(long)]
    pub activations: PathBuf,
    /// The npz to write: `indptr`, `features`, `values`, and `shape`, and `reconstruction` with
    /// `--reconstruct`.
    #[arg(long)]
    pub output: PathBuf,
    /// Replace a file that is there already.
    #[arg(long)]
    pub overwrite: bool,
    /// Also write what the features decode to.
    #[arg(long)]
    pub reconstruct: bool,
}

/// Runs `sae encode`.
///
/// # Errors
///
/// If a file cannot be read or written, the width does not fit, or a number is not finite.
pub fn run(args: &EncodeArgs) -> Result<()> {
    output::check_file_beside(&args.output, [&*args.activations])?;
    output::check_absent(&args.output, args.overwrite)?;
    let sae = read_sae(&args.sae)?;
    Kept { path: &args.sae, sae: &sae }.warn_of_scale();
    let mut arrays = read_npz_arrays(&args.activations, &["x"], &[])?;
    let path = args.activations.display();
    let error = |reason: String| InputError(format!("`{path}`: {reason}"));
    let x = arrays.remove("x").ok_or_else(|| error("it has no array `x`".to_owned()))?;
    let shape = x.shape.clone();
    let d_in = sae.config.d_in;
    // Rows end where the last axes, one or two of them, make up a row.
    let last = |n: usize| shape.iter().rev().take(n).product::<usize>();
    let n_last = [1, 2].into_iter().find(|n| shape.len() >= *n && last(*n) == d_in);
    let Some(n_last) = n_last else {
        let reason = format!("`x` is {shape:?}, but the autoencoder reads rows of {d_in}");
        return Err(error(reason).into());
    };
    let values =
        x.data.into_f32().ok_or_else(|| error("`x` holds no floating-point numbers".to_owned()))?;
    if let Some(index) = values.iter().position(|value| !value.is_finite()) {
        let (row, value) = (index / d_in, values[index]);
        return Err(error(format!("`x` has {value} in row {row}; leave such rows out")).into());
    }
    let encoded = sae.encode(&values)?;
    let codes = &encoded.codes;
    let (mut indptr, mut features, mut active) = (vec![0_i64], Vec::new(), Vec::new());
    for (of_row, values) in codes.rows() {
        features.extend(of_row.iter().map(|feature| *feature as i32));
        active.extend_from_slice(values);
        indptr.push(features.len() as i64);
    }
    let mut codes_shape: Vec<i64> =
        shape[..shape.len() - n_last].iter().map(|n| *n as i64).collect();
    codes_shape.push(sae.config.d_sae as i64);
    let n_active = features.len();
    let mut written = vec![
        ("indptr", NpzArray::new(vec![indptr.len()], indptr)),
        ("features", NpzArray::new(vec![n_active], features)),
        ("values", NpzArray::new(vec![n_active], active)),
        ("shape", NpzArray::new(vec![codes_shape.len()], codes_shape)),
    ];
    if args.reconstruct {
        written.push(("reconstruction", NpzArray::new(shape, sae.decode(&encoded))));
    }
    write_npz(&args.output, &written)?;
    let mut stdout = std::io::stdout().lock();
    let l0 = n_active as f64 / codes.n_rows().max(1) as f64;
    let line = writeln!(stdout, "{} rows, {l0:.2} features active on average", codes.n_rows());
    ignore_broken_pipe(line.map_err(Into::into))
}
