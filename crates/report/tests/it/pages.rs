//! Pages as files, without a browser.

use attention_probes_metrics::ConfusionMatrix;
use attention_probes_report::{
    ComparePage, FraCorpusPage, FraSamplePage, ReportError, SaeAblationPage, SaePage, SweepPage,
    TokenPage,
};
use serde_json::Value;

use crate::sample;

/// The data of a page as an HTML parser would find them.
fn island(html: &str) -> Value {
    let open = "<script type=\"application/json\" id=\"data\">";
    let (_, rest) = html.split_once(open).expect("the data begin");
    let (json, _) = rest.split_once("</script>").expect("the data end");
    serde_json::from_str(json).expect("the data are JSON")
}

#[test]
fn the_same_results_give_the_same_bytes() {
    let token = || sample::token_page(5, 20, 3).to_html().unwrap();
    assert_eq!(token(), token());
    let sweep = || sample::sweep_page(3).to_html().unwrap();
    assert_eq!(sweep(), sweep());
    let compare = || sample::compare_page().to_html().unwrap();
    assert_eq!(compare(), compare());
    let sae = || sample::sae_page(3, 2, 10).to_html().unwrap();
    assert_eq!(sae(), sae());
    let ablation = || sample::sae_ablation_page().to_html().unwrap();
    assert_eq!(ablation(), ablation());
    let fra_sample = || sample::fra_sample_page(9, 4).to_html().unwrap();
    assert_eq!(fra_sample(), fra_sample());
    let fra_corpus = || sample::fra_corpus_page(9, 4).to_html().unwrap();
    assert_eq!(fra_corpus(), fra_corpus());
}

#[test]
fn a_page_without_results_is_a_page() {
    for html in [
        TokenPage::default().to_html(),
        SweepPage::default().to_html(),
        ComparePage::default().to_html(),
        SaePage::default().to_html(),
        SaeAblationPage::default().to_html(),
        FraSamplePage::default().to_html(),
        FraCorpusPage::default().to_html(),
    ] {
        assert!(html.unwrap().ends_with("</html>\n"));
    }
}

#[test]
fn names_cannot_leave_their_place() {
    let mut sweep = sample::sweep_page(1);
    sweep.run = sample::INJECTION.to_owned();
    sweep.config = sample::INJECTION.repeat(2);
    sweep.experiments[0].classes[0] = sample::INJECTION.to_owned();
    let html = sweep.to_html().unwrap();
    assert_eq!(html.matches("<script").count(), 2);
    assert_eq!(html.matches("<img").count(), 0);
    assert_eq!(island(&html)["config"], sweep.config);
}

#[test]
fn a_loss_that_diverged_is_null() {
    let data = island(&sample::sweep_page(1).to_html().unwrap());
    let trials = data["experiments"][0]["architectures"][0]["trials"].as_array().unwrap();
    let diverged = trials.last().unwrap();
    assert!(diverged["loss"].is_null());
    assert!(diverged["history"]["validation_loss"][0].is_null());
}

#[test]
fn results_stand_on_a_page_under_their_own_keys() {
    let page = sample::sweep_page(1);
    let data = island(&page.to_html().unwrap());
    let (found, written) = (&data["experiments"][0], &page.experiments[0]);
    assert_eq!(found["n_train"], written.counts.n_train);
    assert_eq!(found["n_calibration"], 0);
    assert_eq!(found["baselines"]["majority_balanced_accuracy"], 0.5);
    let (found, written) = (&found["architectures"][0], &written.architectures[0]);
    assert_eq!(found["test"]["n_examples"], written.test.n_examples);
    assert_eq!(found["test"]["confusion"][0][0], written.test.confusion.counts()[0][0]);
    assert_eq!(found["thresholds"][0]["fitted"]["target_fpr"], 0.05);
    assert_eq!(found["thresholds"][0]["breaks_promise"], true);
    assert_eq!(found["lengths"][0]["n_examples"], 150);
    assert_eq!(found["comparisons"][0]["difference"], 0.04);
    let data = island(&sample::compare_page().to_html().unwrap());
    assert_eq!(data["chosen"][0]["run"], "baseline");
    let data = island(&sample::sae_ablation_page().to_html().unwrap());
    assert_eq!(data["metrics"][0]["by_arm"].as_array().unwrap().len(), 11);
}

#[test]
fn a_confusion_matrix_of_other_classes_is_refused() {
    let mut page = sample::sweep_page(1);
    let one_class = ConfusionMatrix::new(&[0], &[0], 1).unwrap();
    page.experiments[0].architectures[1].test.confusion = one_class;
    let error = page.to_html().unwrap_err();
    assert!(matches!(error, ReportError::Length { .. }));
    assert_eq!(
        error.to_string(),
        "experiment `sentiment-L00-resid_post`, probe `linear-mean`: `confusion` has length 1, \
         expected 2"
    );
}

#[test]
fn a_table_of_labels_that_are_no_classes_is_checked_and_escaped() {
    let mut page = sample::target_page();
    let html = page.to_html().unwrap();
    assert!(!html.contains("<script>document.title"), "a name is text");
    page.targets[0].rows[0].details.pop();
    assert!(page.to_html().unwrap_err().to_string().contains("data set `years`, probe `mean`"));
}

#[test]
fn an_autoencoder_with_hostile_strings_and_numbers_is_data() {
    let page = sample::hostile_sae_page();
    let html = page.to_html().unwrap();
    assert_eq!(html.matches("<script").count(), 2);
    assert_eq!(html.matches("<img").count(), 0);
    let data = island(&html);
    let feature = &data["features"][0];
    assert_eq!(feature["label"], page.features[0].label);
    assert_eq!(feature["raised"][0]["text"], sample::INJECTION);
    let nulls = [
        &data["sae"]["fvu"]["value"],
        &data["training"][1]["loss"],
        &feature["density"],
        &feature["texts"][0]["activations"][2],
        &feature["raised"][0]["value"],
        &feature["head_shares"][0],
        &feature["attribution"]["values"][0],
        &feature["neighbours"][0]["cosine"],
    ];
    assert!(nulls.iter().all(|value| value.is_null()), "{nulls:?}");
}

#[test]
fn tokens_of_features_are_stored_once() {
    let page = sample::sae_page(20, 10, 40);
    let data = island(&page.to_html().unwrap());
    let vocabulary = data["vocabulary"].as_array().unwrap();
    assert!(vocabulary.len() < 80, "{}", vocabulary.len());
    let (read, written) =
        (&data["features"][7]["quantiles"][1]["texts"][0], &page.features[7].quantiles[1].texts[0]);
    for (token, expected) in read["tokens"].as_array().unwrap().iter().zip(&written.tokens) {
        let token = &vocabulary[token.as_u64().unwrap() as usize];
        assert_eq!((&token[0], &token[1]), (&expected.text.clone().into(), &expected.id.into()));
    }
    assert_eq!(read["positions"], 0);
}

#[test]
fn a_long_training_is_thinned() {
    let page = sample::sae_page(1, 1, 4);
    assert_eq!(page.training.len(), 1500);
    let data = island(&page.to_html().unwrap());
    let training = data["training"].as_array().unwrap();
    assert!((300..=401).contains(&training.len()), "{}", training.len());
    assert_eq!(training.last().unwrap()["step"], page.training.last().unwrap().step);
    let weights = &data["guidance"]["weights"];
    assert_eq!(
        weights["steps"].as_array().unwrap().len(),
        weights["weights"].as_array().unwrap().len()
    );
}

#[test]
fn an_autoencoder_that_does_not_fit_is_refused() {
    let refused = |change: &dyn Fn(&mut SaePage), expected: &str| {
        let mut page = sample::sae_page(2, 2, 10);
        change(&mut page);
        assert_eq!(page.to_html().unwrap_err().to_string(), expected);
    };
    refused(
        &|page| page.densities.truncate(5),
        "autoencoder: `densities` has length 5, expected 256",
    );
    refused(
        &|page| page.features[1].feature = 256,
        "feature 256: `feature` is 256, expected one below 256",
    );
    refused(&|page| page.features[1].feature = 0, "`features` has 0 twice");
    refused(
        &|page| page.features[0].texts[1].activations.truncate(3),
        "feature 0, text 31: `activations` has length 3, expected 10",
    );
    refused(
        &|page| page.features[0].quantiles[1].texts[0].activations.truncate(3),
        "feature 0, text 900: `activations` has length 3, expected 10",
    );
    refused(
        &|page| page.features[0].attribution.as_mut().unwrap().values.truncate(4),
        "feature 0: `attribution.values` has length 4, expected 10",
    );
    refused(
        &|page| page.features[0].attribution.as_mut().unwrap().token = 10,
        "feature 0: `attribution.token` is 10, expected one below 10",
    );
    refused(
        &|page| page.features[0].texts.clear(),
        "feature 0: `attribution.values` has length 10, expected 0",
    );
    refused(
        &|page| page.features[1].head_shares.truncate(3),
        "feature 9: `head_shares` has length 3, expected 8",
    );
    refused(
        &|page| page.features[1].neighbours[2].feature = 300,
        "feature 9: `neighbours.feature` is 300, expected one below 256",
    );
    refused(
        &|page| page.guidance.as_mut().unwrap().contributions.truncate(2),
        "autoencoder: `contributions` has length 2, expected 3",
    );
    refused(
        &|page| page.guidance.as_mut().unwrap().weights.weights[4].truncate(2),
        "autoencoder: `weights` has length 2, expected 3",
    );
    refused(
        &|page| page.guidance.as_mut().unwrap().weights.steps.truncate(2),
        "autoencoder: `weights` has length 600, expected 2",
    );
}

#[test]
fn an_ablation_that_does_not_fit_is_refused() {
    let refused = |change: &dyn Fn(&mut SaeAblationPage), expected: &str| {
        let mut page = sample::sae_ablation_page();
        change(&mut page);
        assert_eq!(page.to_html().unwrap_err().to_string(), expected);
    };
    refused(
        &|page| page.arms[1].values.truncate(2),
        "arm `L-1`: `values` has length 2, expected 6",
    );
    refused(
        &|page| page.metrics[1].by_arm.truncate(2),
        "metric `TPP`: `by_arm` has length 2, expected 11",
    );
    refused(
        &|page| page.metrics[1].by_arm[3].truncate(2),
        "metric `TPP`: `by_arm` has length 2, expected 5",
    );
    refused(
        &|page| page.arms[4].layer_weights.as_mut().unwrap().layers.truncate(1),
        "arm `L-1, L`: `weights` has length 2, expected 1",
    );
}

#[test]
fn attention_by_features_with_hostile_strings_is_data() {
    let html = sample::hostile_fra_sample_page().to_html().unwrap();
    assert_eq!(html.matches("<script").count(), 2);
    assert_eq!(html.matches("<img").count(), 0);
    let data = island(&html);
    assert_eq!(data["model"], sample::INJECTION);
    assert!(data["heads"][0]["terms"].is_null());
    let html = sample::hostile_fra_corpus_page().to_html().unwrap();
    assert_eq!(html.matches("<script").count(), 2);
    assert_eq!(html.matches("<img").count(), 0);
    assert_eq!(island(&html)["samples"][0]["name"], sample::INJECTION.repeat(2));
}

#[test]
fn maps_of_a_text_are_written_up_to_the_diagonal() {
    let mut page = sample::fra_sample_page(5, 2);
    let terms = page.heads[0].terms.as_mut().unwrap();
    // What no query sees is not looked at, whatever it is.
    terms.pairs[1] = f64::NAN;
    let sum = terms.pairs[5] + terms.query_features[5] + terms.key_features[5] + terms.rest[5];
    let data = island(&page.to_html().unwrap());
    let head = &data["heads"][0];
    assert_eq!(head["pattern"].as_array().unwrap().len(), 15);
    assert_eq!(head["terms"]["terms"][3].as_array().unwrap().len(), 15);
    let score = head["terms"]["scores"][1].as_f64().unwrap();
    assert!((score - sum).abs() < 1e-3 * sum.abs(), "{score} {sum}");
    let shares = head["terms"]["shares"].as_array().unwrap();
    let total: f64 = shares.iter().map(|share| share.as_f64().unwrap()).sum();
    assert!((total - 1.0).abs() < 1e-3, "{total}");
}

#[test]
fn attention_of_a_text_that_does_not_fit_is_refused() {
    let refused = |change: &dyn Fn(&mut FraSamplePage), expected: &str| {
        let mut page = sample::fra_sample_page(6, 3);
        change(&mut page);
        assert_eq!(page.to_html().unwrap_err().to_string(), expected);
    };
    refused(
        &|page| page.heads[1].pattern.truncate(7),
        "head 3: `pattern` has length 7, expected 36",
    );
    refused(
        &|page| page.heads[0].pattern[12] = f64::NAN,
        "head 0, query 2: `pattern` has NaN at 0, expected finite numbers",
    );
    refused(
        &|page| page.heads[0].terms.as_mut().unwrap().rest.truncate(1),
        "head 0: `terms.rest` has length 1, expected 36",
    );
    refused(
        &|page| page.heads[0].pairs[1].sum = f64::INFINITY,
        "head 0, pair 7 and 42: `sum` has inf at 0, expected finite numbers",
    );
    refused(
        &|page| page.heads[0].pairs[1].entries[0].query_pos = 6,
        "head 0, pair 7 and 42: `query_pos` is 6, expected one below 6",
    );
    refused(
        &|page| {
            let entry = &mut page.heads[0].pairs[1].entries[0];
            (entry.query_pos, entry.key_pos) = (2, 3);
        },
        "head 0, pair 7 and 42: `key_pos` is 3, expected one below 3",
    );
    refused(
        &|page| {
            let entry = page.heads[0].pairs[1].entries[0];
            page.heads[0].pairs[1].entries.push(entry);
        },
        &{
            let page = sample::fra_sample_page(6, 3);
            let entry = page.heads[0].pairs[1].entries[0];
            format!(
                "head 0, pair 7 and 42: the pair of {} and {} is listed twice",
                entry.query_pos, entry.key_pos
            )
        },
    );
    refused(
        &|page| page.heads[0].pairs[1] = page.heads[0].pairs[0].clone(),
        "head 0: the pair of 0 and 11 is listed twice",
    );
    refused(&|page| page.heads[1].head = 0, "`heads` has 0 twice");
    refused(
        &|page| page.features[0].activations.truncate(2),
        "feature 0: `activations` has length 2, expected 6",
    );
    refused(&|page| page.features[1].feature = page.features[0].feature, "`features` has 0 twice");
    refused(
        &|page| page.sae_page = "javascript:alert(1)".to_owned(),
        "page: `sae_page` is `javascript:alert(1)`, expected an address relative to the page, such \
         as `samples/one.html`",
    );
}

#[test]
fn attention_over_many_texts_that_does_not_fit_is_refused() {
    let refused = |change: &dyn Fn(&mut FraCorpusPage), expected: &str| {
        let mut page = sample::fra_corpus_page(4, 2);
        change(&mut page);
        assert_eq!(page.to_html().unwrap_err().to_string(), expected);
    };
    refused(
        &|page| page.heads[2].pairs[0].mean_distance = f64::NAN,
        "head 2, pair 10 and 40: `mean_distance` has NaN at 0, expected finite numbers",
    );
    refused(
        &|page| page.heads[2].pairs[0].mean.interval.as_mut().unwrap().upper = f64::INFINITY,
        "head 2, pair 10 and 40: `mean` has inf at 1, expected finite numbers",
    );
    refused(
        &|page| page.heads[2].pairs[0].samples = vec![2],
        "head 2, pair 10 and 40: `samples` is 2, expected one below 2",
    );
    refused(
        &|page| page.heads[0].pairs[1] = page.heads[0].pairs[0].clone(),
        "head 0: the pair of 0 and 40 is listed twice",
    );
    refused(
        &|page| page.heads[0].self_interactions.as_mut().unwrap().n_self = 5,
        "head 0: `n_self` is 5, expected one below 5",
    );
    refused(
        &|page| page.heads[0].self_interactions.as_mut().unwrap().other_heads[1] = f64::NAN,
        "head 0: `other_heads` has NaN at 1, expected finite numbers",
    );
    refused(&|page| page.heads[3].head = 1, "`heads` has 1 twice");
    refused(
        &|page| page.samples[1].page = "//example.org/x".to_owned(),
        "sample `row 1`: `page` is `//example.org/x`, expected an address relative to the page, \
         such as `samples/one.html`",
    );
}
