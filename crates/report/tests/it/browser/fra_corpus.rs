//! The page of feature-resolved attention over many texts.

use attention_probes_metrics::Interval;
use attention_probes_report::{FraCorpusPage, FraCorpusPair};
use serde_json::json;

use crate::browser::devtools::{Browser, TOOLTIP};
use crate::browser::{open, open_at};
use crate::sample;

const SHOWN: &str = "document.querySelector('#shown').textContent";

/// Features of the rows, query and key.
const ROWS: &str = "[...document.querySelectorAll('#table tbody .open')].map((open) => \
    [...open.textContent.matchAll(/#(\\d+)/g)].map((found) => Number(found[1])))";

fn pairs_of(page: &FraCorpusPage, head: usize) -> Vec<&FraCorpusPair> {
    page.heads[head].pairs.iter().collect()
}

fn features(pairs: &[&FraCorpusPair]) -> serde_json::Value {
    json!(pairs.iter().map(|pair| [pair.query_feature, pair.key_feature]).collect::<Vec<_>>())
}

#[test]
fn pairs_are_sorted_and_filtered() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::fra_corpus_page(40, 3);
    let _folder = open(&mut browser, page.to_html(), 1440);
    let mut pairs = pairs_of(&page, 0);
    assert_eq!(browser.evaluate(ROWS), features(&pairs));
    let n_self = pairs.iter().filter(|pair| pair.query_feature == pair.key_feature).count();
    assert_eq!(browser.text(SHOWN), format!("40 pairs, {n_self} of them a feature with itself"));
    let marked = "document.querySelectorAll('#table tr.self .badge').length";
    assert_eq!(browser.number(marked) as usize, n_self);

    browser.click("[data-sort=sum]");
    pairs.sort_by(|a, b| b.sum.total_cmp(&a.sum));
    assert_eq!(browser.evaluate(ROWS), features(&pairs));
    browser.click("[data-sort=sum]");
    pairs.reverse();
    assert_eq!(browser.evaluate(ROWS), features(&pairs));
    let order = "document.querySelector('[aria-sort]').getAttribute('aria-sort')";
    assert_eq!(browser.text(order), "ascending");
    browser.click("[data-sort=distance]");
    pairs.sort_by(|a, b| a.mean_distance.total_cmp(&b.mean_distance));
    assert_eq!(browser.evaluate(ROWS), features(&pairs));

    let choose = |browser: &mut Browser, id: &str, value: &str| {
        browser.evaluate(&format!(
            "{{ const select = document.querySelector('#{id}'); select.value = '{value}'; \
             select.dispatchEvent(new Event('change')); }}"
        ));
    };
    choose(&mut browser, "least", "100");
    pairs.retain(|pair| pair.count >= 100);
    assert_eq!(browser.evaluate(ROWS), features(&pairs));
    choose(&mut browser, "filter", "lowers");
    pairs.retain(|pair| pair.sum < 0.0);
    assert_eq!(browser.evaluate(ROWS), features(&pairs));
    choose(&mut browser, "filter", "all");
    choose(&mut browser, "least", "0");
    let first = &page.heads[0].pairs[3];
    browser.focus("#search");
    browser.type_text(&format!("{} -> {}", first.query_feature, first.key_feature));
    assert_eq!(browser.evaluate(ROWS), features(&[first]));
    browser.assert_quiet();
}

#[test]
fn a_row_unfolds_and_leads_to_its_texts() {
    let Some(mut browser) = Browser::start() else { return };
    let mut page = sample::fra_corpus_page(40, 20);
    page.heads[0].pairs[0].samples = vec![2, 5, 7];
    let _folder = open(&mut browser, page.to_html(), 1440);
    let pair = &page.heads[0].pairs[0];
    let at = format!("#h0-p{}-{}", pair.query_feature, pair.key_feature);
    let links = "[...document.querySelectorAll('#table tbody tr:first-child td a')].map((a) => a.getAttribute('href'))";
    assert_eq!(browser.evaluate(links), json!([format!("samples/row_2.html{at}")]));
    browser.click("#table tbody tr:first-child .open");
    let links = "[...document.querySelectorAll('#table .details .links a')].map((a) => a.getAttribute('href'))";
    let expected: Vec<String> =
        [2, 5, 7].iter().map(|row| format!("samples/row_{row}.html{at}")).collect();
    assert_eq!(browser.evaluate(links), json!(expected));
    assert_eq!(
        browser.evaluate("document.querySelectorAll('#table .details .samples li').length"),
        json!(6)
    );
    browser.hover("#table .details .token[data-sign]");
    assert!(browser.text(TOOLTIP).contains("|activation|"));
    browser.click("#table tbody tr:first-child .open");
    assert_eq!(browser.evaluate("document.querySelectorAll('#table .details').length"), json!(0));
    browser.assert_quiet();
}

#[test]
fn what_was_dropped_is_said() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::fra_corpus_page(12, 1);
    assert!(page.heads[0].n_dropped == 0 && page.heads[1].n_dropped > 0);
    let _folder = open(&mut browser, page.to_html(), 1440);
    let summary = "document.querySelector('#summary').textContent";
    let whole = browser.text(summary);
    assert!(whole.contains("Pairs that occur") && !whole.contains("missing"), "{whole}");
    browser.click("#heads-table [data-head='1']");
    let part = browser.text(summary);
    assert!(part.contains("Pairs kept") && part.contains("none above 0.037 missing"), "{part}");
    browser.assert_quiet();
}

#[test]
fn self_interactions_stand_beside_their_nulls() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::fra_corpus_page(48, 3);
    let _folder = open(&mut browser, page.to_html(), 1440);
    let names =
        "[...document.querySelectorAll('#self-chart .dot-name')].map((name) => name.textContent)";
    assert_eq!(
        browser.evaluate(names),
        json!(["L2H0", "other heads", "permuted features", "count-matched pairs"])
    );
    let words = "document.querySelector('#self-words').textContent";
    assert_eq!(
        browser.text(words),
        "8 of the 48 strongest pairs of L2H0 are a feature with itself, 17 %. That is more than the \
         mean of every null, but not clear of all of them."
    );
    assert_eq!(browser.evaluate("document.querySelectorAll('#self-chart .seed').length"), json!(3));
    browser.hover("#self-chart .dot-row[aria-label='permuted features']");
    assert!(browser.text(TOOLTIP).starts_with("permuted features|share|0.012|interval|"));

    let mut clear = sample::fra_corpus_page(48, 3);
    let found = clear.heads[0].self_interactions.as_mut().unwrap();
    found.other_heads = vec![0.05, 0.1];
    let _folder = open(&mut browser, clear.to_html(), 1440);
    assert!(browser.text(words).ends_with("That is more than every null."));
    let found = clear.heads[0].self_interactions.as_mut().unwrap();
    found.other_heads = vec![0.3];
    (found.permuted, found.permuted_interval) = (None, None);
    found.count_matched = 0.3;
    found.count_matched_interval = Interval { lower: 0.2, upper: 0.4, level: 0.95 };
    let _folder = open(&mut browser, clear.to_html(), 1440);
    assert!(browser.text(words).contains("That is beyond no null"));
    // Within what chance gives to pairs that occur as often, a larger share is no more than that.
    let found = clear.heads[0].self_interactions.as_mut().unwrap();
    found.count_matched = 0.01;
    found.count_matched_interval = Interval { lower: 0.0, upper: 0.5, level: 0.95 };
    let _folder = open(&mut browser, clear.to_html(), 1440);
    assert!(browser.text(words).contains("That is beyond no null"));
    assert_eq!(browser.evaluate(crate::browser::TOUCHING), json!([]));
    browser.assert_quiet();
}

#[test]
fn heads_are_switched_by_button_table_and_address() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::fra_corpus_page(12, 3);
    let _folder = open_at(&mut browser, page.to_html(), "#h2", 1440);
    assert_eq!(browser.evaluate(ROWS), features(&pairs_of(&page, 2)));
    browser.click("#heads-table [data-head='1']");
    assert_eq!(browser.evaluate(ROWS), features(&pairs_of(&page, 1)));
    assert_eq!(browser.text("location.hash"), "#h1");
    assert_eq!(browser.evaluate("document.querySelector('#head input:checked').value"), json!("1"));
    assert_eq!(browser.evaluate("document.activeElement.dataset.head"), json!("1"));
    let induction = "[...document.querySelectorAll('#heads-table tbody tr')].map((row) => row.children[1].firstChild.firstChild.textContent)";
    assert_eq!(browser.evaluate(induction), json!(["0.040", "0.150", "0.260", "0.370"]));
    browser.focus("#head input:checked");
    browser.press("ArrowRight");
    browser.press("ArrowRight");
    assert_eq!(browser.evaluate(ROWS), features(&pairs_of(&page, 3)));
    browser.assert_quiet();
}

#[test]
fn heads_of_other_pages_stand_beside_this_one_and_lead_there() {
    let Some(mut browser) = Browser::start() else { return };
    let mut page = sample::fra_corpus_page(12, 3);
    for head in [0, 1, 3] {
        page.heads[head].page = format!("head_{head}.html");
        page.heads[head].pairs.clear();
    }
    let _folder = open_at(&mut browser, page.to_html(), "#h0", 1440);
    assert_eq!(browser.evaluate(ROWS), features(&pairs_of(&page, 2)));
    let links =
        "[...document.querySelectorAll('#heads-table a')].map((a) => a.getAttribute('href'))";
    assert_eq!(browser.evaluate(links), json!(["head_0.html", "head_1.html", "head_3.html"]));
    assert_eq!(browser.evaluate("document.querySelector('#head-field').hidden"), json!(true));
    assert!(browser.text("document.querySelector('#subtitle').textContent").contains("L2H2"));
    assert_eq!(browser.evaluate(crate::browser::TOUCHING), json!([]));
    browser.assert_quiet();
}

#[test]
fn two_hundred_pairs_of_twenty_texts_are_quick() {
    let Some(mut browser) = Browser::start() else { return };
    let html = sample::fra_corpus_page(200, 20).to_html();
    let _folder = open(&mut browser, html, 1440);
    assert_eq!(browser.evaluate("document.querySelectorAll('#table tbody tr').length"), json!(200));
    let spent = browser.number(
        "(() => { const start = performance.now(); \
         document.querySelector('[data-sort=max]').click(); \
         document.body.offsetHeight; return performance.now() - start; })()",
    );
    // It takes some 30 ms; a table that grows with the square of its rows would take minutes.
    assert!(spent < 5000.0, "{spent} ms");
    browser.assert_quiet();
}

#[test]
fn a_page_fits_a_phone_and_a_desk() {
    let Some(mut browser) = Browser::start() else { return };
    let pages = [
        sample::fra_corpus_page(200, 20),
        sample::hostile_fra_corpus_page(),
        FraCorpusPage::default(),
    ];
    for page in pages {
        for width in [390, 1440] {
            let _folder = open(&mut browser, page.to_html(), width);
            if !page.heads.is_empty() {
                browser.evaluate("document.querySelector('#table .open').click()");
            }
            browser.assert_fits();
            assert_eq!(
                browser.evaluate(crate::browser::ENDS_WITH_ITS_CARDS),
                json!(true),
                "{width}"
            );
            assert_eq!(
                browser.evaluate(crate::browser::TOUCHING),
                json!([]),
                "labels touch at {width}"
            );
            assert_eq!(
                browser.evaluate("document.querySelector('#published').hidden"),
                json!(!page.published)
            );
            assert_ne!(browser.text("document.title"), "injected");
            assert_eq!(browser.evaluate("document.querySelectorAll('img').length"), json!(0));
            browser.assert_quiet();
        }
    }
    assert_eq!(browser.evaluate("document.querySelector('#nothing').hidden"), json!(false));
}
