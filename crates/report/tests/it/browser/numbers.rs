//! What a page shows of a number is what a terminal shows.

use attention_probes_report::{
    SweepPage, TargetRow, TargetTable, fixed, measured, scientific, signed,
};
use serde_json::{Value, json};

use crate::browser::devtools::Browser;
use crate::browser::open;

#[test]
fn numbers_are_rounded_once_and_as_on_a_terminal() {
    let Some(mut browser) = Browser::start() else { return };
    let text = include_str!("../../golden/numbers.json");
    let cases: Vec<Value> = serde_json::from_str(text).expect("a list of cases");
    let mut raws: Vec<f64> = cases.iter().map(|case| case["raw"].as_f64().unwrap()).collect();
    // Numbers near what is half way, and of every size.
    raws.extend(
        (0..400).map(|i| (f64::from(i) + 0.5) / 1000.0 * (1.0 + 1e-15 * f64::from(i % 3 - 1))),
    );
    raws.extend((0..200).map(|i| 1.37_f64.powi(i - 100)));
    let row = TargetRow { details: raws.clone(), ..TargetRow::default() };
    let details = vec![String::new(); raws.len()];
    let table = TargetTable { details, rows: vec![row], ..TargetTable::default() };
    let page = SweepPage { targets: vec![table], ..SweepPage::default() };
    let _folder = open(&mut browser, page.to_html(), 1440);
    let shown = browser.evaluate(
        "DATA.targets[0].rows[0].details.map((x) => \
         [fixed(x), measured(x), scientific(x), signed(x).replace('\\u2212', '-')])",
    );
    let shown = shown.as_array().expect("a list");
    assert_eq!(shown.len(), raws.len());
    for (raw, shown) in raws.iter().zip(shown) {
        let expected = [fixed(*raw, 3), measured(*raw), scientific(*raw), signed(*raw)];
        assert_eq!(shown, &json!(expected), "{raw}");
    }
    for (case, shown) in cases.iter().zip(shown) {
        let expected = ["fixed", "measured", "scientific", "signed"].map(|name| &case[name]);
        assert_eq!(shown, &json!(expected), "{case}");
    }
    browser.assert_quiet();
}
