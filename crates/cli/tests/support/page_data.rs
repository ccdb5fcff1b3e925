//! What a page holds.

use serde_json::Value;

/// The data of a page: what its script parses.
pub(crate) fn data_of(html: &str) -> Value {
    let (_, rest) = html.split_once(r#"<script type="application/json""#).unwrap();
    let (_, rest) = rest.split_once('>').unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}
