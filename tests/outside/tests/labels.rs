//! Labels and a task of one's own, from texts to a probe that streams.

mod own_model;

use std::borrow::Cow;
use std::fs;

use attention_probes::prelude::*;
use attention_probes::sweep::config::{ArchitectureConfig, GridConfig};

use own_model::open_own_model;

/// `4 stars`, as the number 4.
struct Stars;

impl LabelReader for Stars {
    fn kind(&self) -> LabelKind {
        LabelKind::Number
    }

    fn read(&self, field: &LabelField<'_>) -> Result<TextLabel, Cow<'static, str>> {
        let stars = field.string().and_then(|text| text.strip_suffix(" stars")?.parse().ok());
        stars.map(TextLabel::Number).ok_or_else(|| "stars, such as `4 stars`".into())
    }
}

/// Whether the word that a probe has just read is an animal.
struct Animals;

impl TextTask for Animals {
    fn name(&self) -> &str {
        "animals"
    }

    fn classes(&self) -> Vec<String> {
        vec!["other".to_owned(), "animal".to_owned()]
    }

    fn places(&self, text: &TaskText<'_>) -> Vec<TaskPlace> {
        let class = |piece: &String| usize::from(["dog", "cat"].contains(&piece.trim()));
        let places = text.pieces.iter().map(class).enumerate();
        places.map(|(index, class)| TaskPlace { n_tokens: index + 1, class }).collect()
    }
}

fn plan() -> attention_probes::sweep::SweepPlan {
    let kind = |name: &str| ArchitectureConfig { name: name.to_owned(), ..Default::default() };
    let sweep = GridConfig {
        learning_rates: Some(vec![1e-2, 5e-2]),
        weight_decays: vec![0.0, 1e-2],
        epochs: Some(30),
        ..GridConfig::default()
    };
    let architectures = vec![kind("linear"), kind("attention")];
    let config = SweepConfig { architectures, sweep, ..SweepConfig::default() };
    config.check_without_data(&Kinds::builtin()).unwrap()
}

#[test]
fn labels_of_ones_own_are_read_learned_saved_and_streamed() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("reviews.csv");
    let row = |i: usize| {
        let words = ["dog ", "dog dog ", "dog dog dog "][i % 3];
        format!(
            "the {words}{} {i},{} stars\n",
            ["red", "old", "big", "wet"][i / 3 % 4],
            1 + 2 * (i % 3)
        )
    };
    fs::write(&path, format!("text,label\n{}", (0..120).map(row).collect::<String>())).unwrap();
    let texts = Dataset::read_with("reviews", &[&path], &DatasetConfig::default(), &Stars).unwrap();
    fs::write(&path, "text,label\nfine,4 stars\nodd,four\n").unwrap();
    let error = Dataset::read_with("odd", &[&path], &DatasetConfig::default(), &Stars).unwrap_err();
    assert!(
        error.to_string().ends_with("row 2: `label` is `four`, expected stars, such as `4 stars`")
    );

    let device = Device::flex();
    let model = open_own_model(&device);
    let place = Place::new([0], Component::ResidPost, Convention::Raw);
    let data = TrainingData::from_texts(&texts, &model, &TextsConfig::new(place), &device).unwrap();
    let options = SweepDataConfig::new("reviews", &device);
    let swept = sweep_labels(&plan(), &data, &options, &mut NoTracker).unwrap();
    let found = &swept.experiment.report.probes;
    for probe in found {
        let (metric, value, _) = probe.test.headline();
        assert!(value > Some(0.8), "{}: {metric} {value:?}", probe.config_name);
    }
    swept.experiment.write(folder.path()).unwrap();
    let saved = SavedProbe::load(&folder.path().join("trained").join(&found[1].file)).unwrap();
    let mut stream = StreamingProbe::from_saved(&saved).unwrap();
    let token = vec![0.5; saved.config().d_model()];
    let stars = stream.push(&token)[0];
    assert!((-20.0..20.0).contains(&stars), "{stars}");
}

#[test]
fn a_task_of_ones_own_is_asked_learned_and_saved() {
    let device = Device::flex();
    let model = open_own_model(&device);
    let text = |i: usize| {
        let word = ["dog", "cat", "sun", "sea"][i % 4];
        format!("{} {word} {}", ["the", "one", "her"][i / 4 % 3], ["red", "old", "big"][i / 12 % 3])
    };
    let texts: Vec<String> = (0..72).map(text).collect();
    let texts = Dataset::from_parts("animals", texts).unwrap();
    let place = Place::new([0], Component::ResidPost, Convention::Raw);
    let read = TextsConfig::new(place);
    let data =
        TrainingData::from_task(&texts, &model, (&TaskConfig::new(&Animals), &read), &device)
            .unwrap();
    assert!(data.n_examples() > 72);
    let options = SweepDataConfig::new("animals", &device);
    let swept = sweep_data(&plan(), &data, &options, &mut NoTracker).unwrap();
    let found = &swept.experiment.report.architectures;
    assert!(found.iter().any(|one| one.test.accuracy > 0.9), "{:?}", found[0].test.accuracy);
    let saved = swept.experiment.probe("attention").unwrap();
    assert_eq!(saved.metadata.task.as_deref(), Some("animals"));
}
