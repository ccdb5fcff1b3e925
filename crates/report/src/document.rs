//! One HTML file from a template, a style sheet, a script, and data.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::ReportError;
use crate::island::json_island;

const SHARED_STYLE: &str = include_str!("../templates/page.css");
const SHARED_SCRIPT: &str = include_str!("../templates/page.js");
const CHARTS_STYLE: &str = include_str!("../templates/charts.css");
const CHARTS_SCRIPT: &str =
    concat!(include_str!("../templates/charts.js"), include_str!("../templates/tables.js"));

/// What one kind of page has of its own.
pub(crate) struct Template {
    /// Content of the element `main`.
    pub(crate) body: &'static str,
    /// Rules after those that all pages share.
    pub(crate) style: &'static str,
    /// Scripts after those that all pages share.
    pub(crate) script: &'static str,
    /// Whether the page has charts.
    pub(crate) has_charts: bool,
}

/// Puts a page together.
pub(crate) fn render(
    template: &Template,
    title: &str,
    data: &impl Serialize,
) -> Result<String, ReportError> {
    let (charts_style, charts_script) =
        if template.has_charts { (CHARTS_STYLE, CHARTS_SCRIPT) } else { ("", "") };
    let style = joined(&[SHARED_STYLE, charts_style, template.style]);
    let script = joined(&[SHARED_SCRIPT, charts_script, template.script]);
    Ok(format!(
        include_str!("../templates/page.html"),
        title = escaped(title),
        style_hash = hash(&style),
        script_hash = hash(&script),
        style = style,
        body = template.body,
        data = json_island(data)?,
        script = script,
    ))
}

/// Parts one after another, with the line ends that an HTML parser makes of them.
fn joined(parts: &[&str]) -> String {
    parts.concat().replace("\r\n", "\n")
}

/// The hash by which a content security policy names an inline script or style sheet.
fn hash(text: &str) -> String {
    format!("sha256-{}", STANDARD.encode(Sha256::digest(text)))
}

/// Text for the inside of an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: Template =
        Template { body: "<p id=x></p>", style: "p{}", script: "let x;", has_charts: true };

    #[test]
    fn a_title_is_text() {
        let html = render(&TEMPLATE, "</title><script>{data}&", &0).unwrap();
        assert!(html.contains("<title>&lt;/title&gt;&lt;script&gt;{data}&amp;</title>"));
        assert_eq!(html.matches("<script").count(), 2);
    }

    #[test]
    fn a_page_names_nothing_outside_itself() {
        let html = render(&TEMPLATE, "title", &0).unwrap();
        let namespace = "http://www.w3.org/2000/svg";
        assert!(!html.replace(namespace, "").contains("://"));
        for loader in ["src=", "href=", "@import", "url(", "fetch(", "innerHTML", "eval("] {
            assert!(!html.contains(loader), "{loader}");
        }
    }

    #[test]
    fn the_policy_names_the_script_and_the_style_sheet() {
        let html = render(&TEMPLATE, "title", &0).unwrap();
        let between = |open: &str, close: &str| {
            let rest = html.split_once(open).unwrap().1;
            rest.split_once(close).unwrap().0.to_owned()
        };
        assert!(html.contains(&hash(&between("<style>", "</style>"))));
        assert!(html.contains(&hash(&between("<script>", "</script>"))));
    }
}
