//! Texts, coloured by what probes say about each token.

use serde::{Deserialize, Serialize};

use crate::document::{Template, render};
use crate::error::check_length;
use crate::token::{Positions, Vocabulary};
use crate::{PageToken, ReportError};

const TEMPLATE: Template = Template {
    body: include_str!("../templates/token.html"),
    style: concat!(
        include_str!("../templates/token_text.css"),
        include_str!("../templates/token.css"),
    ),
    script: concat!(
        include_str!("../templates/token_text.js"),
        include_str!("../templates/token.js"),
        include_str!("../templates/token_card.js"),
        include_str!("../templates/token_controls.js"),
    ),
    has_charts: false,
};

/// Texts beside what any number of probes say about them, token by token.
///
/// Probes of one `series` share a slider that moves between their layers.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenPage {
    /// Heading of the page.
    pub title: String,
    /// Model whose activations the probes read; may be empty.
    pub model: String,
    /// The probes; every text has a reading of each.
    pub probes: Vec<PageProbe>,
    /// The texts, in the order of their rows.
    pub texts: Vec<TokenText>,
}

/// One probe of a [`TokenPage`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct PageProbe {
    /// What the probe is called where it stands alone.
    pub label: String,
    /// What it has in common with the same probe at other layers, such as `attention`.
    pub series: String,
    /// `linear`, `mlp`, or `attention`.
    pub kind: String,
    /// The layer it reads; `None` where the data were activations.
    pub layer: Option<usize>,
    /// The place in the layer, such as `resid_post`; may be empty.
    pub component: String,
    /// `sequence`, `current_token`, or `next_token`.
    pub task: String,
    /// What it says.
    pub outputs: PageOutputs,
    /// Names of the classes, of two of which the second is the positive one; of the labels, or of the
    /// number.
    pub classes: Vec<String>,
    /// Number of heads that weigh tokens; 0 if the probe does not.
    pub n_heads: usize,
    /// Probability of class 1 from which on a binary probe says 1.
    pub threshold: f64,
    /// File the probe was read from.
    pub file: String,
}

/// What a probe of a [`TokenPage`] says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageOutputs {
    /// Classes that exclude each other.
    #[default]
    Classes,
    /// Several labels, each there from probability 1/2 on.
    Labels,
    /// A number.
    Number,
}

/// One text of a [`TokenPage`].
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenText {
    /// Row of the data.
    pub row: u64,
    /// The true class, labels separated by commas, or number, where it is known.
    pub label: Option<String>,
    /// The tokens.
    pub tokens: Vec<PageToken>,
    /// What each probe says, in the order of [`TokenPage::probes`].
    pub readings: Vec<TokenReading>,
}

/// What one probe says about one text.
///
/// A number that is not finite is shown as "n/a".
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TokenReading {
    /// Probability of each class or label, `[n_classes]`; none of a number.
    pub probabilities: Vec<f64>,
    /// Logits, `[n_out]`: one of two classes, else one per class or label; of a number the number.
    pub logits: Vec<f64>,
    /// Index of the class that the probe says, or of the likeliest label; 0 of a number.
    pub predicted: usize,
    /// Weight of each token, `[n_heads, pos]`; empty if the probe does not weigh tokens.
    pub pattern: Vec<Vec<f64>>,
    /// Probability if the text ended at each token, `[pos]`: of class 1 of two, else of the
    /// predicted class or label; of a number the number.
    pub prefix_probabilities: Option<Vec<f64>>,
    /// What each token adds to the logit, `[pos]`: the one logit of two classes, else that of the
    /// predicted class or label; or to the number.
    pub contributions: Option<Vec<f64>>,
}

impl TokenPage {
    /// Makes the HTML file.
    ///
    /// # Errors
    ///
    /// - [`ReportError::Length`] if a reading does not fit its text or its probe
    /// - [`ReportError::Class`] if a predicted class is not one of the probe's
    pub fn to_html(&self) -> Result<String, ReportError> {
        for text in &self.texts {
            let at = || format!("text {}", text.row);
            check_length(at, "readings", text.readings.len(), self.probes.len())?;
            for (probe, reading) in self.probes.iter().zip(&text.readings) {
                reading.check(text, probe)?;
            }
        }
        render(&TEMPLATE, &self.title, &PackedPage::new(self))
    }
}

impl TokenReading {
    fn check(&self, text: &TokenText, probe: &PageProbe) -> Result<(), ReportError> {
        let at = || format!("text {}, probe `{}`", text.row, probe.label);
        let (n_tokens, n_classes) = (text.tokens.len(), probe.classes.len());
        let n_probabilities = if probe.outputs == PageOutputs::Number { 0 } else { n_classes };
        check_length(at, "probabilities", self.probabilities.len(), n_probabilities)?;
        if !self.pattern.is_empty() {
            check_length(at, "pattern", self.pattern.len(), probe.n_heads)?;
        }
        for head in &self.pattern {
            check_length(at, "pattern", head.len(), n_tokens)?;
        }
        if let Some(values) = &self.prefix_probabilities {
            check_length(at, "prefix_probabilities", values.len(), n_tokens)?;
        }
        if let Some(values) = &self.contributions {
            check_length(at, "contributions", values.len(), n_tokens)?;
        }
        if self.predicted >= n_classes {
            return Err(ReportError::Class { at: at(), class: self.predicted, n_classes });
        }
        Ok(())
    }
}

/// A page as it stands in its file: tokens are indices into a vocabulary, which halves the file.
#[derive(Serialize)]
struct PackedPage<'a> {
    model: &'a str,
    probes: &'a [PageProbe],
    /// Text and id of each token that occurs, in the order of their first occurrence.
    vocabulary: Vec<(&'a str, Option<i64>)>,
    texts: Vec<PackedText<'a>>,
}

#[derive(Serialize)]
struct PackedText<'a> {
    row: u64,
    label: Option<&'a str>,
    /// Indices into the vocabulary.
    tokens: Vec<usize>,
    positions: Positions,
    readings: &'a [TokenReading],
}

impl<'a> PackedPage<'a> {
    fn new(page: &'a TokenPage) -> Self {
        let mut vocabulary = Vocabulary::default();
        let pack = |text: &'a TokenText| PackedText {
            row: text.row,
            label: text.label.as_deref(),
            tokens: vocabulary.indices(&text.tokens),
            positions: Positions::of(&text.tokens),
            readings: &text.readings,
        };
        let texts = page.texts.iter().map(pack).collect();
        let vocabulary = vocabulary.into_entries();
        Self { model: &page.model, probes: &page.probes, vocabulary, texts }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn page(texts: &[&str]) -> TokenPage {
        let probe = PageProbe {
            label: "probe".to_owned(),
            classes: vec!["no".to_owned(), "yes".to_owned()],
            n_heads: 1,
            threshold: 0.5,
            ..PageProbe::default()
        };
        let text = |(row, token): (usize, &&str)| TokenText {
            row: row as u64,
            label: Some((*token).to_owned()),
            tokens: vec![PageToken { text: (*token).to_owned(), id: Some(7), position: 0 }],
            readings: vec![TokenReading {
                probabilities: vec![0.25, 0.75],
                logits: vec![f64::NAN],
                predicted: 1,
                pattern: vec![vec![1.0]],
                prefix_probabilities: Some(vec![f64::INFINITY]),
                contributions: None,
            }],
        };
        TokenPage {
            title: "title".to_owned(),
            model: "demo-gpt2".to_owned(),
            probes: vec![probe],
            texts: texts.iter().enumerate().map(text).collect(),
        }
    }

    /// The data of a page as an HTML parser would find them.
    fn island(html: &str) -> Value {
        let rest = html.split_once("<script type=\"application/json\" id=\"data\">").unwrap().1;
        serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
    }

    #[test]
    fn a_text_that_closes_the_script_is_data() {
        let nasty = "</script><script>alert(1)</script><!--\u{2028}\"'";
        let html = page(&[nasty]).to_html().unwrap();
        assert!(!html.contains("alert(1)</script>"));
        assert_eq!(html.matches("</script>").count(), 2);
        assert_eq!(island(&html)["vocabulary"][0][0], nasty);
    }

    #[test]
    fn numbers_that_are_not_finite_are_null() {
        let reading = &island(&page(&["a"]).to_html().unwrap())["texts"][0]["readings"][0];
        assert!(reading["logits"][0].is_null());
        assert!(reading["prefix_probabilities"][0].is_null());
        assert_eq!(reading["probabilities"][1], 0.75);
    }

    #[test]
    fn equal_tokens_are_stored_once() {
        let data = island(&page(&["a", "b", "a"]).to_html().unwrap());
        assert_eq!(data["vocabulary"].as_array().unwrap().len(), 2);
        assert_eq!(data["texts"][2]["tokens"][0], 0);
    }

    #[test]
    fn positions_are_listed_where_they_jump() {
        let mut page = page(&["a"]);
        let text = &mut page.texts[0];
        text.tokens.push(PageToken { text: "b".to_owned(), id: None, position: 5 });
        text.readings[0] =
            TokenReading { probabilities: vec![0.5, 0.5], ..TokenReading::default() };
        let data = island(&page.to_html().unwrap());
        assert_eq!(data["texts"][0]["positions"], serde_json::json!([0, 5]));
    }

    #[test]
    fn the_same_page_gives_the_same_bytes() {
        assert_eq!(page(&["a", "b"]).to_html().unwrap(), page(&["a", "b"]).to_html().unwrap());
    }

    #[test]
    fn an_empty_page_is_a_page() {
        assert!(TokenPage::default().to_html().unwrap().ends_with("</html>\n"));
        let mut empty = page(&["a"]);
        empty.texts.clear();
        empty.to_html().unwrap();
    }

    #[test]
    fn a_reading_that_does_not_fit_is_refused() {
        let mut wrong = page(&["a"]);
        wrong.texts[0].readings[0].pattern = vec![vec![0.5, 0.5]];
        let message = wrong.to_html().unwrap_err().to_string();
        assert_eq!(message, "text 0, probe `probe`: `pattern` has length 2, expected 1");

        let mut wrong = page(&["a"]);
        wrong.texts[0].readings[0].predicted = 2;
        let message = wrong.to_html().unwrap_err().to_string();
        assert_eq!(message, "text 0, probe `probe`: class 2 was predicted, expected one below 2");

        let mut wrong = page(&["a"]);
        wrong.texts[0].readings.clear();
        assert!(matches!(wrong.to_html(), Err(ReportError::Length { .. })));
    }

    proptest! {
        #[test]
        fn any_strings_come_back(texts in proptest::collection::vec(any::<String>(), 1..4)) {
            let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
            let data = island(&page(&texts).to_html().unwrap());
            for (text, expected) in data["texts"].as_array().unwrap().iter().zip(&texts) {
                let token = text["tokens"][0].as_u64().unwrap() as usize;
                prop_assert_eq!(&data["vocabulary"][token][0], expected);
                prop_assert_eq!(&text["label"], expected);
            }
        }
    }
}
