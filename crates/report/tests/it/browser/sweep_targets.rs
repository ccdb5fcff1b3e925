//! The part of a sweep's page about labels other than classes.

use serde_json::json;

use crate::browser::devtools::{Browser, TOOLTIP};
use crate::browser::{TOUCHING, open};
use crate::sample;

#[test]
fn a_probe_shows_the_trials_or_penalties_that_it_was_chosen_from() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::target_page().to_html(), 1440);
    let named = "document.querySelector('#target-cards select').selectedOptions[0].textContent";
    let chosen = "document.querySelector('#target-cards .chosen').textContent";
    let panels = "[...document.querySelector('#target-cards .panels').querySelectorAll('h3')]\
                  .map((h3) => h3.textContent).join('|')";
    // What validation likes best is shown first, and bold in the table.
    assert_eq!(browser.text(named), "attention, layer 3");
    assert_eq!(browser.text("document.querySelector('#target-cards .best').textContent"), "0.600");
    assert_eq!(
        browser.text(chosen),
        "Chosen of 6 trials on validation: rate 1e-3, decay 0, seed 42."
    );
    let expected = "Grid: loss on validation|Learning curves|Load it in Rust|Load it in Python";
    assert_eq!(browser.text(panels), expected);
    let title = "document.querySelector('#target-cards .panels figcaption').textContent";
    assert!(
        browser.text(title).starts_with("Loss, half the squared error"),
        "the unit of the loss"
    );
    browser.hover("#target-cards table.heat .chosen");
    let shown = browser.text(TOOLTIP);
    assert_eq!(shown, "Trial on validation|learning rate|1e-3|weight decay|0|loss|0.4");

    let to = |browser: &mut Browser, index: usize| {
        browser.evaluate(&format!(
            "(() => {{ const select = document.querySelector('#target-cards select'); \
             select.value = '{index}'; select.dispatchEvent(new Event('change')); }})()"
        ));
        browser.settle();
    };
    to(&mut browser, 0);
    assert_eq!(browser.text(named), "mean, layer 0");
    assert_eq!(browser.text(chosen), "Chosen of 9 penalties on validation: penalty 1e2.");
    assert_eq!(browser.text(panels), "Penalties|Load it in Rust|Load it in Python");
    // The penalty that did not come to the minimum has no point.
    let points = "document.querySelector('#target-cards .panels')\
                  .querySelectorAll('svg[role=img] .marker').length";
    assert_eq!(browser.evaluate(points), json!(8));
    let code = "document.querySelector('#target-cards pre').textContent";
    assert!(
        browser.text(code).contains("seed_42/years-L00-resid_post/trained/mean_probe_state.npz")
    );
    assert_eq!(browser.evaluate(TOUCHING), json!([]));
    browser.assert_fits();
    browser.assert_quiet();
}

#[test]
fn the_parts_of_other_labels_fit_a_phone() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::target_page().to_html(), 390);
    assert_eq!(browser.evaluate(TOUCHING), json!([]));
    browser.assert_fits();
    browser.assert_quiet();
}
