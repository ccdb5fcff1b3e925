//! The page of tokens.

use attention_probes_report::{
    PageOutputs, PageProbe, PageToken, TokenPage, TokenReading, TokenText,
};
use serde_json::json;

use crate::browser::devtools::{Browser, TOOLTIP};
use crate::browser::open;
use crate::sample;

/// Rows in the order in which they are listed.
const ROWS: &str = "[...document.querySelectorAll('.text')].map((card) => card.text.row)";

pub(super) fn token(text: &str, index: usize) -> PageToken {
    PageToken { text: text.to_owned(), id: Some(100 + index as i64), position: index }
}

/// Two texts, two layers, numbers that are easy to recognise.
fn small_page() -> TokenPage {
    let probe = |layer| PageProbe {
        label: format!("attention, layer {layer}"),
        series: "attention".to_owned(),
        kind: "attention".to_owned(),
        layer: Some(layer),
        outputs: PageOutputs::Classes,
        classes: vec!["no".to_owned(), "yes".to_owned()],
        n_heads: 2,
        threshold: 0.5,
        ..PageProbe::default()
    };
    let reading = |p: f64, first: f64| TokenReading {
        probabilities: vec![1.0 - p, p],
        logits: vec![(p / (1.0 - p)).ln()],
        predicted: usize::from(p >= 0.5),
        pattern: vec![vec![first, 1.0 - first, 0.0], vec![0.125, 0.375, 0.5]],
        prefix_probabilities: Some(vec![0.1234, f64::NAN, p]),
        contributions: None,
    };
    let text = |row, label: &str, readings| TokenText {
        row,
        label: Some(label.to_owned()),
        tokens: vec![token("A", 0), token(" fine", 1), token("\nday", 2)],
        readings,
    };
    TokenPage {
        title: "Two texts".to_owned(),
        model: "demo-gpt2".to_owned(),
        probes: vec![probe(3), probe(7)],
        texts: vec![
            text(0, "yes", vec![reading(0.75, 0.25), reading(0.875, 0.625)]),
            text(1, "no", vec![reading(0.8125, 0.25), reading(0.25, 0.625)]),
        ],
    }
}

#[test]
fn the_slider_shows_the_numbers_of_each_layer() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, small_page().to_html(), 1440);
    let number = "document.querySelector('.text .numbers').textContent";
    assert_eq!(browser.text(number), "P(yes) 0.750");
    assert_eq!(browser.text("document.querySelector('#layer-name').textContent"), "Layer 3");

    browser.focus("#layer");
    browser.press("ArrowRight");
    assert_eq!(browser.text("document.querySelector('#layer-name').textContent"), "Layer 7");
    assert_eq!(browser.text(number), "P(yes) 0.875");
    assert_eq!(browser.text("document.querySelector('#layer-result').textContent"), "2 of 2 right");
    assert_eq!(browser.text("document.querySelector('#layer').ariaValueText"), "layer 7");

    browser.press("ArrowLeft");
    assert_eq!(browser.text(number), "P(yes) 0.750");
    browser.assert_quiet();
}

#[test]
fn hovering_shows_exactly_the_numbers_of_the_file() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, small_page().to_html(), 1440);
    browser.hover(".token[data-index='0']");
    assert_eq!(
        browser.text(TOOLTIP),
        "A|position|0|token id|100|P(yes) so far|0.1234|mean weight|0.1875|\
         weight of head 0|0.25|weight of head 1|0.125"
    );
    browser.hover(".token[data-index='1']");
    assert!(browser.text(TOOLTIP).starts_with("␣fine|position|1|token id|101|P(yes) so far|n/a|"));
    browser.hover(".token[data-index='2']");
    assert!(browser.text(TOOLTIP).starts_with("⏎day|"));
    browser.hover(".text .numbers");
    assert_eq!(
        browser.text(TOOLTIP),
        "Row 0|P(no)|0.25|P(yes)|0.75|logit|1.099|threshold|0.5|tokens|3"
    );
    browser.hover("h1");
    assert_eq!(browser.text(TOOLTIP), "");
    browser.assert_quiet();
}

#[test]
fn the_keyboard_walks_through_tokens_and_layers() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, small_page().to_html(), 1440);
    browser.focus("#search");
    browser.press_until("Tab", "document.activeElement.classList.contains('token')");
    let index = "document.activeElement.dataset.index";
    assert_eq!(browser.text(index), "0");
    browser.press("ArrowRight");
    assert_eq!(browser.text(index), "1");
    browser.press("End");
    assert_eq!(browser.text(index), "2");
    browser.press("ArrowRight");
    assert_eq!(browser.text(index), "2");
    assert!(browser.text(TOOLTIP).contains("|P(yes) so far|0.75|"));
    browser.press("ArrowUp");
    assert_eq!(browser.text("document.querySelector('#layer-name').textContent"), "Layer 7");
    assert!(browser.text(TOOLTIP).contains("|P(yes) so far|0.875|"), "the tooltip follows");
    assert_eq!(browser.text("document.activeElement.getAttribute('aria-describedby')"), "tooltip");
    browser.press("Escape");
    assert_eq!(browser.text(TOOLTIP), "");
    browser.press("Home");
    assert_eq!(browser.text(index), "0");
    browser.assert_quiet();
}

#[test]
fn colours_follow_the_mode_and_the_head() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, small_page().to_html(), 1440);
    let of = |index: usize| {
        format!(
            "(() => {{ const t = document.querySelectorAll('.text:first-of-type .token')[{index}]; \
             return [t.dataset.sign ?? null, t.style.getPropertyValue('--shade')]; }})()"
        )
    };
    assert_eq!(browser.evaluate(&of(0)), json!(["-", "75.3%"]));
    assert_eq!(browser.evaluate(&of(1)), json!([null, ""]), "what is n/a has no colour");
    assert_eq!(browser.evaluate(&of(2)), json!(["+", "50.0%"]));

    browser.click("#colour label:nth-child(2)");
    assert_eq!(browser.evaluate(&of(1)), json!(["w", "100.0%"]), "the mean is largest there");
    browser.focus("#head");
    browser.type_key("h");
    assert_eq!(browser.text("document.querySelector('#head').value"), "0");
    assert_eq!(browser.evaluate(&of(0)), json!(["w", "33.3%"]));
    assert_eq!(browser.evaluate(&of(2)), json!(["w", "0.0%"]));
    browser.assert_quiet();
}

#[test]
fn texts_are_sorted_and_filtered() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, small_page().to_html(), 1440);
    assert_eq!(browser.evaluate(ROWS), json!([0, 1]));
    browser.focus("#sort");
    browser.type_key("e");
    assert_eq!(browser.evaluate(ROWS), json!([1, 0]), "the error comes first");

    // The order stays while the slider moves, until somebody asks.
    browser.focus("#layer");
    browser.press("ArrowRight");
    assert_eq!(browser.evaluate(ROWS), json!([1, 0]));
    assert_eq!(browser.evaluate("document.querySelector('#sort-again').hidden"), json!(false));
    browser.click("#sort-again");
    assert_eq!(browser.evaluate(ROWS), json!([1, 0]), "both are right; the least sure comes first");

    browser.click("#errors-only");
    assert_eq!(browser.evaluate(ROWS), json!([]));
    assert_eq!(browser.text("document.querySelector('#texts').textContent"), "No text matches.");
    browser.click("#errors-only");

    browser.focus("#search");
    browser.type_text("1");
    assert_eq!(browser.evaluate(ROWS), json!([1]), "a row by its number");
    browser.type_text("x");
    assert_eq!(browser.evaluate(ROWS), json!([]));
    browser.assert_quiet();
}

#[test]
fn words_of_a_text_are_found() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::token_page(12, 30, 2).to_html(), 1440);
    browser.focus("#search");
    browser.type_text("ONERROR");
    assert_eq!(browser.evaluate(ROWS), json!([2]));
    browser.assert_quiet();
}

#[test]
fn markup_in_a_text_is_text() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::token_page(6, 30, 2).to_html(), 1440);
    browser.settle();
    assert_eq!(browser.text("document.title"), "Film reviews, token by token");
    assert_eq!(browser.evaluate("document.querySelectorAll('img').length"), json!(0));
    assert_eq!(browser.evaluate("document.scripts.length"), json!(2));
    let shown = browser.text("document.querySelectorAll('.text')[2].textContent");
    assert!(shown.contains(sample::INJECTION), "{shown}");
    browser.assert_quiet();
}

#[test]
fn the_policy_stops_what_would_get_past_all_else() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, small_page().to_html(), 1440);
    browser.evaluate(
        "(() => { const s = document.createElement('script'); s.textContent = \
         \"document.title = 'injected'\"; document.body.append(s); })()",
    );
    browser.settle();
    assert_eq!(browser.text("document.title"), "Two texts");
}

#[test]
fn a_large_page_has_few_elements() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::token_page(300, 200, 12).to_html(), 1440);
    let rendered = "document.querySelectorAll('.token').length";
    let total = browser.number("DATA.texts.reduce((sum, text) => sum + text.tokens.length, 0)");
    assert!(total > 50_000.0);
    let n = browser.number(rendered);
    assert!(n > 100.0 && n < 5_000.0, "{n} of {total} tokens have elements");

    // The slider changes what can be seen, and nothing else.
    let n = browser.number(
        "(() => { const seen = new MutationObserver(() => {}); \
         seen.observe(document.body, { subtree: true, childList: true, attributes: true }); \
         moveTo(6); return seen.takeRecords().length; })()",
    );
    assert!(n > 100.0 && n < 15_000.0, "the slider made {n} changes");

    browser.evaluate("scrollTo(0, document.documentElement.scrollHeight / 2)");
    browser.settle();
    browser.settle();
    let n = browser.number(rendered);
    assert!(n > 100.0 && n < 5_000.0, "{n} of {total} tokens have elements");
    let seen = "document.elementsFromPoint(720, 500).some((n) => n.matches('.text') && n.tokens)";
    assert_eq!(browser.evaluate(seen), json!(true), "what is in the window has its tokens");
    browser.assert_quiet();
}

#[test]
fn text_can_be_read_on_every_colour() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, small_page().to_html(), 1440);
    for scheme in ["light", "dark"] {
        browser.prefer(scheme);
        for colour in ["positive", "negative", "weight", "card", "page", "sunken"] {
            let contrast = browser.number(&contrast("text", colour));
            assert!(contrast >= 4.5, "text on {colour}, {scheme}: {contrast}");
        }
        for (text, background) in [
            ("muted", "card"),
            ("muted", "page"),
            ("good", "card"),
            ("bad", "card"),
            ("on-accent", "accent"),
        ] {
            let contrast = browser.number(&contrast(text, background));
            assert!(contrast >= 4.5, "{text} on {background}, {scheme}: {contrast}");
        }
    }
}

/// The contrast of two colours of the style sheet, as WCAG 2 defines it.
fn contrast(text: &str, background: &str) -> String {
    format!(
        "(() => {{ const luminance = (name) => {{ const n = document.createElement('i'); \
         n.style.color = `var(--${{name}})`; document.body.append(n); \
         const [r, g, b] = getComputedStyle(n).color.match(/[0-9.]+/g).map((v) => v / 255)\
         .map((v) => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4); n.remove(); \
         return 0.2126 * r + 0.7152 * g + 0.0722 * b; }}; \
         const [a, b] = [luminance('{text}'), luminance('{background}')]; \
         return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); }})()"
    )
}

#[test]
fn the_theme_is_the_systems_until_somebody_chooses() {
    let Some(mut browser) = Browser::start() else { return };
    browser.prefer("dark");
    let _folder = open(&mut browser, small_page().to_html(), 1440);
    let background = "getComputedStyle(document.body).backgroundColor";
    assert_eq!(browser.text(background), "rgb(20, 22, 26)");
    browser.click("#theme");
    assert_eq!(browser.text(background), "rgb(246, 247, 248)");
    assert_eq!(browser.text("document.querySelector('#theme').textContent"), "Dark theme");
    browser.prefer("light");
    browser.click("#theme");
    assert_eq!(browser.text(background), "rgb(20, 22, 26)");
    browser.assert_quiet();
}

#[test]
fn a_page_fits_a_phone_and_a_desk() {
    let Some(mut browser) = Browser::start() else { return };
    for page in [
        sample::token_page(8, 40, 12),
        sample::token_page(2, 40, 48),
        small_page(),
        TokenPage::default(),
    ] {
        for width in [390, 1440] {
            let _folder = open(&mut browser, page.to_html(), width);
            browser.assert_fits();
            browser.assert_quiet();
        }
    }
}

#[test]
fn a_page_without_texts_or_numbers_says_so() {
    let Some(mut browser) = Browser::start() else { return };
    let shown = "document.querySelector('#texts').textContent";
    let _folder = open(&mut browser, TokenPage::default().to_html(), 1440);
    assert_eq!(browser.text(shown), "There are no probes.");
    browser.assert_quiet();

    let mut page = small_page();
    page.texts.clear();
    let _folder = open(&mut browser, page.to_html(), 1440);
    assert_eq!(browser.text(shown), "There are no texts.");
    browser.assert_quiet();

    // Activations without tokens, a probe without a layer, and numbers that are none.
    let mut page = small_page();
    page.probes.truncate(1);
    page.probes[0].layer = None;
    for text in &mut page.texts {
        text.label = None;
        text.tokens.clear();
        text.readings = vec![TokenReading {
            probabilities: vec![f64::NAN, f64::NAN],
            logits: vec![f64::INFINITY],
            ..TokenReading::default()
        }];
    }
    let _folder = open(&mut browser, page.to_html(), 390);
    assert!(browser.text(shown).contains("says n/a, no label"));
    assert!(browser.text(shown).contains("No tokens."));
    assert_eq!(browser.evaluate("document.querySelector('#layer-bar').hidden"), json!(true));
    browser.assert_fits();
    browser.assert_quiet();
}

#[test]
fn several_classes_are_named() {
    let Some(mut browser) = Browser::start() else { return };
    let mut page = small_page();
    page.probes.truncate(1);
    page.probes[0].classes = ["red", "green", "blue"].map(str::to_owned).to_vec();
    page.texts.truncate(1);
    page.texts[0].label = Some("red".to_owned());
    page.texts[0].readings = vec![TokenReading {
        probabilities: vec![0.125, 0.25, 0.625],
        logits: vec![-1.0, 0.0, 1.0],
        predicted: 2,
        prefix_probabilities: Some(vec![0.25, 0.5, 0.625]),
        ..TokenReading::default()
    }];
    let _folder = open(&mut browser, page.to_html(), 1440);
    let heading = browser.text("document.querySelector('.text header').textContent");
    assert_eq!(heading, "Row 0✗ wrongsays blue, label redP 0.625");
    browser.hover(".token[data-index='1']");
    assert!(browser.text(TOOLTIP).ends_with("|P(blue) so far|0.5"));
    assert_eq!(
        browser.text("document.querySelector('.token[data-index=\"1\"]').dataset.sign"),
        "w"
    );
    browser.assert_quiet();
}

#[test]
fn what_has_the_focus_keeps_its_numbers() {
    let Some(mut browser) = Browser::start() else { return };
    let _folder = open(&mut browser, sample::token_page(3, 3000, 2).to_html(), 390);
    browser.focus(".token");
    browser.press("End");
    browser.settle();
    assert!(browser.number("scrollY") > 0.0, "the last token is far below");
    assert!(browser.text(TOOLTIP).contains("|position|"));
    browser.assert_fits();
    browser.assert_quiet();
}
