//! The experiments of one data set: one for each place that is read.

use attention_probes_activations::{Place, PlaceActivations, PlaceSites, TokenizedDataset};
use attention_probes_models::LanguageModel;

use crate::SweepError;
use crate::data::activation_sites::LeftOut;
use crate::data::data_run::{DataRun, Input, Prepared, Reports};
use crate::experiment::run_experiments;
use crate::target_experiments::run_target_experiments;
use crate::tracker::Tracker;
use crate::train::asking::Asking;

/// Where activations are from: places, tokens, and model, if there are any.
type Origins<'a> = (&'a [Place], Option<&'a TokenizedDataset>, Option<&'a LanguageModel>);

impl DataRun<'_> {
    /// Trains on what has been read, evaluates, and writes the results.
    pub(crate) fn run(
        &self,
        input: Input,
        model: Option<&LanguageModel>,
        tracker: &mut dyn Tracker,
    ) -> Result<Reports, SweepError> {
        let places = self.places(model)?;
        match (input, model) {
            (Input::Complete(reports), _) => {
                tracker.note(&format!("`{}` is complete already", self.config().name));
                Ok(reports)
            }
            (Input::Texts(texts), Some(model)) => {
                let sites = PlaceSites::new(&places);
                let capture = self.capture(&texts, model, &sites);
                let mut prepared = self.prepare(&texts, capture, model, tracker)?;
                prepared.source = Box::new(PlaceActivations::new(prepared.source, &sites));
                self.experiment(prepared, (&places, Some(&texts.tokens), Some(model)), tracker)
            }
            (Input::Activations(left_out), _) => self.run_activations(&left_out, tracker),
            (Input::Texts(_), None) => {
                Err(SweepError::Contradiction { key: "model", reason: "is missing" })
            }
        }
    }

    /// Runs the experiments of activations one after the other, each with those of its layer.
    fn run_activations(
        &self,
        left_out: &LeftOut,
        tracker: &mut dyn Tracker,
    ) -> Result<Reports, SweepError> {
        let mut reports = Reports::default();
        let Some(sites) = &self.activations else { return Ok(reports) };
        let places = sites.places();
        for site in 0..sites.len() {
            let (prepared, tokens) = self.prepare_activations((sites, site), left_out, tracker)?;
            let place = places.get(site).map_or(&[][..], std::slice::from_ref);
            let found = self.experiment(prepared, (place, tokens.as_ref(), None), tracker)?;
            reports.experiments.extend(found.experiments);
            reports.targets.extend(found.targets);
        }
        Ok(reports)
    }

    /// Trains what learns labels of this kind.
    fn experiment(
        &self,
        prepared: Prepared<'_>,
        (places, tokens, model): Origins<'_>,
        tracker: &mut dyn Tracker,
    ) -> Result<Reports, SweepError> {
        let source = Asking { source: prepared.source, stop: self.stop.clone() };
        let prepared = Prepared { source: Box::new(source), ..prepared };
        if prepared.targets.is_some() {
            let targets = run_target_experiments(self, prepared, tokens, places, model, tracker)?;
            return Ok(Reports { experiments: Vec::new(), targets });
        }
        let experiments = run_experiments(self, prepared, tokens, places, model, tracker)?;
        Ok(Reports { experiments, targets: Vec::new() })
    }
}
