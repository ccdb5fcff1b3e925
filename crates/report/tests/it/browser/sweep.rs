//! The page of a sweep.

use attention_probes_metrics::{ClassificationReport, ControlReport};
use attention_probes_report::{SweepArchitecture, SweepPage};
use serde_json::json;

use crate::browser::devtools::{Browser, TOOLTIP};
use crate::browser::open;
use crate::sample;

#[test]
fn the_best_of_validation_is_shown_first() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::sweep_page(4);
    let best = page.experiments[..4]
        .iter()
        .flat_map(|experiment| experiment.architectures.iter().map(|a| (experiment.layer, a)))
        .max_by(|(_, a), (_, b)| {
            a.validation.balanced_accuracy.total_cmp(&b.validation.balanced_accuracy)
        })
        .unwrap();
    let _folder = open(&mut browser, page.to_html(), 1440);
    let heading = browser.text("document.querySelector('#detail-heading').textContent");
    assert_eq!(heading, format!("{}, layer {}", best.1.config_name, best.0.unwrap()));
    let bold = browser.text("document.querySelector('#summary .best').textContent");
    assert_eq!(bold, format!("{:.3}", best.1.test.balanced_accuracy));
    let rust = browser.text("document.querySelector('#load-rust').textContent");
    assert!(rust.contains(&best.1.file) && rust.lines().count() == 3, "{rust}");
    let python = browser.text("document.querySelector('#load-python').textContent");
    assert!(python.contains(&best.1.file) && python.lines().count() == 3, "{python}");
    browser.assert_quiet();
}

#[test]
fn the_chosen_layer_is_compared_with_others() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::sweep_page(3).to_html(), 1440);
    let list = |browser: &mut Browser| {
        browser.text(
            "[...document.querySelectorAll('#layer-tests li')].map((li) => li.innerHTML).join('|')",
        )
    };
    assert_eq!(
        list(&mut browser),
        "<strong>attention: layer 2 over layer 0, +0.080 [+0.060, +0.100]</strong>|\
         attention: layer 2 over layer 1, +0.010 [\u{2212}0.010, +0.030], no clear difference"
    );
    browser.evaluate(
        "(() => { const select = document.querySelector('#data-set'); \
         select.selectedIndex = 1; select.dispatchEvent(new Event('change')); })()",
    );
    assert_eq!(list(&mut browser), "", "they are of the other data set");
    browser.assert_quiet();
}

#[test]
fn a_cell_of_the_grid_shows_its_trial() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::sweep_page(3);
    let _folder = open(&mut browser, page.to_html(), 1440);
    let chosen = "document.querySelector('table.heat .chosen')";
    assert_eq!(
        browser.evaluate("document.querySelectorAll('table.heat .chosen').length"),
        json!(1)
    );
    browser.hover("table.heat .chosen");
    let shown = browser.text(TOOLTIP);
    let expected = browser.text(
        "(() => { const a = architecture(experiments()[shown.position], shown.kind); \
         const t = a.trials.find((t) => t.learning_rate === a.learning_rate && \
         t.weight_decay === a.weight_decay); \
         return `|balanced accuracy|${t.balanced_accuracy}|loss|${t.loss}`; })()",
    );
    assert!(shown.starts_with("Trial on validation|learning rate|"), "{shown}");
    assert!(shown.ends_with(&expected), "{shown} {expected}");

    // The arrow keys walk through the grid; the last trial of the sample diverged.
    browser.focus("table.heat .chosen");
    browser.press_until("ArrowDown", "document.activeElement.dataset.row === '8'");
    browser.press_until("ArrowRight", "document.activeElement.dataset.column === '8'");
    assert!(browser.text(TOOLTIP).ends_with("|balanced accuracy|diverged|loss|diverged"));
    assert_eq!(browser.text("document.activeElement.textContent"), "×");
    browser.click("#grid-metric label:nth-child(2)");
    assert!(browser.text("document.querySelector('#panels h3').textContent").contains("loss"));
    assert_eq!(browser.evaluate(&format!("{chosen} !== null")), json!(true));
    browser.assert_quiet();
}

#[test]
fn the_slider_and_the_small_grids_move_through_the_layers() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::sweep_page(6).to_html(), 1440);
    let name = "document.querySelector('#layer-name').textContent";
    browser.focus("#layer");
    browser.press("Home");
    assert_eq!(browser.text(name), "Layer 0");
    browser.press("ArrowRight");
    assert_eq!(browser.text(name), "Layer 1");
    browser.click(".grids button:nth-child(5)");
    assert_eq!(browser.text(name), "Layer 4");
    let pressed = "[...document.querySelectorAll('.grids button')].map((b) => b.ariaPressed)";
    assert_eq!(browser.evaluate(pressed)[4], "true");
    browser.assert_quiet();
}

#[test]
fn a_chart_shows_the_numbers_of_a_layer() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::sweep_page(5);
    let _folder = open(&mut browser, page.to_html(), 1440);
    browser.hover("#layer-chart svg[role=img]");
    let shown = browser.text(TOOLTIP);
    assert!(shown.starts_with("layer 2|"), "{shown}");
    let expected = browser.text(
        "(() => { const { value, interval } = balanced(architecture(experiments()[2], 'attention'), 'test'); \
         return `|attention|${value} [${interval.lower}, ${interval.upper}]`; })()",
    );
    assert!(shown.contains(&expected), "{shown} {expected}");

    browser.hover("h1");
    assert_eq!(browser.text(TOOLTIP), "");
    browser.focus("#layer-chart svg[role=img]");
    browser.press("ArrowRight");
    assert!(browser.text(TOOLTIP).starts_with("layer 0|"));
    browser.press("ArrowRight");
    assert!(browser.text(TOOLTIP).starts_with("layer 1|"));
    browser.press("ArrowLeft");
    browser.press("ArrowLeft");
    assert!(browser.text(TOOLTIP).starts_with("layer 0|"));
    browser.press("Escape");
    assert_eq!(browser.text(TOOLTIP), "");
    let description = browser.text(
        "document.getElementById(document.activeElement.getAttribute('aria-describedby'))\
         .textContent",
    );
    assert!(description.starts_with("Test balanced accuracy of"), "{description}");
    browser.assert_quiet();
}

#[test]
fn warnings_stand_on_top_by_data_set() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::sweep_page(3).to_html(), 1440);
    let first = "document.querySelector('main section:not([hidden])').id";
    assert_eq!(browser.text(first), "warnings");
    let heading = "document.querySelector('#warnings-heading').textContent";
    assert_eq!(browser.text(heading), "2 warnings");
    let lists = "[...document.querySelectorAll('#warning-list h3, #warning-list li')]\
                 .map((e) => e.textContent)";
    let expected: Vec<String> = sample::sweep_page(3)
        .warnings
        .into_iter()
        .flat_map(|warning| [warning.data, warning.message.replace('`', "")])
        .collect();
    assert_eq!(browser.evaluate(lists), json!(expected));
    let code = "document.querySelector('#warning-list code').textContent";
    assert_eq!(browser.text(code), "attention");
    browser.assert_quiet();

    let _folder = open(&mut browser, SweepPage::default().to_html(), 1440);
    assert_eq!(browser.evaluate("document.querySelector('#warnings').hidden"), json!(true));
}

#[test]
fn another_data_set_can_be_chosen() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::sweep_page(3).to_html(), 1440);
    browser.focus("#data-set");
    browser.type_key("n");
    assert_eq!(browser.text("document.querySelector('#data-set').value"), "next-the");
    let diverged = browser.text("document.querySelector('#diverged').textContent");
    assert_eq!(diverged, "Every trial diverged: mlp-mean at layer 1.");
    browser.focus("#kind input[value='mlp-mean']");
    browser.click("#kind label:nth-child(3)");
    browser.focus("#layer");
    browser.press("Home");
    browser.press("ArrowRight");
    assert_eq!(
        browser.text("document.querySelector('#panels').textContent"),
        "Every trial diverged here."
    );
    browser.assert_quiet();
}

#[test]
fn a_page_fits_a_phone_and_a_desk() {
    let Some(mut browser) = Browser::start() else { return };
    for page in [
        sample::sweep_page(12),
        sample::sweep_page(1),
        without_layers(),
        bare(),
        SweepPage::default(),
    ] {
        for width in [390, 1440] {
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
}

/// Data sets that were activations, with names that no column is made for.
fn without_layers() -> SweepPage {
    let mut page = sample::sweep_page(1);
    for experiment in &mut page.experiments {
        experiment.layer = None;
        experiment.component = String::new();
        experiment.data = "a-name-that-is-much-longer-than-anybody-would-think-of ".repeat(3);
        "</td><script>document.title='injected'</script>".clone_into(&mut experiment.classes[1]);
    }
    page
}

/// An experiment of which hardly anything is known.
fn bare() -> SweepPage {
    let mut page = sample::sweep_page(2);
    for architecture in page.experiments.iter_mut().flat_map(|e| &mut e.architectures) {
        *architecture = SweepArchitecture {
            trials: Vec::new(),
            axes: Vec::new(),
            roc: Vec::new(),
            precision_recall: Vec::new(),
            reliability: Vec::new(),
            thresholds: Vec::new(),
            unfitted_thresholds: Vec::new(),
            calibrations: Vec::new(),
            thresholds_note: String::new(),
            lengths: Vec::new(),
            comparisons: Vec::new(),
            seeds: None,
            test: unknown(&architecture.test),
            validation: unknown(&architecture.validation),
            ..architecture.clone()
        };
    }
    page
}

/// A report whose numbers are undefined wherever they can be.
fn unknown(report: &ClassificationReport) -> ClassificationReport {
    ClassificationReport {
        accuracy: f64::NAN,
        balanced_accuracy: f64::NAN,
        precision: None,
        recall: None,
        auroc: None,
        average_precision: None,
        tpr_at_1_percent_fpr: None,
        tpr_at_5_percent_fpr: None,
        ..report.clone()
    }
}

#[test]
fn labels_that_are_no_classes_have_a_table_and_a_curve() {
    let Some(mut browser) = Browser::start() else { return };
    for width in [390, 1440] {
        let _folder = open(&mut browser, sample::target_page().to_html(), width);
        let count = |browser: &mut Browser, what: &str| {
            browser.evaluate(&format!("document.querySelectorAll('{what}').length"))
        };
        assert_eq!(count(&mut browser, "#target-cards .targets table"), json!(2));
        assert_eq!(count(&mut browser, "#target-cards .targets .plot svg"), json!(1));
        assert_eq!(count(&mut browser, "#target-cards .targets tbody tr"), json!(10));
        let row = browser.text(
            "[...document.querySelector('#target-cards tbody tr').children]\
             .map((cell) => cell.textContent).join('|')",
        );
        assert_eq!(row, "0|mean|0.200[0.150, 0.250]|0.200|0.200|1.23e5|n/a|penalty 1e2");
        assert_eq!(
            browser.text("document.querySelector('#nothing').hidden ? 'hidden' : ''"),
            "hidden"
        );
        browser.assert_fits();
        browser.assert_quiet();
    }
}

#[test]
fn what_a_probe_is_worth_beyond_its_metrics_is_shown() {
    let Some(mut browser) = Browser::start() else { return };
    let page = sample::sweep_page(2);
    let _folder = open(&mut browser, page.to_html(), 1440);
    let panel = |title: &str| {
        format!(
            "[...[...document.querySelectorAll('#panels h3')].find((h) => h.textContent === '{title}')\
             .parentNode.querySelectorAll('tbody tr')].map((r) => [...r.children].map((c) => c.textContent).join('|')).join('\\n')"
        )
    };
    let lengths = browser.text(&panel("By length of text"));
    assert!(lengths.starts_with("1 to 12|150|") && lengths.ends_with("|n/a"), "{lengths}");
    let others = browser.text(&panel("Against others on test"));
    assert!(others.starts_with("bag of words|+0.040[+0.010, +0.070]|< 0.001\n"), "{others}");
    assert!(others.contains("\nattention|−0.012[−0.037, +0.013]|0.310\n"), "{others}");
    assert!(others.ends_with("\nequal predictions|0.940\nFleiss' kappa|0.880"), "{others}");
    let transfer = browser.text("document.querySelector('#transfer-table tbody').textContent");
    assert!(transfer.starts_with("reviews0attention0.580[0.540, 0.620]"), "{transfer}");
    browser.focus("#data-set");
    browser.type_key("n");
    assert_eq!(browser.evaluate("document.querySelector('#transfer').hidden"), json!(true));
    browser.assert_quiet();
}

#[test]
fn an_empty_run_says_so() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, SweepPage::default().to_html(), 1440);
    assert_eq!(browser.evaluate("document.querySelector('#nothing').hidden"), json!(false));
    browser.assert_quiet();

    let mut page = sample::sweep_page(1);
    for experiment in &mut page.experiments {
        experiment.architectures.clear();
    }
    let _folder = open(&mut browser, page.to_html(), 1440);
    browser.assert_quiet();
}

#[test]
fn labels_shuffled_several_times_have_a_mean_and_a_range() {
    let Some(mut browser) = Browser::start() else { return };
    let mut page = sample::sweep_page(2);
    for architecture in page.experiments.iter_mut().flat_map(|found| &mut found.architectures) {
        architecture.shuffled_labels = Some(ControlReport {
            n_shuffles: 4,
            balanced_accuracy: Some(0.5),
            interval: None,
            range: Some((0.41, 0.59)),
        });
    }
    let _folder = open(&mut browser, page.to_html(), 1440);
    let panels = browser.text("document.querySelector('#panels').textContent");
    for shown in ["labels shuffled, mean of 4", "lowest of themn/a0.410", "highest of themn/a0.590"]
    {
        assert!(panels.contains(shown), "{shown} is missing in: {panels}");
    }
}
