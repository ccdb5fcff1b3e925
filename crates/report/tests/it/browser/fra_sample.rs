//! The page of feature-resolved attention of one text.

use attention_probes_report::FraSamplePage;
use serde_json::json;

use crate::browser::devtools::{Browser, TOOLTIP};
use crate::browser::{open, open_at};
use crate::sample;

/// Texts of the two tokens that are picked.
const PICKED: &str = "[...document.querySelectorAll('#queries .picked, #keys .picked')]\
    .map((token) => Number(token.dataset.index))";

#[test]
fn the_parts_of_a_score_add_up_to_it() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::fra_sample_page(20, 12);
    let _folder = open(&mut browser, page.to_html(), 1440);
    browser.click("#queries .token[data-index='15']");
    browser.click("#keys .token[data-index='4']");
    assert_eq!(browser.evaluate(PICKED), json!([15, 4]));
    let values = "[...document.querySelectorAll('#score .bar-value')]\
        .map((value) => Number(value.textContent.replace('−', '-')))";
    let shown = browser.evaluate(values);
    let terms = page.heads[0].terms.as_ref().unwrap();
    let at = 15 * 20 + 4;
    let expected =
        [&terms.pairs, &terms.query_features, &terms.key_features, &terms.rest].map(|map| map[at]);
    for (shown, expected) in shown.as_array().unwrap().iter().zip(expected) {
        assert!((shown.as_f64().unwrap() - expected).abs() < 6e-3 * expected.abs());
    }
    let sum: f64 = expected.iter().sum();
    assert!((shown[4].as_f64().unwrap() - sum).abs() < 6e-3 * sum.abs());
    // Each bar begins where the one before ended, and the last, the sum, at 0.
    let is_chained = browser.evaluate(
        "(() => { const bars = [...document.querySelectorAll('#score .sum li')].map((row) => { \
         const fill = row.querySelector('.fill'), { left, right } = fill.getBoundingClientRect(); \
         return fill.dataset.sign === '-' ? [right, left] : [left, right]; }); \
         const zero = document.querySelector('#score .zero').getBoundingClientRect().left; \
         return bars.slice(1, 4).every(([from], i) => Math.abs(from - bars[i][1]) < 1.5) && \
         Math.abs(bars[0][0] - zero) < 1.5 && Math.abs(bars[4][0] - zero) < 1.5 && \
         Math.abs(bars[4][1] - bars[3][1]) < 1.5; })()",
    );
    assert_eq!(is_chained, json!(true));

    // Without the mean of the query's keys, the scores of all its keys add up to 0.
    browser.click("#centred");
    let row: Vec<f64> = (0..=15)
        .map(|key| {
            let at = 15 * 20 + key;
            terms.pairs[at] + terms.query_features[at] + terms.key_features[at] + terms.rest[at]
        })
        .collect();
    let expected = row[4] - row.iter().sum::<f64>() / 16.0;
    let shown = browser.evaluate(values)[4].as_f64().unwrap();
    assert!((shown - expected).abs() < 2e-2, "{shown} {expected}");
    browser.assert_quiet();
}

#[test]
fn keys_are_coloured_by_what_the_query_gives_them() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::fra_sample_page(20, 12);
    let _folder = open(&mut browser, page.to_html(), 1440);
    browser.click("#queries .token[data-index='9']");
    let unseen = "document.querySelectorAll('#keys .token.unseen').length";
    assert_eq!(browser.evaluate(unseen), json!(10));
    let row = &page.heads[0].pattern[9 * 20..][..10];
    let strongest = (0..10).max_by(|a, b| row[*a].total_cmp(&row[*b])).unwrap();
    assert_eq!(browser.evaluate(PICKED), json!([9, strongest]));
    let shade = format!(
        "document.querySelector(\"#keys .token[data-index='{strongest}']\").style\
         .getPropertyValue('--shade')"
    );
    assert_eq!(browser.text(&shade), "100.0%");
    // A key that the query does not see cannot be picked.
    browser.click("#keys .token[data-index='14']");
    assert_eq!(browser.evaluate(PICKED), json!([9, strongest]));
    browser.hover("#keys .token[data-index='14']");
    assert!(browser.text(TOOLTIP).ends_with("seen by the query|no"));
    browser.hover("#keys .token[data-index='2']");
    let shown = browser.text(TOOLTIP);
    assert!(shown.contains("|attention|") && shown.contains("|rest × rest|"), "{shown}");

    // Keys and queries can be picked without a mouse.
    browser.focus("#keys .token[data-index='2']");
    browser.press("ArrowRight");
    browser.type_key(" ");
    assert_eq!(browser.evaluate(PICKED), json!([9, 3]));
    browser.evaluate(
        "{ const colour = document.querySelector('#colour'); colour.value = 'term-0'; \
        colour.dispatchEvent(new Event('change')); }",
    );
    let signs = browser.evaluate(
        "[...new Set([...document.querySelectorAll('#keys .token[data-sign]')].map((t) => t.dataset.sign))].sort()",
    );
    assert_eq!(signs, json!(["+", "-"]));
    browser.assert_quiet();
}

#[test]
fn keys_outside_the_window_are_not_seen() {
    let Some(mut browser) = Browser::start() else { return };
    let mut page = sample::fra_sample_page(20, 12);
    let terms = page.heads[0].terms.clone().unwrap();
    page.heads[0].window = Some(4);
    let _folder = open(&mut browser, page.to_html(), 1440);
    browser.click("#queries .token[data-index='9']");
    browser.click("#keys .token[data-index='6']");
    browser.click("#keys .token[data-index='5']");
    assert_eq!(browser.evaluate(PICKED), json!([9, 6]));
    let unseen = "[...document.querySelectorAll('#keys .token:not(.unseen)')]\
        .map((token) => Number(token.dataset.index))";
    assert_eq!(browser.evaluate(unseen), json!([6, 7, 8, 9]));
    browser.click("#centred");
    let row: Vec<f64> = (6..=9).map(|key| terms.rest[9 * 20 + key]).collect();
    let expected = row[0] - row.iter().sum::<f64>() / 4.0;
    let shown = browser.text("document.querySelectorAll('#score .bar-value')[3].textContent");
    let shown: f64 = shown.replace('−', "-").parse().unwrap();
    assert!((shown - expected).abs() < 5e-3, "{shown} {expected}");
    browser.assert_quiet();
}

#[test]
fn a_pair_has_its_sign_its_places_and_its_texts() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::fra_sample_page(20, 200);
    let _folder = open(&mut browser, page.to_html(), 1440);
    let cards = "document.querySelectorAll('.pair-card').length";
    assert_eq!(browser.evaluate(cards), json!(60));
    browser.click("#more-pairs");
    assert_eq!(browser.evaluate(cards), json!(120));
    let first = browser.text("document.querySelector('.pair-card').textContent");
    assert!(first.starts_with("↑ raises#0"), "{first}");
    let second = browser.text("document.querySelectorAll('.pair-card')[1].textContent");
    assert!(second.starts_with("↓ lowers#7"), "{second}");
    let third = "document.querySelectorAll('.pair-card')[2]";
    assert!(browser.text(&format!("{third}.textContent")).contains("self"));
    assert_eq!(browser.evaluate(&format!("{third}.classList.contains('self')")), json!(true));

    browser.click("#list li:nth-child(2) .pair-card");
    let pair = &page.heads[0].pairs[1];
    assert_eq!(
        browser.number("document.querySelectorAll('.map .entry').length") as usize,
        pair.entries.len()
    );
    let strongest =
        pair.entries.iter().max_by(|a, b| a.value.abs().total_cmp(&b.value.abs())).unwrap();
    assert_eq!(browser.evaluate(PICKED), json!([strongest.query_pos, strongest.key_pos]));
    assert_eq!(browser.text("location.hash"), "#h0-p7-42");
    browser.hover(".map .entry");
    let shown = browser.text(TOOLTIP);
    let entry = pair.entries[0];
    assert!(shown.contains(&format!("query_pos|{}", entry.query_pos)), "{shown}");
    let place = format!("#{}", pair.query_feature);
    let heading = browser.text("document.querySelector('#detail-heading').textContent");
    assert_eq!(heading, format!("Feature {place} at the query, #{} at the key", pair.key_feature));
    let link = browser.text("document.querySelector('#detail-heading a').getAttribute('href')");
    assert_eq!(link, "sae.html#f7");
    assert_eq!(
        browser.evaluate("document.querySelectorAll('.feature-texts .samples li').length"),
        json!(6)
    );
    // A place of the list leads to its query and key.
    browser.click(".places li:last-child button");
    let mut by_size = pair.entries.clone();
    by_size.sort_by(|a, b| b.value.abs().total_cmp(&a.value.abs()));
    let last = by_size[by_size.len().min(8) - 1];
    assert_eq!(browser.evaluate(PICKED), json!([last.query_pos, last.key_pos]));
    let at_place = browser.text("document.querySelector('#place-pairs').textContent");
    assert!(at_place.contains("#7"), "{at_place}");
    browser.assert_quiet();
}

#[test]
fn pairs_are_found_by_feature_sign_and_self() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::fra_sample_page(20, 200);
    let _folder = open_at(&mut browser, page.to_html(), "#h3", 1440);
    let shown = "document.querySelector('#shown').textContent";
    let subtitle = browser.text("document.querySelector('#subtitle').textContent");
    assert!(subtitle.contains("L2H3"), "{subtitle}");
    let choose = |browser: &mut Browser, filter: &str| {
        browser.evaluate(&format!(
            "{{ const filter = document.querySelector('#filter'); filter.value = '{filter}'; \
             filter.dispatchEvent(new Event('change')); }}"
        ));
        browser.text(shown)
    };
    let count = |of: &dyn Fn(f64, bool) -> bool| {
        let pairs = page.heads[1].pairs.iter();
        pairs.filter(|pair| of(pair.sum, pair.query_feature == pair.key_feature)).count()
    };
    assert_eq!(
        choose(&mut browser, "self"),
        format!("{} of 200 pairs", count(&|_, is_self| is_self))
    );
    assert_eq!(
        choose(&mut browser, "lowers"),
        format!("{} of 200 pairs", count(&|sum, _| sum < 0.0))
    );
    assert_eq!(choose(&mut browser, "all"), "200 pairs");
    let pair = &page.heads[1].pairs[5];
    browser.focus("#search");
    browser.type_text(&format!("#{} → {}", pair.query_feature, pair.key_feature));
    assert_eq!(browser.text(shown), "1 of 200 pairs");
    browser.type_text("9");
    assert_eq!(browser.text(shown), "0 of 200 pairs");
    assert!(
        browser.text("document.querySelector('#list').textContent").contains("No pair matches.")
    );
    browser.assert_quiet();
}

#[test]
fn an_address_leads_to_a_pair_of_a_head() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::fra_sample_page(20, 30);
    let pair = &page.heads[1].pairs[20];
    let address = format!("#h3-p{}-{}", pair.query_feature, pair.key_feature);
    let _folder = open_at(&mut browser, page.to_html(), &address, 1440);
    let heading = browser.text("document.querySelector('#detail-heading').textContent");
    assert_eq!(
        heading,
        format!("Feature #{} at the query, #{} at the key", pair.query_feature, pair.key_feature)
    );
    browser.evaluate("location.hash = '#h0'");
    browser.settle();
    let subtitle = browser.text("document.querySelector('#subtitle').textContent");
    assert!(subtitle.contains("L2H0"), "{subtitle}");
    assert_eq!(browser.evaluate("document.querySelector('#head input:checked').value"), json!("0"));
    browser.assert_quiet();
}

#[test]
fn what_was_published_has_a_warning_and_no_parts() {
    let Some(mut browser) = Browser::start() else { return };
    let is_hidden =
        "['published', 'score', 'explained'].map((id) => document.getElementById(id).hidden)";
    let _folder = open(&mut browser, sample::hostile_fra_sample_page().to_html(), 1440);
    assert_eq!(browser.evaluate(is_hidden), json!([false, true, true]));
    let colours =
        browser.evaluate("[...document.querySelector('#colour').options].map((o) => o.value)");
    assert_eq!(colours, json!(["attention", "pair"]));
    let _folder = open(&mut browser, sample::fra_sample_page(20, 3).to_html(), 1440);
    assert_eq!(browser.evaluate(is_hidden), json!([true, false, false]));
    browser.assert_quiet();
}

#[test]
fn a_page_fits_a_phone_and_a_desk() {
    let Some(mut browser) = Browser::start() else { return };
    let pages = [
        sample::fra_sample_page(120, 200),
        sample::fra_sample_page(1, 1),
        sample::hostile_fra_sample_page(),
        FraSamplePage::default(),
    ];
    for page in pages {
        for width in [390, 1440] {
            let _folder = open(&mut browser, page.to_html(), width);
            browser.assert_fits();
            assert_eq!(
                browser.evaluate(crate::browser::ENDS_WITH_ITS_CARDS),
                json!(true),
                "{width}"
            );
            assert_ne!(browser.text("document.title"), "injected");
            assert_eq!(browser.evaluate("document.querySelectorAll('img').length"), json!(0));
            browser.assert_quiet();
        }
    }
    assert_eq!(browser.evaluate("document.querySelector('#nothing').hidden"), json!(false));
}
