//! The Hub as this process's environment describes it.

use std::sync::Arc;

use attention_probes_models::HubAccess;

use crate::progress::DownloadBar;

/// The Hub as the variables of the environment describe it, with a progress bar for downloads.
pub fn hub_access() -> Option<HubAccess> {
    let access = HubAccess::from_vars(|name| std::env::var(name).ok())?;
    Some(access.with_progress(Arc::new(DownloadBar::default())))
}
