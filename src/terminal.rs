//! The line of progress on the terminal, which log lines step around.

use std::sync::{Mutex, PoisonError};

use indicatif::ProgressBar;

/// The line that is shown.
static SHOWN: Mutex<Option<ProgressBar>> = Mutex::new(None);

/// From now on this line is shown; answers the one before.
pub fn show(line: Option<ProgressBar>) -> Option<ProgressBar> {
    std::mem::replace(&mut *SHOWN.lock().unwrap_or_else(PoisonError::into_inner), line)
}

/// Does something on stderr while the line is out of the way.
pub fn aside<T>(work: impl FnOnce() -> T) -> T {
    let shown = SHOWN.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match shown {
        Some(bar) => bar.suspend(work),
        None => work(),
    }
}
