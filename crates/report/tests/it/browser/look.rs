//! Pages and pictures for a person to look at.

use std::path::Path;

use attention_probes_report::{
    ComparePage, FraCorpusPage, FraSamplePage, SaeAblationPage, SaePage, SweepPage, TokenPage,
};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::browser::devtools::Browser;
use crate::browser::write_page;
use crate::sample;

#[test]
#[ignore = "writes pages and pictures to look at, those of PAGE=fra or all: \
            cargo test --test it browser -- --ignored"]
fn write_sample_pages() {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("pages");
    std::fs::create_dir_all(&folder).unwrap();
    let pages = [
        ("token", sample::token_page(40, 60, 12).to_html()),
        ("sweep", sample::sweep_page(12).to_html()),
        ("targets", sample::target_page().to_html()),
        ("compare", sample::compare_page().to_html()),
        ("sae", sample::sae_page(240, 20, 48).to_html()),
        ("sae-hostile", sample::hostile_sae_page().to_html()),
        ("sae-ablation", sample::sae_ablation_page().to_html()),
        ("fra-sample", sample::fra_sample_page(120, 200).to_html()),
        ("fra-sample-hostile", sample::hostile_fra_sample_page().to_html()),
        ("fra-corpus", sample::fra_corpus_page(200, 20).to_html()),
        ("fra-corpus-hostile", sample::hostile_fra_corpus_page().to_html()),
        ("token-empty", TokenPage::default().to_html()),
        ("sweep-empty", SweepPage::default().to_html()),
        ("compare-empty", ComparePage::default().to_html()),
        ("sae-empty", SaePage::default().to_html()),
        ("sae-ablation-empty", SaeAblationPage::default().to_html()),
        ("fra-sample-empty", FraSamplePage::default().to_html()),
        ("fra-corpus-empty", FraCorpusPage::default().to_html()),
    ];
    let mut browser = Browser::start();
    let wanted = std::env::var("PAGE").unwrap_or_default();
    for (name, html) in pages.into_iter().filter(|(name, _)| name.contains(&wanted)) {
        let file = write_page(&folder, &format!("{name}.html"), &html.unwrap());
        let Some(browser) = &mut browser else { continue };
        let hovered = [
            ".token[data-index='4']",
            "table.heat .chosen",
            "#layer-chart svg[role=img]",
            "#charts svg[role=img]",
            ".samples .token[data-sign]",
            ".dot-row",
        ];
        for (width, height) in [(1440, 1200), (390, 844)] {
            for scheme in ["light", "dark"] {
                browser.prefer(scheme);
                browser.open(&file, width, height);
                let n_windows =
                    browser.number("document.documentElement.scrollHeight / innerHeight");
                for window in 0..n_windows.ceil().min(8.0) as u32 {
                    browser.evaluate(&format!("scrollTo(0, {})", window * (height - 60)));
                    browser.settle();
                    let picture = STANDARD.decode(browser.screenshot()).unwrap();
                    let name = format!("{name}-{width}-{scheme}-{window}.png");
                    std::fs::write(folder.join(name), picture).unwrap();
                }
                browser.evaluate("scrollTo(0, 0)");
                browser.settle();
                if name == "token" {
                    browser.click("#colour label:nth-child(2)");
                    browser.focus("#layer");
                    browser.press("End");
                    browser.focus("#sort");
                    browser.type_key("e");
                    let picture = STANDARD.decode(browser.screenshot()).unwrap();
                    std::fs::write(
                        folder.join(format!("{name}-{width}-{scheme}-attention.png")),
                        picture,
                    )
                    .unwrap();
                }
                let clicked = [
                    ("fra-sample", ["#queries .token[data-index='40']", "#centred"]),
                    ("fra-corpus", ["#table tbody tr:nth-child(2) .open", "[data-sort=mean]"]),
                ];
                for (_, selectors) in clicked.iter().filter(|(page, _)| *page == name) {
                    for (i, selector) in selectors.iter().enumerate() {
                        browser.click(selector);
                        let picture = STANDARD.decode(browser.screenshot()).unwrap();
                        let name = format!("{name}-{width}-{scheme}-click{i}.png");
                        std::fs::write(folder.join(name), picture).unwrap();
                    }
                }
                for selector in hovered {
                    let found = format!("document.querySelector(\"{selector}\") !== null");
                    if browser.evaluate(&found) == serde_json::json!(true) {
                        browser.hover(selector);
                        let picture = STANDARD.decode(browser.screenshot()).unwrap();
                        let name = format!("{name}-{width}-{scheme}-{}.png", &selector[1..4]);
                        std::fs::write(folder.join(name), picture).unwrap();
                    }
                }
            }
        }
    }
    eprintln!("{}", folder.display());
}
