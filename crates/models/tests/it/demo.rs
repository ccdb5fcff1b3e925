//! The embedded models are what their cards say.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use attention_probes_errors::{ErrorKind, Stop};
use attention_probes_models::{
    ForwardRequest, HookPoint, HookSet, LoadOptions, ModelError, PaddingSide, TokenBatch,
    next_token_losses, open_model,
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

/// A signal that is given when it is asked for the time after some, and how often it was asked.
fn stop_after(n_allowed: usize) -> (Stop, Arc<AtomicUsize>) {
    let n_asked = Arc::new(AtomicUsize::new(0));
    let count = n_asked.clone();
    (Stop::when(move || count.fetch_add(1, Ordering::Relaxed) >= n_allowed), n_asked)
}

#[test]
fn a_forward_pass_asks_before_each_block_whether_to_stop() {
    let device = Device::flex();
    for name in ["demo-gpt2", "demo-gemma"] {
        let model = open_model(name, None, &device).unwrap().model;
        let batch = TokenBatch::new(&[[1, 2, 3]], PaddingSide::Right, &device).unwrap();
        let n_layers = model.shape().n_layers;
        for n_allowed in 0..n_layers {
            let (stop, n_asked) = stop_after(n_allowed);
            let request = ForwardRequest { stop, ..ForwardRequest::logits() };
            let error = model.execute(&batch, &request).unwrap_err();
            assert!(matches!(error, ModelError::Stopped(_)), "{error}");
            assert_eq!(error.kind(), ErrorKind::Stopped);
            assert_eq!(n_asked.load(Ordering::Relaxed), n_allowed + 1);
        }
        let (stop, n_asked) = stop_after(n_layers);
        model.execute(&batch, &ForwardRequest { stop, ..ForwardRequest::logits() }).unwrap();
        assert_eq!(n_asked.load(Ordering::Relaxed), n_layers);
    }
}

#[test]
fn another_thread_stops_a_forward_pass() {
    let device = Device::flex();
    let model = open_model("demo-gpt2", None, &device).unwrap().model;
    let batch = TokenBatch::new(&[[1; 200]; 8], PaddingSide::Right, &device).unwrap();
    let stop = Stop::new();
    let request = ForwardRequest { stop: stop.clone(), ..ForwardRequest::logits() };
    std::thread::scope(|scope| {
        scope.spawn(move || stop.stop());
        let error = loop {
            if let Err(error) = model.execute(&batch, &request) {
                break error;
            }
        };
        assert!(matches!(error, ModelError::Stopped(_)), "{error}");
    });
}

#[test]
fn loading_asks_before_each_tensor_whether_to_stop() {
    let device = Device::flex();
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/golden/gemma3-base");
    for name in ["demo-gpt2", "demo-gemma", folder] {
        let (stop, n_asked) = stop_after(usize::MAX);
        let options = LoadOptions::from(&device).with_stop(stop);
        open_model(name, None, options).unwrap();
        let n_questions = n_asked.load(Ordering::Relaxed);
        assert!(n_questions > 20, "{name}: {n_questions}");
        for n_allowed in [0, 1, n_questions - 1] {
            let options = LoadOptions::from(&device).with_stop(stop_after(n_allowed).0);
            let error = open_model(name, None, options).err().unwrap();
            assert!(matches!(error, ModelError::Stopped(_)), "{name}: {error}");
        }
    }
}
