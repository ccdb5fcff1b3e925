//! A model of one's own: whatever gives a vector for each token can be probed.
//!
//! ```text
//! cargo run --release --example own_model
//! ```
//!
//! The model here knows nothing but which token stands where: each has a fixed direction. Prints how
//! much of a film review's mood that alone tells, next to what the embedded model knows.

#![expect(clippy::print_stdout, reason = "an example prints what it finds")]

use attention_probes::activations::demo::SENTIMENT;
use attention_probes::models::{Dtype, ModelError, ModelShape};
use attention_probes::prelude::*;

/// Tokens as waves: `x[d] = sin(id · (0.37 + 0.11 d))`.
struct Waves(ModelShape);

impl HookedModel for Waves {
    fn shape(&self) -> &ModelShape {
        &self.0
    }

    fn has_hook(&self, hook: HookPoint) -> bool {
        matches!(hook, HookPoint::ResidPost(_))
    }

    fn execute(
        &self,
        batch: &TokenBatch,
        request: &ForwardRequest<'_>,
    ) -> Result<ModelOutput, ModelError> {
        let ids = batch.input_ids();
        let ([n, pos], device) = (ids.dims(), ids.device());
        let rates: Vec<f32> = (0..self.0.d_model).map(|d| 0.37 + 0.11 * d as f32).collect();
        let rates = Tensor::<1>::from_floats(&rates[..], &device).unsqueeze::<3>();
        let waves = (ids.float().reshape([n, pos, 1]) * rates).sin();
        let mut cache = ActivationCache::default();
        for hook in request.hooks.iter() {
            cache.insert(hook, Activation::Stream(waves.clone()));
        }
        Ok(ModelOutput { logits: None, cache })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = std::env::temp_dir().join("attention-probes-own-model.csv");
    let reviews: Vec<&str> = SENTIMENT.lines().take(1001).collect();
    std::fs::write(&file, reviews.join("\n"))?;
    let device = Device::flex();
    let embedded = open_model("demo-gpt2", None, &device)?;
    let shape = ModelShape { n_layers: 1, d_model: 64, ..embedded.model.shape().clone() };
    let own = LanguageModel {
        name: "waves".to_owned(),
        revision: "1".to_owned(),
        dtype: Dtype::F32,
        model: Box::new(Waves(shape)),
        tokenizer: embedded.tokenizer.clone(),
    };
    for (model, layer) in [(own, 0), (embedded, 2)] {
        let place = TextsConfig::new(Place::resid_post(layer));
        let texts = Dataset::labelled(&file)?;
        let data = TrainingData::from_texts(&texts, &model, &place, &device)?;
        let sides = data.split(&SplitConfig { validation: 0.0, test: 0.3, seed: 42 })?;
        let config = AttentionProbeTrainConfig { n_steps: 60, ..Default::default() };
        let probe = train_probe(&sides.train, &config, &device)?;
        let test = sides.test.ok_or("a part was asked for")?;
        let report = compute_metrics(&evaluate_probe(&probe, &test, &device)?, &test, 42)?;
        println!("{:10} test accuracy {:.3}", model.name, report.accuracy);
    }
    Ok(())
}
