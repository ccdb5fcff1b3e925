//! What activations say about themselves: the place in a model, and the model.

use attention_probes_models::{Convention, HookPoint};

use crate::Component;

/// Where in a model activations were taken, as far as their file says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExternalSite {
    /// What the site is asked for by: its hook where the file says which, `x` where it does not, or
    /// `<model>_<layer>` of a MOSAIC folder.
    pub name: String,
    /// Layer and component, where the hook is one that a sweep probes by these.
    pub place: Option<(usize, Component)>,
    /// Whether the name is a hook.
    pub is_hook: bool,
    /// Whether values relate two positions, so that no probe can read them.
    pub is_pairs: bool,
}

/// Which model activations are of, and which numbers of it, as far as their file says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActivationOrigin {
    /// Name of the model.
    pub model: Option<String>,
    /// Hash of its configuration and weights, or what else tells versions apart.
    pub revision: Option<String>,
    /// Which numbers the activations are.
    pub convention: Option<Convention>,
    /// Most tokens of a text.
    pub max_tokens: Option<usize>,
    /// BLAKE3 of the file of the texts.
    pub data_hash: Option<String>,
}

/// What is said of the sites that are read.
#[expect(clippy::struct_field_names, reason = "the sites are the first of what is said")]
pub(super) struct Sites {
    pub(super) sites: Vec<ExternalSite>,
    pub(super) origin: ActivationOrigin,
    pub(super) hash: String,
}

impl ExternalSite {
    /// A hook, which may be one that is not known here.
    pub fn hook(name: &str) -> Self {
        let hook: Option<HookPoint> = name.parse().ok();
        Self {
            name: name.to_owned(),
            place: hook.and_then(Component::of_hook),
            is_hook: true,
            is_pairs: matches!(hook, Some(HookPoint::AttnScores(_) | HookPoint::Pattern(_))),
        }
    }

    /// A component of a layer.
    pub fn layer(layer: usize, component: Component) -> Self {
        Self::hook(&component.hook(layer).to_string())
    }

    /// Activations of which nothing is known but a name.
    pub(super) fn unknown(name: &str) -> Self {
        Self { name: name.to_owned(), place: None, is_hook: false, is_pairs: false }
    }
}

impl Component {
    /// Layer and component of a hook; `None` of a hook that is no component.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::Component;
    /// use attention_probes::models::HookPoint;
    ///
    /// let hook: HookPoint = "blocks.3.hook_resid_post".parse()?;
    /// assert_eq!(Component::of_hook(hook), Some((3, Component::ResidPost)));
    /// assert_eq!(Component::of_hook(HookPoint::Embed), None);
    /// # Ok::<(), attention_probes::models::ModelError>(())
    /// ```
    pub fn of_hook(hook: HookPoint) -> Option<(usize, Self)> {
        let layer = hook.layer()?;
        let component = Self::ALL.into_iter().find(|component| component.hook(layer) == hook)?;
        Some((layer, component))
    }
}
