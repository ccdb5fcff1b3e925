//! A data set at all its sites, ready to be trained on: what it takes, and what comes of it.

use std::path::Path;

use attention_probes_activations::{
    ActivationSource, ExampleSet, Labels, Place, Split, TokenizedDataset,
};

use crate::SweepError;
use crate::config::DataConfig;
use crate::config::plan::SweepPlan;
use crate::judge::findings::{Findings, Subject};
use crate::judge::target_findings::TargetFindings;
use crate::results::swept::SweptExperiment;
use crate::results::swept_targets::SweptTargets;
use crate::tracker::Tracker;
use crate::train::fit::GroupFit;
use crate::train::fit_config::FitConfig;

/// A data set, ready to be trained on.
pub(crate) struct Material<'a> {
    pub(crate) plan: &'a SweepPlan,
    pub(crate) data: &'a DataConfig,
    pub(crate) source: &'a mut dyn ActivationSource,
    pub(crate) examples: &'a ExampleSet,
    /// Label of each example.
    pub(crate) labels: Labels,
    pub(crate) split: &'a Split,
    /// Row of each sequence in its file.
    pub(crate) rows: &'a [usize],
    /// Tokens of the texts; without them there is no bag of words.
    pub(crate) tokens: Option<&'a TokenizedDataset>,
    /// Whether the examples are tokens, of which rare classes weigh more unless told.
    pub(crate) is_about_tokens: bool,
    /// Place and name of the experiment of each site.
    pub(crate) experiments: &'a [(Option<Place>, String)],
    pub(crate) fit_config: FitConfig,
    /// Folder of the run, and the checkpoint of this data set, where there are files.
    pub(crate) folder: Option<(&'a Path, &'a Path)>,
}

/// What was found at a site.
pub(crate) enum Swept {
    Classes(Box<SweptExperiment>),
    Targets(Box<SweptTargets>),
}

impl Material<'_> {
    /// Trains and evaluates every architecture that learns such labels at every site; `each` is handed
    /// what was found, site by site.
    ///
    /// Returns every trial of those that were trained over a grid, those of a site side by side.
    pub(crate) fn sweep(
        mut self,
        subject: &Subject<'_>,
        tracker: &mut dyn Tracker,
        each: &mut dyn FnMut(Swept) -> Result<(), SweepError>,
    ) -> Result<Vec<GroupFit>, SweepError> {
        let (experiments, split) = (self.experiments, self.split);
        let sites = || {
            let sites = experiments.iter().enumerate();
            sites.map(|(site, (place, experiment))| (site, place.as_ref(), experiment))
        };
        if self.labels.kind().is_class() {
            let classes = &self.examples.classes;
            let trained = self.train_classes(tracker)?;
            let findings = Findings { subject, classes, split, trained: &trained };
            for (site, place, experiment) in sites() {
                let found = findings.at(site, place, experiment.clone())?;
                each(Swept::Classes(Box::new(found)))?;
                tracker.finished(experiment);
            }
            return Ok(trained.fits);
        }
        self.leave_out_constant_labels(tracker);
        let trained = self.train_targets(tracker)?;
        let findings = TargetFindings { subject, labels: &self.labels, split, trained: &trained };
        for (site, place, experiment) in sites() {
            let found = findings.at(site, place, experiment.clone())?;
            each(Swept::Targets(Box::new(found)))?;
            tracker.finished(experiment);
        }
        Ok(trained.tried.into_iter().map(|tried| tried.fit).collect())
    }
}
