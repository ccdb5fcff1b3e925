//! Pages as files, without a browser.

#[path = "support/sample/mod.rs"]
mod sample;

use attention_probes_report::{ComparePage, ReportError, SweepPage, TokenPage};
use serde_json::Value;

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
}

#[test]
fn a_page_without_results_is_a_page() {
    for html in [
        TokenPage::default().to_html(),
        SweepPage::default().to_html(),
        ComparePage::default().to_html(),
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
fn a_confusion_matrix_of_other_classes_is_refused() {
    let mut page = sample::sweep_page(1);
    page.experiments[0].architectures[1].confusion.pop();
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
