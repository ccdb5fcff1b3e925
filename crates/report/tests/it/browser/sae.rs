//! The page of a sparse autoencoder.

use attention_probes_report::{
    ActivationBin, FeatureNeighbour, FeatureQuantile, FeatureText, FeatureToken, PageToken,
    SaeFeature, SaePage, SaeSummary, SourceAttribution,
};
use serde_json::{Value, json};

use crate::browser::devtools::{Browser, TOOLTIP};
use crate::browser::{open, open_at};
use crate::sample;

const HEADING: &str = "document.querySelector('#detail-heading').textContent";
const ROWS: &str =
    "[...document.querySelectorAll('#list tbody tr')].map((r) => +r.dataset.feature)";
const SHOWN: &str = "document.querySelector('#shown').textContent";

/// Three features, numbers that are easy to recognise.
fn small_page() -> SaePage {
    let token = |text: &str, position: usize| PageToken {
        text: text.to_owned(),
        id: Some(100 + position as i64),
        position: 5 + position,
    };
    let text = |row, activations: [f64; 3]| FeatureText {
        row,
        tokens: vec![token("A", 0), token(" <b>fine</b>", 1), token("\nday", 2)],
        activations: activations.to_vec(),
    };
    let feature = |feature, density, max_activation, label: &str| SaeFeature {
        feature,
        label: label.to_owned(),
        density,
        max_activation,
        texts: vec![text(7, [0.0, max_activation, f64::NAN]), text(9, [0.5, 0.0, 0.0])],
        ..SaeFeature::default()
    };
    let mut first = feature(12, 0.002, 4.0, "");
    first.quantiles = vec![FeatureQuantile {
        name: "the lower half".to_owned(),
        texts: vec![text(3, [1.0, 0.0, 0.0])],
    }];
    first.activations = vec![
        ActivationBin { lower: 0.0, upper: 2.0, n: 30 },
        ActivationBin { lower: 2.0, upper: 4.0, n: 6 },
    ];
    first.raised = vec![FeatureToken { text: " sun".to_owned(), id: Some(8), value: 1.25 }];
    first.lowered = vec![FeatureToken { text: " rain".to_owned(), id: None, value: -0.5 }];
    first.head_shares = vec![0.25, 0.75];
    first.attribution = Some(SourceAttribution { token: 1, values: vec![-1.5, 3.0, 0.0] });
    first.neighbours = vec![
        FeatureNeighbour { feature: 3, cosine: 0.5 },
        FeatureNeighbour { feature: 2, cosine: 0.25 },
    ];
    let third = feature(30, 0.00005, f64::NAN, "a label of its own");
    SaePage {
        title: "Three features".to_owned(),
        sae: SaeSummary {
            architecture: "topk".to_owned(),
            d_in: 8,
            d_sae: 32,
            k: Some(4),
            l0: 3.96.into(),
            fvu: 0.125.into(),
            ce_loss_score: f64::NAN.into(),
            n_dead: Some(8),
            n_training_tokens: 1_000_000,
            ..SaeSummary::default()
        },
        file: "sae/last".to_owned(),
        densities: [vec![0.0; 8], vec![0.02; 24]].concat(),
        features: vec![first, feature(3, 0.2, 9.0, "common"), third],
        ..SaePage::default()
    }
}

#[test]
fn the_summary_has_the_facts() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, small_page().to_html(), 1440);
    let facts = browser.text(
        "[...document.querySelectorAll('#summary dl > div')].map((d) => \
         [...d.children].map((c) => c.textContent).join(': ')).join('|')",
    );
    assert_eq!(
        facts,
        "Architecture: topk|d_in to d_sae: 8 to 32|k: 4|L0: 4.0|FVU: 0.125|\
         Dead features: 8 (25 %)|Training tokens: 1,000,000"
    );
    let rust = browser.text("document.querySelector('#load-rust').textContent");
    assert!(rust.contains("read_sae(\"sae/last\")") && rust.lines().count() == 3, "{rust}");
    let python = browser.text("document.querySelector('#load-python').textContent");
    assert!(python.contains("load_from_disk(\"sae/last\")") && python.lines().count() == 3);
    let dead = browser.text("document.querySelector('#density p').textContent");
    assert_eq!(dead, "8 of 32 features never fired.");
    browser.focus("#density svg");
    browser.press("ArrowRight");
    assert_eq!(browser.text(TOOLTIP), "1.8 % to 3.2 % of tokens|features|24");
    browser.assert_quiet();
}

#[test]
fn hovering_a_token_shows_exactly_its_numbers() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, small_page().to_html(), 1440);
    browser.hover(".samples .token[data-index='1']");
    assert_eq!(browser.text(TOOLTIP), "␣<b>fine</b>|activation|4|token id|101|position|6");
    browser.hover(".samples .token[data-index='2']");
    assert_eq!(browser.text(TOOLTIP), "⏎day|activation|n/a|token id|102|position|7");
    let colours = browser.evaluate(
        "[...document.querySelectorAll('.samples')][0].querySelectorAll('.token').values()\
         .map((t) => [t.dataset.sign ?? null, t.style.getPropertyValue('--shade')]).toArray()",
    );
    let none = json!([null, ""]);
    // The second text fires at an eighth of the maximum.
    let expected = json!([none, ["w", "100.0%"], none, ["w", "21.3%"], none, none]);
    assert_eq!(colours, expected);

    // What attention takes from each token has two hues, and the token itself an outline.
    browser.hover("[data-tip='source'][data-index='0']");
    assert_eq!(browser.text(TOOLTIP), "A|adds to the activation|-1.5|token id|100|position|5");
    let sources = browser.evaluate(
        "[...document.querySelectorAll('[data-tip=source]')].map((t) => \
         [t.dataset.sign ?? '', t.style.getPropertyValue('--shade'), t.matches('.target')])",
    );
    assert_eq!(sources, json!([["-", "50.0%", false], ["+", "100.0%", true], ["", "", false]]));
    browser.assert_quiet();
}

#[test]
fn the_parts_of_a_feature_have_its_numbers() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, small_page().to_html(), 1440);
    let bars = |label: &str| {
        format!(
            "[...document.querySelector(\"[aria-label='{label}']\").children]\
             .map((li) => [...li.children].map((c) => c.textContent).join('|')).join('\\n')"
        )
    };
    assert_eq!(browser.text(&bars("raises")), "␣sun||1.25");
    assert_eq!(browser.text(&bars("lowers")), "␣rain||−0.50");
    assert_eq!(browser.text(&bars("Share of each head")), "head 0||25 %\nhead 1||75 %");
    assert_eq!(browser.text(&bars("Sources that add most")), "␣<b>fine</b> at 6||3\nA at 5||−1.5");
    // A feature that is not on the page has no link.
    assert_eq!(browser.text(&bars("Cosine of decoder directions")), "#3 common||0.500\n#2 ||0.250");
    let links = "document.querySelectorAll('#detail a').length";
    assert_eq!(browser.evaluate(links), json!(1));
    browser.hover("[aria-label='lowers'] li");
    assert_eq!(browser.text(TOOLTIP), "␣rain|logit|-0.5|token id|n/a");
    browser.focus("#detail .plot svg");
    browser.press("ArrowLeft");
    assert_eq!(browser.text(TOOLTIP), "activation 2 to 4|tokens|6");

    browser.click("#detail a");
    assert_eq!(browser.text(HEADING), "Feature 3");
    assert_eq!(browser.text("location.hash"), "#f3");
    // It has texts, and nothing else: the panels of what is not known are left out.
    let panels =
        browser.evaluate("[...document.querySelectorAll('#detail h3')].map((h) => h.textContent)");
    assert_eq!(panels, json!(["Feature 3", "Strongest texts"]));
    browser.assert_quiet();
}

#[test]
fn an_address_leads_to_a_feature() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open_at(&mut browser, small_page().to_html(), "#f30", 1440);
    assert_eq!(browser.text(HEADING), "Feature 30");
    assert!(browser.number("scrollY") > 100.0, "the page scrolls to it");
    assert_eq!(browser.text("document.querySelector('tr.current a').textContent"), "#30");

    // A filter that hides what is asked for is lifted.
    browser.focus("#search");
    browser.type_text("common");
    assert_eq!(browser.evaluate(ROWS), json!([3]));
    browser.evaluate("location.hash = '#f12'");
    browser.settle();
    assert_eq!(browser.text(HEADING), "Feature 12");
    assert_eq!(browser.evaluate(ROWS), json!([12, 3, 30]));
    // What is on no page, or no feature, changes nothing.
    for address in ["#f31", "#f", "#detail", "#f1e1"] {
        browser.evaluate(&format!("location.hash = '{address}'"));
        browser.settle();
        assert_eq!(browser.text(HEADING), "Feature 12");
    }
    // The way back is that of the browser.
    browser.evaluate("location.hash = '#f3'");
    browser.settle();
    browser.evaluate("location.hash = '#f30'");
    browser.settle();
    browser.evaluate("history.back()");
    browser.settle();
    browser.settle();
    assert_eq!(browser.text(HEADING), "Feature 3");
    browser.assert_quiet();

    let _folder = open_at(&mut browser, small_page().to_html(), "#f999", 1440);
    assert_eq!(browser.text(HEADING), "Feature 12", "the first is shown");
    browser.assert_quiet();
}

#[test]
fn the_list_is_sorted_and_filtered() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, small_page().to_html(), 1440);
    assert_eq!(browser.evaluate(ROWS), json!([12, 3, 30]), "the order of the file");
    browser.click("[data-sort='density']");
    assert_eq!(browser.evaluate(ROWS), json!([3, 12, 30]));
    browser.click("[data-sort='density']");
    assert_eq!(browser.evaluate(ROWS), json!([30, 12, 3]));
    let sorted = "document.querySelector('#list [aria-sort]').ariaSort";
    assert_eq!(browser.text(sorted), "ascending");
    assert_eq!(browser.text("document.activeElement.dataset.sort"), "density");
    browser.click("[data-sort='feature']");
    assert_eq!(browser.evaluate(ROWS), json!([3, 12, 30]));

    browser.focus("#search");
    for (words, rows) in [
        ("#3", json!([3, 30])),
        ("OWN", json!([30])),
        ("<B>FINE", json!([3, 12])),
        ("zebra", json!([])),
    ] {
        browser.evaluate("document.querySelector('#search').select()");
        browser.type_text(words);
        assert_eq!(browser.evaluate(ROWS), rows, "{words}");
    }
    assert_eq!(browser.text(SHOWN), "0 of 3 features");
    assert!(browser.text("document.querySelector('#list').textContent").contains("No feature"));
    browser.evaluate("document.querySelector('#search').select()");
    browser.type_text("#");
    browser.focus("#range");
    browser.type_key("b");
    assert_eq!(browser.evaluate(ROWS), json!([30]), "below 0.01 %");
    assert_eq!(browser.text(SHOWN), "1 of 3 features");
    // The feature that was shown stays, and the list goes on from its own beginning.
    assert_eq!(browser.text(HEADING), "Feature 12");
    browser.click("#next");
    assert_eq!(browser.text(HEADING), "Feature 30");
    assert_eq!(browser.evaluate("document.querySelector('#next').disabled"), json!(true));
    browser.assert_quiet();
}

#[test]
fn what_is_not_known_comes_last_in_either_order() {
    let Some(mut browser) = Browser::start() else { return };
    let mut page = small_page();
    page.features[1].max_activation = f64::NAN;
    page.features[2].max_activation = 5.0;
    let _folder = open(&mut browser, page.to_html(), 1440);
    browser.click("[data-sort='max']");
    assert_eq!(browser.evaluate(ROWS), json!([30, 12, 3]));
    browser.click("[data-sort='max']");
    assert_eq!(browser.evaluate(ROWS), json!([12, 30, 3]));
    browser.assert_quiet();
}

#[test]
fn the_keyboard_walks_through_features_and_tokens() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::sae_page(300, 8, 16).to_html(), 1440);
    let numbers = browser.evaluate("DATA.features.map((feature) => feature.feature)");
    let is_shown = |browser: &mut Browser, index: usize| {
        assert_eq!(
            browser.text("document.activeElement.textContent"),
            format!("#{}", numbers[index])
        );
        assert_eq!(browser.text("location.hash"), format!("#f{}", numbers[index]));
        assert_eq!(browser.evaluate("shown.feature.feature"), numbers[index]);
        let box_of = "(() => { const b = document.activeElement.getBoundingClientRect(), \
                      l = document.querySelector('#list').getBoundingClientRect(); \
                      return b.top >= l.top && b.bottom <= l.bottom + 1; })()";
        assert_eq!(browser.evaluate(box_of), json!(true), "row {index} is in sight");
    };
    browser.focus("#search");
    browser.press_until("Tab", "document.activeElement.matches('#list tbody a')");
    browser.press("ArrowDown");
    is_shown(&mut browser, 1);
    browser.press("ArrowDown");
    is_shown(&mut browser, 2);
    browser.press("ArrowUp");
    browser.press("ArrowUp");
    browser.press("ArrowUp");
    is_shown(&mut browser, 0);
    browser.press("End");
    is_shown(&mut browser, 299);
    browser.press("Home");
    is_shown(&mut browser, 0);
    // The buttons have the focus to themselves, and the list follows all the same.
    browser.evaluate("goToPlace(200)");
    let row = "(() => { const b = document.querySelector('tr.current').getBoundingClientRect(), \
               l = document.querySelector('#list').getBoundingClientRect(); \
               return b.top >= l.top && b.bottom <= l.bottom + 1; })()";
    assert_eq!(browser.evaluate(row), json!(true));
    let stops = "document.querySelectorAll('#list tbody a[tabindex=\"0\"]').length";
    assert_eq!(browser.evaluate(stops), json!(1), "one row is in the order of the tabulator");

    browser.press_until("Tab", "document.activeElement.matches('#next')");
    browser.press_until("Tab", "document.activeElement.matches('.token')");
    browser.press("ArrowRight");
    assert_eq!(browser.text("document.activeElement.dataset.index"), "1");
    let expected = browser.text(
        "`|activation|${shown.feature.texts[0].activations[1]}|token id|\
         ${DATA.vocabulary[shown.feature.texts[0].tokens[1]][1]}|position|1`",
    );
    assert!(browser.text(TOOLTIP).ends_with(&expected), "{expected}");
    browser.press("End");
    assert_eq!(browser.text("document.activeElement.dataset.index"), "15");
    browser.press("Escape");
    assert_eq!(browser.text(TOOLTIP), "");
    browser.assert_quiet();
}

#[test]
fn a_click_anywhere_on_a_row_shows_its_feature() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, small_page().to_html(), 1440);
    assert_eq!(browser.text("location.hash"), "", "the address is that which was opened");
    browser.click("#list tbody tr:nth-child(2) td:last-child");
    assert_eq!(browser.text(HEADING), "Feature 3");
    browser.click("#list tbody tr:nth-child(3) a");
    assert_eq!(browser.text(HEADING), "Feature 30");
    assert_eq!(browser.text("document.querySelector('tr.current a').textContent"), "#30");
    browser.click("#previous");
    assert_eq!(browser.text(HEADING), "Feature 3");
    browser.hover("#list tbody tr:nth-child(3) td");
    assert_eq!(browser.text(TOOLTIP), "a label of its own|density|0.00005|largest activation|n/a");
    browser.assert_quiet();
}

#[test]
fn further_texts_are_shown_when_somebody_asks() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::sae_page(4, 20, 12).to_html(), 1440);
    let n = "document.querySelector('#detail .samples').children.length";
    assert_eq!(browser.evaluate(n), json!(6));
    browser.click("#more-texts");
    assert_eq!(browser.evaluate(n), json!(20));
    let is_next = "document.activeElement === \
                   document.querySelectorAll('#detail .samples li')[6].querySelector('.token')";
    assert_eq!(browser.evaluate(is_next), json!(true), "the focus is on the first of them");
    assert_eq!(browser.evaluate("document.querySelector('#more-texts')"), Value::Null);
    browser.assert_quiet();
}

#[test]
fn a_large_page_is_quick() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::sae_page(600, 20, 64);
    let _folder = open(&mut browser, page.to_html(), 1440);
    let total = browser.number(
        "DATA.features.reduce((n, f) => n + f.texts.reduce((m, t) => m + t.tokens.length, 0), 0)",
    );
    assert!(total > 700_000.0, "{total}");
    let n = browser.number("document.querySelectorAll('*').length");
    assert!(n < 5_000.0, "{n} elements for {total} tokens");
    assert_eq!(browser.evaluate("document.querySelectorAll('#list tbody tr').length"), json!(120));

    // A second for what takes a few milliseconds: only a page that draws everything is so slow.
    let elapsed_ms = browser.number(
        "(() => { const start = performance.now(); \
         for (let place = 0; place < 20; place += 1) { goToPlace(place); document.body.offsetHeight; } \
         return (performance.now() - start) / 20; })()",
    );
    assert!(elapsed_ms < 1000.0, "a feature took {elapsed_ms} ms");

    // The list grows as it is scrolled.
    browser.evaluate("document.querySelector('#list').scrollTop = 1e6");
    for _ in 0..4 {
        browser.settle();
    }
    let rows = browser.number("document.querySelectorAll('#list tbody tr').length");
    assert!(rows > 120.0, "{rows}");
    browser.assert_quiet();
}

#[test]
fn markup_and_numbers_that_are_none_do_no_harm() {
    let Some(mut browser) = Browser::start() else { return };
    for width in [390, 1440] {
        let _folder = open(&mut browser, sample::hostile_sae_page().to_html(), width);
        assert_eq!(browser.text("document.title"), sample::INJECTION.trim());
        assert_eq!(browser.evaluate("document.querySelectorAll('img').length"), json!(0));
        assert_eq!(browser.evaluate("document.scripts.length"), json!(2));
        let text = browser.text("document.querySelector('.samples .tokens').textContent");
        assert!(text.contains(sample::INJECTION), "{text}");
        let density = "document.querySelector('#list tbody tr').children[2].textContent";
        assert_eq!(browser.text(density), "n/a");
        browser.assert_fits();
        browser.assert_quiet();
    }
}

#[test]
fn a_page_fits_a_phone_and_a_desk() {
    let Some(mut browser) = Browser::start() else { return };
    let bare = SaePage {
        features: vec![SaeFeature::default()],
        sae: SaeSummary { d_sae: 1, ..SaeSummary::default() },
        ..SaePage::default()
    };
    for page in [sample::sae_page(40, 20, 48), small_page(), bare, SaePage::default()] {
        for width in [390, 820, 1440] {
            let _folder = open(&mut browser, page.to_html(), width);
            browser.assert_fits();
            assert_eq!(
                browser.evaluate(crate::browser::TOUCHING),
                json!([]),
                "labels touch at {width}"
            );
            browser.assert_quiet();
        }
    }
    let nothing = "document.querySelector('#nothing').hidden";
    assert_eq!(browser.evaluate(nothing), json!(false));
}
