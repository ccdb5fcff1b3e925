//! `tokenizer.json`; whatever loads must encode and decode.

#![no_main]

use attention_probes_models::Tokenizer;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|json: &[u8]| {
    if let Ok(tokenizer) = Tokenizer::from_bytes(json) {
        let _ = tokenizer.encode("Hello, wörld!  <bos> \u{2581}the 1234\n");
    }
});
