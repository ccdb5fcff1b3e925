//! The corpus of the fuzz target for streams, what it found included: every line is answered.

#[path = "../../../fuzz/readers/corpus.rs"]
mod corpus;
#[path = "../../../fuzz/readers/stream.rs"]
mod stream;

#[test]
fn lines_are_answered_or_refused() {
    assert!(corpus::n_read("stream", stream::read) >= 2);
}
