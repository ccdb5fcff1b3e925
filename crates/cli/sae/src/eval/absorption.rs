//! `sae eval absorption`: the first letters of the words of a model's vocabulary.

use std::num::NonZeroUsize;

use anyhow::Result;
use attention_probes_cli_sae_words::{Follower, in_flags};
use attention_probes_errors::Stop;
use attention_probes_sae::Follow;
use attention_probes_sae::eval::{
    AbsorptionConfig, EvalSae, LabelledConfig, LettersConfig, absorption_of_letters,
};
use clap::Args;

use super::report::{self, Title};
use super::{DrawArgs, PlaceArgs, ResultArgs};

/// Flags of `sae eval absorption`.
#[derive(Args, Debug)]
pub struct AbsorptionArgs {
    /// The autoencoder and its model.
    #[command(flatten)]
    pub place: PlaceArgs,
    /// What is drawn and split.
    #[command(flatten)]
    pub draw: DrawArgs,
    /// Letters whose probe must be good for there to be a result.
    #[arg(long, default_value = "20")]
    pub min_letters: NonZeroUsize,
    /// Where the result goes.
    #[command(flatten)]
    pub result: ResultArgs,
}

/// Runs `sae eval absorption`.
pub(super) fn run(args: &AbsorptionArgs) -> Result<()> {
    args.result.check([])?;
    let opened = args.place.open()?;
    let LabelledConfig { max_texts, test, seeds } = args.draw.config();
    let absorption =
        AbsorptionConfig { min_classes: args.min_letters.get(), ..AbsorptionConfig::default() };
    let config = LettersConfig { max_words: max_texts, test, seeds, absorption };
    let subject = EvalSae { sae: &opened.sae, run: report::eval_run(&args.place.sae) };
    let follower = Follower::default();
    let follow = Follow { progress: &|event| follower.show(event), stop: Stop::never() };
    let found =
        absorption_of_letters(&opened.site(), &subject, &config, &follow).map_err(in_flags)?;
    let title = Title { evaluation: "absorption", sae: &args.place.sae, from: None };
    report::write(&title, &args.result, &found)
}
