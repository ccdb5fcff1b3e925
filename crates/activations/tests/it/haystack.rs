//! Folders of Gurnee et al., as `datasets` saves them: what `golden/make_haystack.py` wrote, against
//! what the code of the paper reads out of it.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use attention_probes_activations::{
    ActivationError, Dataset, HaystackConfig, HaystackError, HaystackFolder,
};
use attention_probes_models::Tokenizer;
use attention_probes_models::demo::DemoModel;

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/haystack").join(name)
}

static TOKENIZER: LazyLock<Tokenizer> =
    LazyLock::new(|| DemoModel::named("demo-gpt2").unwrap().tokenizer().unwrap());

fn read_from(path: &Path, config: &HaystackConfig) -> Result<Dataset, ActivationError> {
    let folder = HaystackFolder::open(path)?;
    Dataset::read_haystack("data", &folder, &TOKENIZER, config)
}

fn read(name: &str, feature: Option<&str>, of_texts: bool) -> Result<Dataset, ActivationError> {
    let feature = feature.map(str::to_owned);
    read_from(&golden(name), &HaystackConfig { feature, of_texts, ..HaystackConfig::default() })
}

#[cfg(not(feature = "arrow"))]
#[test]
fn a_build_without_arrow_says_what_to_build_with() {
    let error = read("ewt.demo.16.-1", Some("upos_NOUN"), false).unwrap_err();
    assert!(matches!(error, ActivationError::Haystack { source: HaystackError::NoArrow { .. } }));
    let expected = "ewt.demo.16.-1` cannot be read: build with feature `arrow`";
    assert!(error.to_string().ends_with(expected), "{error}");
}

#[test]
fn what_a_family_lacks_is_refused_before_anything_is_read() {
    let error = read("position.demo.6.-1", None, false).unwrap_err();
    assert!(matches!(error, ActivationError::Haystack { source: HaystackError::Numbers { .. } }));
    let error = read("compound_words.demo.12.-1", Some("high-school"), true).unwrap_err();
    let ActivationError::Haystack { source: HaystackError::NoTextLabels { .. } } = error else {
        panic!("{error}");
    };
}

#[cfg(feature = "arrow")]
mod with_arrow {
    use std::collections::BTreeMap;
    use std::fs;
    use std::sync::Arc;

    use arrow_array::types::{Float64Type, Int64Type};
    use arrow_array::{ArrayRef, Int64Array, ListArray, RecordBatch, StringArray};
    use arrow_ipc::writer::StreamWriter;
    use attention_probes_activations::{ExampleConfig, Task, TokenizeConfig, examples, tokenize};
    use serde_json::Value;

    use super::*;

    fn expected() -> BTreeMap<String, Value> {
        serde_json::from_slice(&fs::read(golden("expected.json")).unwrap()).unwrap()
    }

    /// Row, text of the token, and whether it has the feature.
    type Labelled = Vec<(usize, String, bool)>;

    fn labelled(data: &Dataset) -> Labelled {
        let rows = data.words.iter().zip(&data.texts).zip(&data.source_rows);
        rows.flat_map(|((words, text), row)| {
            words.iter().map(|word| {
                let piece = text[word.start..word.end].to_owned();
                (*row, piece, word.label == Some(1))
            })
        })
        .collect()
    }

    #[test]
    fn tokens_have_the_labels_that_the_code_of_the_paper_gives_them() {
        let mut n_features = 0;
        for (folder, golden) in expected() {
            let Some(features) = golden["places"].as_object() else { continue };
            for (feature, places) in features {
                let expected: Labelled = places
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|place| {
                        let [row, token] = [0, 1].map(|i| place[i].as_u64().unwrap() as usize);
                        let piece = golden["pieces"][row][token].as_str().unwrap().to_owned();
                        (row, piece, place[2] == 1)
                    })
                    .collect();
                let is_alike = expected.iter().all(|label| label.2 == expected[0].2);
                let found = read(&folder, Some(feature), false);
                if is_alike {
                    // Languages and sources of which the folder has no text.
                    let is_none = |error| {
                        matches!(
                            error,
                            ActivationError::Haystack { source: HaystackError::NoFeature { .. } }
                        )
                    };
                    assert!(found.is_err_and(is_none), "{folder} {feature}");
                    continue;
                }
                let found = found.unwrap();
                assert_eq!(found.classes, ["other", feature]);
                // Padding is at the place of no token, before the others.
                let sorted = |mut labels: Labelled| {
                    labels.sort();
                    labels
                };
                assert_eq!(sorted(labelled(&found)), sorted(expected), "{folder} {feature}");
                n_features += 1;
            }
        }
        assert_eq!(n_features, 2 + 3 + 2 + 2 + 1 + 2 + 2 + 1);
    }

    #[test]
    fn texts_have_the_classes_that_the_code_of_the_paper_gives_them() {
        let mut n_features = 0;
        for (folder, golden) in expected() {
            let Some(features) = golden.get("texts").and_then(Value::as_object) else { continue };
            let all = read(&folder, None, true).unwrap();
            assert_eq!(all.len(), golden["pieces"].as_array().unwrap().len());
            for (number, class) in all.classes.iter().enumerate() {
                let expected: Vec<bool> =
                    features[class].as_array().unwrap().iter().map(|label| *label == 1).collect();
                let of_all: Vec<bool> = all.labels.iter().map(|label| *label == number).collect();
                assert_eq!(of_all, expected, "{folder} {class}");
                let one = read(&folder, Some(class), true).unwrap();
                assert_eq!(one.classes, ["other", class]);
                let of_one: Vec<bool> = one.labels.iter().map(|label| *label == 1).collect();
                assert_eq!(of_one, expected, "{folder} {class}");
                n_features += 1;
            }
        }
        assert_eq!(n_features, 3 + 2 + 2);
    }

    #[test]
    fn texts_are_those_of_the_tokens_without_padding() {
        for (folder, golden) in expected() {
            if golden.is_string() {
                continue;
            }
            let feature =
                golden["places"].as_object().unwrap().iter().find_map(|(name, places)| {
                    let mut classes = places.as_array().unwrap().iter().map(|place| &place[2]);
                    let first = classes.next().unwrap();
                    classes.any(|class| class != first).then_some(name)
                });
            let data = read(&folder, feature.map(String::as_str), false).unwrap();
            for (text, row) in data.texts.iter().zip(&data.source_rows) {
                let pieces = golden["pieces"][row].as_array().unwrap();
                let expected: String = pieces.iter().map(|piece| piece.as_str().unwrap()).collect();
                assert_eq!(text.replace("<|endoftext|>", ""), expected);
                assert!(!text.starts_with("<|endoftext|>") && !text.ends_with("<|endoftext|>"));
            }
        }
        let data = read("compound_words.demo.12.-1", Some("high-school"), false).unwrap();
        assert!(
            data.texts[4].contains("<|endoftext|>"),
            "a border of documents within a text stays"
        );
    }

    #[test]
    fn an_example_ends_at_the_model_s_own_token() {
        let tokenizer = &*TOKENIZER;
        let data = read("compound_words.demo.12.-1", Some("living-room"), false).unwrap();
        let tokens = tokenize(&data, tokenizer, &TokenizeConfig::default()).unwrap();
        let config = ExampleConfig { task: Task::Tokens, ..ExampleConfig::default() };
        let set = examples(&data, &tokens, tokenizer, &config).unwrap();
        assert_eq!((set.examples.len(), set.n_skipped_words), (18, 0));
        for example in &set.examples {
            let seen = &tokens.sequence(example.sequence)[..example.end];
            let seen = tokenizer.decode(seen).unwrap();
            assert_eq!(seen, data.texts[example.sequence]);
            assert_eq!(seen.ends_with(" living room"), example.label == 1);
        }

        // Two of the labels of this folder are of padding, which is no token of the text.
        let data = read("text_features.demo.16.-1", Some("contains_digit"), false).unwrap();
        let n_padding = data.words.iter().flatten().filter(|word| word.end == 0).count();
        let tokens = tokenize(&data, tokenizer, &TokenizeConfig::default()).unwrap();
        let set = examples(&data, &tokens, tokenizer, &config).unwrap();
        assert!(n_padding > 0);
        assert_eq!(set.n_skipped_words, n_padding);
    }

    #[test]
    fn documents_people_and_beginnings_stay_together() {
        let groups = |name, feature| read(name, Some(feature), false).unwrap().groups;
        let pairs: Vec<usize> = (0..10).map(|row| row / 2).collect();
        assert_eq!(groups("counterfact.demo.14.-1", "text_true"), Some(pairs.clone()));
        let mut documents = pairs;
        documents.remove(3); // a row without a label
        assert_eq!(groups("ewt.demo.16.-1", "upos_NOUN"), Some(documents));
        let people = groups("wikidata_is_alive.demo.16.-1", "true").unwrap();
        assert_eq!(people, (0..10).collect::<Vec<_>>());
        assert_eq!(groups("text_features.demo.16.-1", "contains_digit"), None);

        let group = Some("relation_id".to_owned());
        let config = HaystackConfig { group, ..HaystackConfig::default() };
        let relations = read_from(&golden("counterfact.demo.14.-1"), &config).unwrap().groups;
        assert_eq!(relations, Some((0..10).map(|row| row / 2 % 2).collect()));
    }

    #[test]
    fn a_feature_that_is_not_there_is_answered_with_those_that_are() {
        for (folder, feature, expected) in [
            ("ewt.demo.16.-1", None, "set `feature` to one of them: `upos_NOUN`, `dep_acl:relcl`"),
            ("ewt.demo.16.-1", Some("upos_noun"), "; did you mean `upos_NOUN`?"),
            ("compound_words.demo.12.-1", None, "one of them: `high-school`, `living-room`"),
            ("compound_words.demo.12.-1", Some("x"), "no feature `x`; features: `high-school`"),
            ("counterfact.demo.14.-1", Some("x"), "features: `text_true`"),
            ("wikidata_is_alive.demo.16.-1", Some("x"), "features: `false`, `true`"),
        ] {
            let error = read(folder, feature, false).unwrap_err().to_string();
            assert!(error.contains(folder) && error.contains(expected), "{error}");
        }
        // The sole feature need not be named.
        let data = read("latex.demo.14.-1", None, false).unwrap();
        assert_eq!(data.classes, ["other", "is_math"]);
    }

    /// A folder called `name` with one file of these bytes.
    fn folder_of(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(name);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("dataset_info.json"), "{}").unwrap();
        let state = r#"{"_data_files": [{"filename": "a.arrow"}]}"#;
        fs::write(path.join("state.json"), state).unwrap();
        fs::write(path.join("a.arrow"), bytes).unwrap();
        (folder, path)
    }

    #[test]
    fn a_file_that_was_cut_is_refused_wherever_it_was_cut() {
        let bytes = fs::read(golden("latex.demo.14.-1/data-00000-of-00001.arrow")).unwrap();
        let (_folder, path) = folder_of("latex.demo.14.-1", &bytes);
        let config = HaystackConfig::default();
        read_from(&path, &config).unwrap();
        for length in 0..bytes.len() {
            fs::write(path.join("a.arrow"), &bytes[..length]).unwrap();
            let error = read_from(&path, &config).unwrap_err().to_string();
            assert!(error.contains("a.arrow` is damaged: it has "), "{length}: {error}");
        }
    }

    #[test]
    fn damaged_bytes_do_no_harm() {
        let golden = golden("counterfact.demo.14.-1/data-00000-of-00001.arrow");
        let mut bytes = fs::read(golden).unwrap();
        let (_folder, path) = folder_of("counterfact.demo.14.-1", &bytes);
        let config = HaystackConfig::default();
        let mut n_refused = 0;
        for index in 0..bytes.len() {
            let whole = bytes[index];
            for damage in [0x80, 0x01] {
                bytes[index] = whole ^ damage;
                fs::write(path.join("a.arrow"), &bytes).unwrap();
                n_refused += usize::from(read_from(&path, &config).is_err());
            }
            bytes[index] = whole;
        }
        assert!(n_refused > 500, "{n_refused}");
    }

    #[test]
    fn columns_of_another_type_are_refused_by_name() {
        let lists = |rows: &[&[i64]]| -> ArrayRef {
            let rows = rows.iter().map(|row| Some(row.iter().copied().map(Some)));
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows))
        };
        let floats = || -> ArrayRef {
            let rows = [Some(vec![Some(0.5)]), None];
            Arc::new(ListArray::from_iter_primitive::<Float64Type, _, _>(rows))
        };
        let null = || -> ArrayRef {
            let rows = [Some(vec![Some(5)]), None];
            Arc::new(ListArray::from_iter_primitive::<Int64Type, _, _>(rows))
        };
        let integers = || -> ArrayRef { Arc::new(Int64Array::from(vec![1, 2])) };
        let strings = || -> ArrayRef { Arc::new(StringArray::from(vec!["a", "b"])) };
        let tokens = || lists(&[&[5, 6], &[7, 8]]);
        let indices = || lists(&[&[0], &[1]]);
        let classes = || lists(&[&[1], &[-1]]);
        let read = |columns: [ArrayRef; 3]| {
            let names = ["tokens", "is_math|probe_indices", "is_math|probe_classes"];
            let batch = RecordBatch::try_from_iter(names.into_iter().zip(columns)).unwrap();
            let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema()).unwrap();
            writer.write(&batch).unwrap();
            writer.finish().unwrap();
            let (_folder, path) = folder_of("latex.demo.2.-1", &writer.into_inner().unwrap());
            read_from(&path, &HaystackConfig::default())
        };
        let good = read([tokens(), indices(), classes()]).unwrap();
        assert_eq!(good.words.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1]);
        for (columns, expected) in [
            ([strings(), indices(), classes()], "holds strings, expected lists of integers"),
            ([integers(), indices(), classes()], "holds integers, expected lists of integers"),
            ([floats(), indices(), classes()], "lists of something else, expected lists of"),
            ([null(), indices(), classes()], "row 1: column `tokens` holds null"),
            ([tokens(), indices(), integers()], "column `is_math|probe_classes`"),
            ([tokens(), indices(), indices()], "holds another number, expected 1 or -1"),
            ([tokens(), lists(&[&[0], &[2]]), classes()], "row 1 labels token 2, but has 2"),
            ([tokens(), lists(&[&[-1], &[0]]), classes()], "row 0 labels token -1, but has 2"),
            ([tokens(), lists(&[&[0, 1], &[0]]), classes()], "row 0 labels 2 tokens, but has 1"),
            ([lists(&[&[5, 6], &[7, 4000]]), indices(), classes()], "row 1 has token 4000"),
            ([lists(&[&[-5, 6], &[7, 4]]), indices(), classes()], "row 0 has token -5"),
            ([lists(&[&[0, 0], &[0]]), indices(), classes()], "has no text: 2 rows"),
        ] {
            let error = read(columns).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
        let one_class = read([tokens(), indices(), lists(&[&[1], &[1]])]).unwrap_err();
        assert!(matches!(one_class, ActivationError::OneClass { .. }), "{one_class}");
    }

    #[test]
    fn a_column_that_is_missing_is_named() {
        let wikidata = golden("wikidata_is_alive.demo.16.-1/data-00000-of-00001.arrow");
        let (_folder, path) = folder_of("counterfact.demo.14.-1", &fs::read(wikidata).unwrap());
        let error = read_from(&path, &HaystackConfig::default()).unwrap_err().to_string();
        assert!(error.contains("a.arrow` has no column `text_true`; columns: `name`"), "{error}");
        let group = Some("nme".to_owned());
        let config = HaystackConfig { group, ..HaystackConfig::default() };
        let error = read_from(&golden("wikidata_is_alive.demo.16.-1"), &config).unwrap_err();
        assert!(error.to_string().ends_with("did you mean `name`?"), "{error}");
    }
}
