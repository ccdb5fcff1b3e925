//! The page of an ablation.

use attention_probes_report::SaeAblationPage;
use serde_json::json;

use crate::browser::devtools::{Browser, TOOLTIP};
use crate::browser::open;
use crate::sample;

#[test]
fn a_dot_has_the_numbers_of_its_arm() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::sae_ablation_page();
    let _folder = open(&mut browser, page.to_html(), 1440);
    assert_eq!(browser.text("document.querySelector('#verdict').textContent"), page.verdict);
    let names = browser
        .evaluate("[...document.querySelectorAll('.dot-name')].map((name) => name.textContent)");
    let expected: Vec<&str> = page.arms.iter().map(|arm| arm.name.as_str()).collect();
    assert_eq!(names, json!(expected));

    browser.hover(".dot-row[aria-label='L, L+1']");
    let shown = browser.text(TOOLTIP);
    let expected = browser.text(
        "(() => { const arm = DATA.arms[6], { value, interval } = arm.values[0]; \
         const over = value - DATA.arms[0].values[0].value; \
         return `L, L+1|SCR|${exact(value)}|95 % interval|[${exact(interval.lower)}, ${exact(interval.upper)}]|\
         over plain TopK|${over < 0 ? '−' : '+'}${Math.abs(over).toFixed(3)}|` + \
         DATA.metrics[0].by_arm[6].map((v, i) => `seed ${DATA.seeds[i]}|${exact(v)}`).join('|'); })()",
    );
    assert_eq!(shown, expected);

    // The whisker ends where the interval does: half of it is on either side of the dot.
    let is_centred = browser.evaluate(
        "[...document.querySelectorAll('.dot-row')].every((row) => { \
         const [whisker, dot] = ['.line', '.marker'].map((of) => row.querySelector(of).getBBox()); \
         return Math.abs(whisker.x + whisker.width / 2 - dot.x - dot.width / 2) < 1; })",
    );
    assert_eq!(is_centred, json!(true));
    // The line of the baseline goes through its dot.
    let is_on_line = browser.evaluate(
        "(() => { const dot = document.querySelector('.dot-row .marker').getBBox(), \
         line = document.querySelector('#chart .diagonal').getBBox(); \
         return Math.abs(dot.x + dot.width / 2 - line.x) < 1; })()",
    );
    assert_eq!(is_on_line, json!(true));
    browser.assert_quiet();
}

#[test]
fn another_metric_can_be_chosen() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::sae_ablation_page().to_html(), 1440);
    let title = "document.querySelector('#chart figcaption').textContent";
    assert_eq!(browser.text(title), "SCR (95 %)");
    browser.focus("#metric input");
    browser.press("ArrowRight");
    browser.press("ArrowRight");
    browser.press("ArrowRight");
    assert_eq!(browser.text(title), "FVU (95 %)");
    let note = browser.text("document.querySelector('#metric-note').textContent");
    assert_eq!(
        note,
        "Share of the variance that is not explained. Less is better. \
         The dashed line is plain TopK. Faint dots are single seeds."
    );
    browser.focus(".dot-row");
    browser.press("ArrowDown");
    assert!(browser.text(TOOLTIP).starts_with("L-1|FVU|"));
    browser.press("ArrowUp");
    browser.press("ArrowUp");
    let shown = browser.text(TOOLTIP);
    assert!(shown.starts_with("plain TopK|FVU|") && !shown.contains("over"), "{shown}");
    browser.press("Escape");
    assert_eq!(browser.text(TOOLTIP), "");
    browser.assert_quiet();
}

#[test]
fn the_table_marks_the_best_of_each_metric() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::sae_ablation_page();
    let _folder = open(&mut browser, page.to_html(), 1440);
    let best = |metric: usize, is_higher: bool| {
        let sign: f64 = if is_higher { 1.0 } else { -1.0 };
        let key = |arm: usize| sign * page.arms[arm].values[metric].value;
        (0..page.arms.len()).max_by(|a, b| key(*a).total_cmp(&key(*b))).unwrap()
    };
    let bold = browser.evaluate(
        "[...document.querySelectorAll('#table .best')].map((cell) => { \
         const row = cell.closest('tr'); return [row.firstChild.textContent, \
         [...row.children].indexOf(cell.closest('td')) - 1]; })\
         .sort((a, b) => a[1] - b[1])",
    );
    let directions = [true, true, true, false, false];
    let expected: Vec<_> = directions
        .into_iter()
        .enumerate()
        .map(|(metric, is_higher)| json!([page.arms[best(metric, is_higher)].name, metric]))
        .collect();
    assert_eq!(bold, json!(expected), "L0 has no best");
    let groups = browser.evaluate(
        "[...document.querySelectorAll('#table .group')].map((group) => group.textContent)",
    );
    assert_eq!(groups, json!(["Baseline", "Guided by attention", "Control"]));
    let columns = browser.evaluate(
        "[...document.querySelectorAll('#table thead th')].map((c) => c.textContent).slice(3)",
    );
    assert_eq!(columns, json!(["sparse probing ↑", "FVU ↓", "dead features ↓", "L0"]));
    browser.assert_quiet();
}

#[test]
fn a_layer_has_one_colour_in_every_arm() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::sae_ablation_page().to_html(), 1440);
    let colours = browser.evaluate(
        "[...new Set([...document.querySelectorAll('#weight-charts .legend li')].map((li) => \
         `${li.textContent} ${li.querySelector('svg').style.color}`))].sort()",
    );
    let expected = json!(["L var(--series-1)", "L+1 var(--series-2)", "L-1 var(--series-0)"]);
    assert_eq!(colours, expected);
    let titles = browser.evaluate(
        "[...document.querySelectorAll('#weight-charts figcaption')].map((c) => c.textContent)",
    );
    assert_eq!(
        titles,
        json!(["L-1, L", "L-1, L+1", "L, L+1", "L-1, L, L+1", "shuffled across texts"])
    );
    browser.focus("#weight-charts svg[role=img]");
    browser.press("ArrowRight");
    let expected = browser.text(
        "(() => { const [a, b] = DATA.arms[4].layer_weights.weights[0]; \
         return `step 0|L-1|${exact(a)}|L|${exact(b)}`; })()",
    );
    assert_eq!(browser.text(TOOLTIP), expected);
    browser.assert_quiet();
}

#[test]
fn a_page_fits_a_phone_and_a_desk() {
    let Some(mut browser) = Browser::start() else { return };
    let mut hostile = sample::sae_ablation_page();
    hostile.verdict = sample::INJECTION.repeat(3);
    hostile.metrics[0].label = sample::INJECTION.to_owned();
    for metric in &mut hostile.metrics {
        metric.by_arm.clear();
    }
    for arm in &mut hostile.arms {
        arm.name = sample::INJECTION.to_owned();
        arm.values[0] = f64::NAN.into();
        arm.values[1].value = f64::INFINITY;
    }
    for page in [sample::sae_ablation_page(), hostile, SaeAblationPage::default()] {
        for width in [390, 1440] {
            let _folder = open(&mut browser, page.to_html(), width);
            browser.assert_fits();
            assert_eq!(
                browser.evaluate(crate::browser::TOUCHING),
                json!([]),
                "labels touch at {width}"
            );
            assert_ne!(browser.text("document.title"), "injected");
            assert_eq!(browser.evaluate("document.querySelectorAll('img').length"), json!(0));
            browser.assert_quiet();
        }
    }
    assert_eq!(browser.evaluate("document.querySelector('#nothing').hidden"), json!(false));
}
