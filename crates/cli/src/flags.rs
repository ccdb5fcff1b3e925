//! Flags of a command line, and what is wrong with one in plain words.

use std::ffi::OsString;

use clap::Parser;
use clap::error::{ContextKind, ContextValue, Error, ErrorKind};

use crate::{exit, stderr};

/// What the standard library and clap say of a number, and what a person would.
const WORDS: [(&str, &str); 6] = [
    ("number would be zero for non-zero type", "expected a whole number from 1 on"),
    (" is not in 1..18446744073709551615", ", expected a whole number from 1 on"),
    ("invalid digit found in string", "expected a whole number"),
    ("cannot parse integer from empty string", "expected a whole number"),
    ("number too large to fit in target type", "it is too large"),
    ("invalid float literal", "expected a number"),
];

/// Flags of other programs, and what they are called here.
const ELSEWHERE: [(&str, &str); 3] =
    [("--model_dtype", "--dtype"), ("--model_name", "--model"), ("--n_epochs", "--epochs")];

/// The flags of a command line, whose first argument is the name of the command.
///
/// # Errors
///
/// The exit code, after help was printed to stdout (0), or what is wrong to stderr (2).
pub fn parse<T: Parser>(args: impl IntoIterator<Item = OsString>) -> Result<T, u8> {
    T::try_parse_from(args).map_err(|mut error| {
        let unknown = match error.get(ContextKind::InvalidArg) {
            Some(ContextValue::String(flag)) if error.kind() == ErrorKind::UnknownArgument => flag,
            _ => "",
        };
        if let Some((_, ours)) = ELSEWHERE.iter().find(|(flag, _)| *flag == unknown) {
            let ours = ContextValue::String((*ours).to_owned());
            error.insert(ContextKind::SuggestedArg, ours);
        }
        if error.kind() == ErrorKind::ValueValidation {
            stderr::line(in_words(&error).trim_end());
        } else {
            let _ = error.print(); // nobody may read it
        }
        if error.use_stderr() { exit::INPUT } else { exit::SUCCESS }
    })
}

fn in_words(error: &Error) -> String {
    let text = error.render().to_string();
    WORDS.iter().fold(text, |text, (foreign, plain)| text.replace(foreign, plain))
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroUsize;

    use clap::builder::RangedU64ValueParser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Numbers {
        #[arg(long)]
        n: Option<NonZeroUsize>,
        #[arg(long, value_parser = RangedU64ValueParser::<usize>::new().range(1..))]
        m: Option<usize>,
        #[arg(long)]
        x: Option<f64>,
    }

    #[test]
    fn numbers_that_are_none_are_said_in_plain_words() {
        for (args, expected) in [
            (["--n", "0"], "'--n <N>': expected a whole number from 1 on"),
            (["--n", "1e3"], "'--n <N>': expected a whole number\n"),
            (["--n", "99999999999999999999"], "'--n <N>': it is too large"),
            (["--m", "0"], "'--m <M>': 0, expected a whole number from 1 on"),
            (["--x", "y"], "'--x <X>': expected a number"),
        ] {
            let error = Numbers::try_parse_from([&["a"][..], &args].concat()).unwrap_err();
            let text = in_words(&error);
            assert!(text.contains(expected), "{text}");
        }
    }
}
