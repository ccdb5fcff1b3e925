//! The page of several runs.

use attention_probes_report::{ComparePage, ComparedResult};
use serde_json::json;

use crate::browser::devtools::{Browser, TOOLTIP};
use crate::browser::open;
use crate::sample;

#[test]
fn runs_stand_beside_each_other() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::compare_page();
    let _folder = open(&mut browser, page.to_html(), 1440);
    let cells = browser.evaluate(
        "[...document.querySelectorAll('#results tbody tr:nth-child(2) > *')].map((n) => n.textContent)",
    );
    let first_of = |run: usize| -> &ComparedResult {
        page.results.iter().find(|result| result.probe.run_index == run).unwrap()
    };
    let value = |run: usize| format!("{:.3}", first_of(run).probe.value.unwrap());
    let group = browser.text("document.querySelector('#results .group').textContent");
    assert_eq!(group, "sentiment, linear-meanbalanced accuracy, 600 test examples");
    assert_eq!(cells[0], "0");
    for run in 0..3 {
        let cell = cells[1 + run].as_str().unwrap();
        assert!(cell.starts_with(&value(run)), "{cell}");
    }
    let paired = first_of(1).probe.over_first.unwrap().difference;
    assert!(cells[2].as_str().unwrap().contains(&format!("+{paired:.3} [")), "{}", cells[2]);
    assert_eq!(
        browser.evaluate("document.querySelectorAll('#charts svg[role=img]').length"),
        json!(4)
    );
    browser.hover("#charts svg[role=img]");
    assert!(browser.text(TOOLTIP).contains("|baseline|"));
    browser.assert_quiet();
}

#[test]
fn data_sets_are_points_against_the_first_run() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::compare_page();
    let _folder = open(&mut browser, page.to_html(), 1440);
    let svg = "#scatters svg[role=img]";
    let count = |browser: &mut Browser, what: &str| {
        browser.evaluate(&format!("document.querySelectorAll('{svg} {what}').length"))
    };
    // Two runs besides the first, two data sets, and no line from one to the other.
    assert_eq!(count(&mut browser, ".marker"), json!(4));
    assert_eq!(count(&mut browser, ".diagonal"), json!(1));
    browser.hover(svg);
    let shown = browser.text(TOOLTIP);
    assert!(shown.starts_with("baseline 0.") && shown.contains("(sentiment)"), "{shown}");

    let mut one_set = page;
    one_set.chosen.retain(|result| result.probe.data == "sentiment");
    let _folder = open(&mut browser, one_set.to_html(), 1440);
    assert_eq!(browser.evaluate("document.querySelector('#scatter').hidden"), json!(true));
    browser.assert_quiet();
}

#[test]
fn rows_can_be_searched() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::compare_page().to_html(), 1440);
    browser.focus("#search");
    browser.type_text("next-the att");
    assert_eq!(browser.text("document.querySelector('#shown').textContent"), "0 of 48 rows");
    browser.evaluate("document.querySelector('#search').select()");
    browser.type_text("attention");
    assert_eq!(browser.text("document.querySelector('#shown').textContent"), "24 of 48 rows");
    browser.assert_quiet();
}

#[test]
fn a_page_fits_a_phone_and_a_desk() {
    let Some(mut browser) = Browser::start() else { return };
    let mut sole = sample::compare_page();
    sole.runs.truncate(1);
    sole.runs[0].name = "</script><script>document.title='injected'</script>".repeat(3);
    for results in [&mut sole.results, &mut sole.chosen] {
        results.retain(|result| result.probe.run_index == 0);
        for result in results {
            result.probe.run.clone_from(&sole.runs[0].name);
            result.probe.layer = None;
            (result.probe.value, result.probe.interval) = (None, None);
        }
    }
    for page in [sample::compare_page(), sole, ComparePage::default()] {
        for width in [390, 1440] {
            let _folder = open(&mut browser, page.to_html(), width);
            browser.assert_fits();
            assert_ne!(browser.text("document.title"), "injected");
            browser.assert_quiet();
        }
    }
}
