//! Where a probe reads a model: one site, or several layers whose rows stand side by side.

use std::fmt;

use attention_probes_models::{Convention, ModelShape};

use crate::{ActivationError, ActivationSource, Component, Site, SiteRows};

/// A component of one layer, or of several layers whose rows stand side by side, the first layer
/// first.
///
/// Prints as `L05-resid_post`, `L00+L03-resid_post`, or, three layers and more that follow each
/// other, `L00..L03-resid_post`.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{Component, Place};
/// use attention_probes::models::Convention;
///
/// let place = Place::new([3, 0, 1, 2, 7], Component::AttnOut, Convention::Raw);
/// assert_eq!(place.layers(), [0, 1, 2, 3, 7]);
/// assert_eq!(place.to_string(), "L00..L03+L07-attn_out");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    layers: Vec<usize>,
    component: Component,
    convention: Convention,
}

impl Place {
    /// The component of some layers, each of which counts once, ascending.
    ///
    /// # Panics
    ///
    /// If there is no layer.
    pub fn new(
        layers: impl IntoIterator<Item = usize>,
        component: Component,
        convention: Convention,
    ) -> Self {
        let mut layers: Vec<usize> = layers.into_iter().collect();
        layers.sort_unstable();
        layers.dedup();
        assert!(!layers.is_empty(), "a place has a layer");
        Self { layers, component, convention }
    }

    /// The raw residual stream after a layer, where most probes read.
    ///
    /// # Examples
    ///
    /// ```
    /// use attention_probes::activations::Place;
    ///
    /// assert_eq!(Place::resid_post(2).to_string(), "L02-resid_post");
    /// ```
    pub fn resid_post(layer: usize) -> Self {
        Self::new([layer], Component::ResidPost, Convention::Raw)
    }

    /// The layers, ascending.
    pub fn layers(&self) -> &[usize] {
        &self.layers
    }

    /// The layer, if it is only one.
    pub fn layer(&self) -> Option<usize> {
        if let [layer] = self.layers[..] { Some(layer) } else { None }
    }

    /// The part of each layer.
    pub fn component(&self) -> Component {
        self.component
    }

    /// One site for each layer.
    pub fn sites(&self) -> Vec<Site> {
        let site = |&layer| Site { layer, component: self.component, convention: self.convention };
        self.layers.iter().map(site).collect()
    }

    /// Values per token, all layers together.
    pub fn width(&self, shape: &ModelShape) -> usize {
        self.layers.len() * self.component.width(shape)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = &self.layers[..];
        while let Some((&first, _)) = rest.split_first() {
            if rest.len() < self.layers.len() {
                f.write_str("+")?;
            }
            let n = rest.iter().zip(first..).take_while(|(layer, next)| **layer == *next).count();
            let n = if n < 3 { 1 } else { n };
            write!(f, "L{first:02}")?;
            if n > 1 {
                write!(f, "..L{:02}", first + n - 1)?;
            }
            rest = &rest[n..];
        }
        write!(f, "-{}", self.component)
    }
}

/// Places, and the sites that they are made of, each site once.
///
/// # Examples
///
/// ```
/// use attention_probes::activations::{Component, Place, PlaceSites};
/// use attention_probes::models::Convention;
///
/// let place = |layers: &[usize]| {
///     Place::new(layers.iter().copied(), Component::ResidPost, Convention::Raw)
/// };
/// let places = PlaceSites::new(&[place(&[0, 2]), place(&[2, 3])]);
/// assert_eq!(places.sites().len(), 3);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlaceSites {
    sites: Vec<Site>,
    /// Sites of each place, indices into `sites`.
    places: Vec<Vec<usize>>,
}

impl PlaceSites {
    /// Finds the sites of some places.
    pub fn new(places: &[Place]) -> Self {
        let mut sites: Vec<Site> = Vec::new();
        let mut index = |site: Site| {
            sites.iter().position(|known| *known == site).unwrap_or_else(|| {
                sites.push(site);
                sites.len() - 1
            })
        };
        let places = places.iter().map(|place| place.sites().into_iter().map(&mut index).collect());
        let places = places.collect();
        Self { sites, places }
    }

    /// What a source has to capture, in this order.
    pub fn sites(&self) -> &[Site] {
        &self.sites
    }

    /// One of the places, read from the sites of all.
    ///
    /// # Panics
    ///
    /// If there is no such place.
    #[must_use]
    pub fn only(&self, place: usize) -> Self {
        Self { sites: self.sites.clone(), places: vec![self.places[place].clone()] }
    }
}

/// Activations of places, made of those of their sites.
pub struct PlaceActivations<'a> {
    source: Box<dyn ActivationSource + 'a>,
    /// Sites of each place, indices into those of the source; as many of each.
    places: Vec<Vec<usize>>,
}

impl<'a> PlaceActivations<'a> {
    /// Puts the rows of a source, which has the sites of the places, together as they ask for.
    ///
    /// # Panics
    ///
    /// If two places differ in the number of their layers.
    pub fn new(source: Box<dyn ActivationSource + 'a>, places: &PlaceSites) -> Self {
        let places = places.places.clone();
        assert!(
            places.iter().all(|place| place.len() == places[0].len()),
            "places have the same number of layers"
        );
        Self { source, places }
    }
}

impl ActivationSource for PlaceActivations<'_> {
    fn n_sites(&self) -> usize {
        self.places.len()
    }

    fn d_model(&self) -> usize {
        self.source.d_model() * self.places.first().map_or(1, Vec::len)
    }

    fn n_sequences(&self) -> usize {
        self.source.n_sequences()
    }

    fn skipped(&self) -> &[usize] {
        self.source.skipped()
    }

    fn with_rows(
        &mut self,
        examples: &[(usize, usize)],
        use_rows: &mut dyn FnMut(&[SiteRows<'_>]),
    ) -> Result<(), ActivationError> {
        let (places, d_model) = (&self.places, self.source.d_model());
        self.source.with_rows(examples, &mut |sites| {
            let joined: Vec<Option<Vec<Vec<f32>>>> =
                places.iter().map(|place| joined(place, sites, d_model)).collect();
            let rows = places.iter().zip(&joined).map(|(place, joined)| match joined {
                Some(rows) => rows.iter().map(Vec::as_slice).collect(),
                None => sites[place[0]].clone(),
            });
            use_rows(&rows.collect::<Vec<SiteRows<'_>>>());
        })
    }
}

/// Rows of several sites side by side, `[end, n_sites * d_model]` for each example; `None` for one
/// site, whose rows stay where they are.
fn joined(place: &[usize], sites: &[SiteRows<'_>], d_model: usize) -> Option<Vec<Vec<f32>>> {
    if place.len() == 1 {
        return None;
    }
    let example = |example: usize| {
        let n_values = sites[place[0]][example].len();
        let mut values = Vec::with_capacity(n_values * place.len());
        for start in (0..n_values).step_by(d_model) {
            for &site in place {
                values.extend_from_slice(&sites[site][example][start..start + d_model]);
            }
        }
        values
    };
    Some((0..sites[place[0]].len()).map(example).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryActivations;
    use crate::testing::Fixture;

    fn place(layers: &[usize]) -> Place {
        Place::new(layers.iter().copied(), Component::ResidPost, Convention::Raw)
    }

    #[test]
    fn layers_that_follow_each_other_are_shortened() {
        for (layers, name) in [
            (&[5][..], "L05"),
            (&[3, 0, 3], "L00+L03"),
            (&[1, 2], "L01+L02"),
            (&[0, 1, 2], "L00..L02"),
            (&[0, 2, 3, 4, 10, 11], "L00+L02..L04+L10+L11"),
        ] {
            assert_eq!(place(layers).to_string(), format!("{name}-resid_post"));
        }
    }

    #[test]
    fn rows_of_several_layers_stand_side_by_side() {
        let mut fixture = Fixture::new();
        let both = PlaceSites::new(&[place(&[1]), place(&[0]), place(&[0, 1])]);
        fixture.sites = both.sites().to_vec();
        let mut plain =
            MemoryActivations::capture(&fixture.capture(), &fixture.all(), &mut |_, _| {}).unwrap();
        let examples = [(2, 7), (1, 1)];
        let mut expected = Vec::new();
        plain
            .with_rows(&examples, &mut |sites| {
                for (late, early) in sites[0].iter().zip(&sites[1]) {
                    let tokens = early.chunks(8).zip(late.chunks(8));
                    expected.push(tokens.flat_map(|(a, b)| [a, b].concat()).collect::<Vec<f32>>());
                }
            })
            .unwrap();
        let mut source = PlaceActivations::new(Box::new(&mut plain), &both.only(2));
        assert_eq!((source.n_sites(), source.d_model(), source.n_sequences()), (1, 16, 6));
        let mut n_calls = 0;
        source
            .with_rows(&examples, &mut |sites| {
                n_calls += 1;
                assert_eq!(sites, [expected.iter().map(Vec::as_slice).collect::<Vec<_>>()]);
            })
            .unwrap();
        assert_eq!(n_calls, 1);
        assert!(source.with_rows(&[(9, 1)], &mut |_| panic!("not there")).is_err());
        drop(source);

        // Places of one layer each are their sites.
        for (index, values) in [(1, 0..8), (0, 8..16)] {
            let mut source = PlaceActivations::new(Box::new(&mut plain), &both.only(index));
            source
                .with_rows(&examples, &mut |sites| {
                    assert_eq!(sites[0][0][..8], expected[0][values.clone()]);
                })
                .unwrap();
        }
        assert_eq!(both.sites().len(), 2);
    }
}
