//! Nothing of its own: the tests are what a stranger writes.
