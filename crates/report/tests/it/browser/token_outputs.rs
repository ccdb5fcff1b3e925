//! The page of tokens of probes that say numbers or several labels.

use attention_probes_report::{PageOutputs, PageProbe, TokenPage, TokenReading, TokenText};

use crate::browser::devtools::{Browser, TOOLTIP};
use crate::browser::open;
use crate::browser::token::token;

/// One text, whose probe says numbers, or several labels.
fn page_of(
    outputs: PageOutputs,
    classes: &[&str],
    label: &str,
    reading: TokenReading,
) -> TokenPage {
    TokenPage {
        title: "One text".to_owned(),
        model: "demo-gpt2".to_owned(),
        probes: vec![PageProbe {
            label: "linear, layer 1".to_owned(),
            series: "linear".to_owned(),
            kind: "linear".to_owned(),
            layer: Some(1),
            outputs,
            classes: classes.iter().map(|&name| name.to_owned()).collect(),
            threshold: 0.5,
            ..PageProbe::default()
        }],
        texts: vec![TokenText {
            row: 0,
            label: Some(label.to_owned()),
            tokens: vec![token("A", 0), token(" fine", 1)],
            readings: vec![reading],
        }],
    }
}

#[test]
fn a_probe_of_numbers_says_numbers() {
    let Some(mut browser) = Browser::start() else { return };
    let reading = TokenReading {
        logits: vec![41.25],
        prefix_probabilities: Some(vec![12.5, 41.25]),
        contributions: Some(vec![-3.5, 7.0]),
        ..TokenReading::default()
    };
    let page = page_of(PageOutputs::Number, &["age"], "40.0", reading);
    let _folder = open(&mut browser, page.to_html(), 1440);
    let header = browser.text("document.querySelector('.text header').textContent");
    assert!(header.contains("says 41.250, label 40.0age"), "{header}");
    browser.hover(".token[data-index='1']");
    assert_eq!(
        browser.text(TOOLTIP),
        "␣fine|position|1|token id|101|age so far|41.25|adds to the number|7"
    );
    browser.hover(".text .numbers");
    assert_eq!(browser.text(TOOLTIP), "Row 0|age|41.25|tokens|2");
    let shades = "[...document.querySelectorAll('.token')]\
                  .map((token) => token.style.getPropertyValue('--shade')).join()";
    assert_eq!(browser.text(shades), "0.0%,100.0%");
    let sorts = "[...document.querySelectorAll('#sort option')].map((one) => one.value).join()";
    assert_eq!(browser.text(sorts), "row,longest,shortest");
    browser.assert_fits();
    browser.assert_quiet();
}

#[test]
fn a_probe_of_several_labels_says_those_that_are_there() {
    let Some(mut browser) = Browser::start() else { return };
    let reading = |p: f64| TokenReading {
        probabilities: vec![0.625, p, 0.25],
        logits: vec![0.5, 1.0, -1.0],
        predicted: usize::from(p > 0.625),
        prefix_probabilities: Some(vec![0.5, p]),
        ..TokenReading::default()
    };
    let labels = ["war", "art", "sport"];
    for (p, says) in [(0.75, "✓ rightsays war, art, label war, art"), (0.25, "✗ wrongsays war")]
    {
        let page = page_of(PageOutputs::Labels, &labels, "war, art", reading(p));
        let _folder = open(&mut browser, page.to_html(), 390);
        let header = browser.text("document.querySelector('.text header').textContent");
        assert!(header.contains(says), "{header}");
        browser.assert_fits();
        browser.assert_quiet();
    }
}
