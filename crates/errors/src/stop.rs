//! How long work is told to stop.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::ErrorKind;

/// A signal to stop that long work asks now and then.
///
/// Clones are one signal: whoever holds one may stop the work of all. By default nobody can.
///
/// # Examples
///
/// ```
/// use attention_probes::errors::{Stop, Stopped};
///
/// let stop = Stop::new();
/// let count = |stop: &Stop| -> Result<usize, Stopped> {
///     for batch in 0.. {
///         stop.check()?;
///         if batch == 3 {
///             stop.stop(); // as another thread would
///         }
///     }
///     Ok(0)
/// };
/// assert_eq!(count(&stop), Err(Stopped));
/// assert!(!Stop::never().is_asked());
/// ```
#[derive(Clone, Default)]
pub struct Stop(Source);

/// Who says whether to stop.
#[derive(Clone, Default)]
enum Source {
    #[default]
    Nobody,
    Flag(Arc<AtomicBool>),
    Question(Arc<dyn Fn() -> bool + Send + Sync>),
}

/// Work ended because somebody asked it to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("stopped on request")]
pub struct Stopped;

impl Stop {
    /// A signal that is never given.
    pub const fn never() -> Self {
        Self(Source::Nobody)
    }

    /// A signal that [`Stop::stop`] of any clone gives.
    pub fn new() -> Self {
        Self::from_flag(Arc::default())
    }

    /// A signal that is given when a flag becomes true, such as one that a handler of Ctrl-C sets.
    pub fn from_flag(flag: Arc<AtomicBool>) -> Self {
        Self(Source::Flag(flag))
    }

    /// A signal that is given when a question is answered by true. It is asked often, perhaps from
    /// several threads, so it has to be quick.
    pub fn when(question: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Source::Question(Arc::new(question)))
    }

    /// Gives the signal. Does nothing to one that is [never](Stop::never) given, or that asks a
    /// [question](Stop::when).
    pub fn stop(&self) {
        if let Source::Flag(flag) = &self.0 {
            flag.store(true, Ordering::Relaxed);
        }
    }

    /// Whether the signal is given.
    pub fn is_asked(&self) -> bool {
        match &self.0 {
            Source::Nobody => false,
            Source::Flag(flag) => flag.load(Ordering::Relaxed),
            Source::Question(question) => question(),
        }
    }

    /// Ends the work that asks, if the signal is given.
    ///
    /// # Errors
    ///
    /// [`Stopped`] if it is.
    pub fn check(&self) -> Result<(), Stopped> {
        if self.is_asked() { Err(Stopped) } else { Ok(()) }
    }
}

/// Two signals are equal if they are one, or if neither is ever given.
impl PartialEq for Stop {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Source::Nobody, Source::Nobody) => true,
            (Source::Flag(a), Source::Flag(b)) => Arc::ptr_eq(a, b),
            (Source::Question(a), Source::Question(b)) => {
                std::ptr::addr_eq(Arc::as_ptr(a), Arc::as_ptr(b))
            }
            _ => false,
        }
    }
}

impl Eq for Stop {}

impl fmt::Debug for Stop {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match &self.0 {
            Source::Nobody => "Stop(never)",
            Source::Flag(_) => "Stop(flag)",
            Source::Question(_) => "Stop(question)",
        })
    }
}

impl Stopped {
    /// [`ErrorKind::Stopped`].
    pub fn kind(self) -> ErrorKind {
        ErrorKind::Stopped
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    #[test]
    fn a_clone_in_another_thread_stops_all() {
        let stop = Stop::new();
        assert_eq!(stop.check(), Ok(()));
        let clone = stop.clone();
        std::thread::spawn(move || clone.stop()).join().unwrap();
        assert_eq!(stop.check(), Err(Stopped));
    }

    #[test]
    fn a_question_is_asked_each_time() {
        let n_asked = AtomicUsize::new(0);
        let stop = Stop::when(move || n_asked.fetch_add(1, Ordering::Relaxed) == 2);
        stop.stop();
        let answers: Vec<bool> = (0..4).map(|_| stop.is_asked()).collect();
        assert_eq!(answers, [false, false, true, false]);
    }

    #[test]
    fn clones_are_one_signal() {
        let (flag, question) = (Stop::new(), Stop::when(|| false));
        assert_eq!(flag, flag.clone());
        assert_eq!(question, question.clone());
        assert_eq!(Stop::never(), Stop::default());
        assert_ne!(flag, Stop::new());
        assert_ne!(flag, question);
    }

    #[test]
    fn what_never_stops_cannot_be_stopped() {
        let stop = Stop::default();
        stop.stop();
        assert!(!stop.is_asked());
    }
}
