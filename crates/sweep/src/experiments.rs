//! The experiments of one data set: one for each place that is read.

use attention_probes_activations::{Place, PlaceActivations, PlaceSites, Task, TokenizedDataset};
use attention_probes_models::LanguageModel;

use crate::SweepError;
use crate::data::activation_sites::LeftOut;
use crate::data::data_run::{DataRun, Input, Prepared, Reports};
use crate::data::sides::check_sides;
use crate::judge::findings::{Subject, describe, resolved_config};
use crate::material::{Material, Swept};
use crate::tracker::Tracker;
use crate::train::asking::Asking;
use crate::train::fit_config::FitConfig;

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

    /// Trains on what has been prepared, evaluates, and writes an experiment for each place; one if
    /// there are none.
    fn experiment(
        &self,
        prepared: Prepared<'_>,
        (places, tokens, model): Origins<'_>,
        tracker: &mut dyn Tracker,
    ) -> Result<Reports, SweepError> {
        let described = prepared.describe(&self.config().name);
        let Prepared { source, examples, split, labels, hash, n_skipped, rows, warnings, .. } =
            prepared;
        if !labels.kind().is_class() {
            // Examples may have been left out since the sides were looked at.
            check_sides(self.config(), &labels, &split)?;
        }
        let mut source = Asking { source, stop: self.stop.clone() };
        let experiments = self.experiments(places);
        let checkpoint = self.checkpoint(&hash, model);
        let material = Material {
            plan: self.plan,
            data: self.config(),
            source: &mut source,
            examples: &examples,
            labels,
            split: &split,
            rows: &rows,
            tokens,
            is_about_tokens: self.plan.task(self.data).is_some_and(Task::is_about_tokens),
            experiments: &experiments,
            fit_config: FitConfig { stop: self.stop.clone(), ..self.plan.fit_config(self.device) },
            folder: Some((&self.folder, &checkpoint)),
        };
        let subject = Subject {
            config: self.plan.config(),
            data: self.config(),
            origin: self.origin(model),
            describe: &|metadata| describe(metadata, self, model, &described),
            resolved: &|place| resolved_config(self, place),
            n_skipped,
            warnings: &warnings,
        };
        let mut reports = Reports::default();
        let mut write = |swept| {
            match swept {
                Swept::Classes(swept) => {
                    swept.write(&self.folder.join(&swept.report.experiment))?;
                    reports.experiments.push(swept.report);
                }
                Swept::Targets(swept) => {
                    swept.write(&self.folder.join(&swept.report.experiment))?;
                    reports.targets.push(swept.report);
                }
            }
            Ok(())
        };
        material.sweep(&subject, tracker, &mut write)?;
        Ok(reports)
    }
}
