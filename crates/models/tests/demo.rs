//! The embedded models are what their cards say.

use attention_probes_models::{
    HookPoint, HookSet, PaddingSide, TokenBatch, next_token_losses, open_model,
};
use burn::tensor::Device;
use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// A story in the manner of the training text, written for this test.
const STORY: &str = "Once upon a time, there was a little boy named Tim. Tim had a red ball. \
    One day, he went to the park with his mom. He saw a big dog. The dog wanted to play with the \
    ball. Tim was happy and they played all day.";

#[test]
fn they_expect_a_story_and_not_its_words_in_disorder() {
    let device = Device::flex();
    for name in ["demo-gpt2", "demo-gemma"] {
        let demo = open_model(name, None, &device).unwrap();
        let loss = |text: &str| {
            let ids = demo.tokenizer.encode(text).unwrap().ids;
            let batch = TokenBatch::new(&[ids], PaddingSide::Right, &device).unwrap();
            let losses = next_token_losses(&demo.model.forward(&batch).unwrap(), &batch).unwrap();
            losses.iter().sum::<f32>() / losses.len() as f32
        };
        let mut words: Vec<&str> = STORY.split(' ').collect();
        words.sort_unstable();
        let (story, disorder) = (loss(STORY), loss(&words.join(" ")));
        assert!(story < 2.5, "{name}: {story} nats per token");
        assert!(disorder > story + 2.0, "{name}: {disorder} nats per token in disorder");
    }
}

#[test]
fn each_has_an_induction_head() {
    let device = Device::flex();
    for name in ["demo-gpt2", "demo-gemma"] {
        let model = open_model(name, None, &device).unwrap().model;
        let shape = model.shape();
        let mut rng = ChaCha8Rng::seed_from_u64(11);
        let length = 48;
        let segment: Vec<u32> =
            (0..length).map(|_| rng.random_range(1..shape.d_vocab as u32)).collect();
        let batch = TokenBatch::new(&[segment.repeat(2)], PaddingSide::Right, &device).unwrap();
        let hooks = HookSet::new((0..shape.n_layers).map(HookPoint::Pattern));
        let cache = model.run_with_cache(&batch, &hooks).unwrap();
        let mut best = 0.0_f32;
        for layer in 0..shape.n_layers {
            let pattern = cache.heads(HookPoint::Pattern(layer)).unwrap();
            let pattern: Vec<f32> = pattern.into_data().try_into_vec().unwrap();
            for head in pattern.chunks(4 * length * length) {
                let queries = length..2 * length - 1;
                let n = queries.len() as f32;
                // From each token of the second half to the one after its first occurrence.
                let at = |query: usize| head[query * 2 * length + query - length + 1];
                best = best.max(queries.map(at).sum::<f32>() / n);
            }
        }
        assert!(best > 0.4, "{name}: {best}");
    }
}
