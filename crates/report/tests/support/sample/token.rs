//! Texts and what probes say about them.

use attention_probes_report::{
    PageOutputs, PageProbe, PageToken, TokenPage, TokenReading, TokenText,
};

use super::dice::Dice;

const WORDS: [(&str, f64); 40] = [
    (" the", 0.0),
    (" film", 0.0),
    (" is", 0.0),
    (" a", 0.0),
    (" charming", 1.2),
    (",", 0.0),
    (" funny", 0.9),
    (" and", 0.1),
    (" often", 0.0),
    (" moving", 0.8),
    (" story", 0.1),
    (" dull", -1.2),
    (" bloated", -1.1),
    (" mess", -1.4),
    (" that", 0.0),
    (" never", -0.5),
    (" finds", 0.2),
    (" its", 0.0),
    (" feet", 0.0),
    (".", 0.0),
    (" performances", 0.2),
    (" are", 0.0),
    (" superb", 1.5),
    (" un", -0.3),
    ("inspired", -0.8),
    (" direction", 0.0),
    (" warm", 0.7),
    (" tedious", -1.3),
    (" delight", 1.3),
    (" at", 0.0),
    (" times", 0.0),
    ("\n", 0.0),
    (" but", -0.2),
    (" with", 0.0),
    (" no", -0.6),
    (" soul", 0.3),
    (" heart", 0.5),
    (" clich", -0.6),
    ("é", -0.1),
    (" watch", 0.1),
];

/// The token that would run if anything on a page were taken for markup.
pub(crate) const INJECTION: &str = " </script><script>document.title='injected'</script><img src=x \
                             onerror=\"document.title='injected'\"><!--";

fn sigmoid(x: f64) -> f64 {
    1.0 / (1.0 + (-x).exp())
}

/// What a kind of probe says of one text.
fn reading(probe: &PageProbe, scores: &[f64], n_layers: usize, dice: &mut Dice) -> TokenReading {
    let layer = probe.layer.unwrap_or(0) as f64 + 1.0;
    let strength = 1.6 * layer / n_layers as f64;
    let n = scores.len();
    let mut total = 0.0;
    let mut prefixes = Vec::with_capacity(n);
    let mut contributions = Vec::with_capacity(n);
    for score in scores {
        let contribution =
            score * strength + 0.25 * dice.normal() * (1.2 - layer / n_layers as f64);
        total = 0.97 * total + contribution;
        contributions.push(contribution);
        prefixes.push(sigmoid(total));
    }
    let pattern = (0..probe.n_heads).map(|head| {
        let weight = |score: &f64| (score.abs() * (1.0 + head as f64) * strength).exp();
        let raw: Vec<f64> =
            scores.iter().map(|score| weight(score) * (0.5 + dice.roll())).collect();
        let sum: f64 = raw.iter().sum();
        raw.iter().map(|weight| weight / sum).collect()
    });
    let pattern = pattern.collect();
    let positive = prefixes.last().copied().unwrap_or(0.5);
    TokenReading {
        probabilities: vec![1.0 - positive, positive],
        logits: vec![total],
        predicted: usize::from(positive >= probe.threshold),
        pattern,
        prefix_probabilities: Some(prefixes),
        contributions: (probe.kind != "mlp").then_some(contributions),
    }
}

/// Film reviews under an attention probe of four heads and a linear one, at every layer.
pub(crate) fn token_page(n_texts: usize, n_tokens: usize, n_layers: usize) -> TokenPage {
    let probe = |series: &str, kind: &str, n_heads: usize, layer: usize| PageProbe {
        label: format!("{series}, layer {layer}"),
        series: series.to_owned(),
        kind: kind.to_owned(),
        layer: Some(layer),
        component: "resid_post".to_owned(),
        task: "sequence".to_owned(),
        outputs: PageOutputs::Classes,
        classes: vec!["negative".to_owned(), "positive".to_owned()],
        n_heads,
        threshold: 0.5,
        file: format!(
            "sentiment-L{layer:02}-resid_post/trained/{series}_probe_lr1.00e-03_wd1.00e-05_state.npz"
        ),
    };
    let mut probes: Vec<PageProbe> =
        (0..n_layers).map(|layer| probe("attention", "attention", 4, layer)).collect();
    probes.extend((0..n_layers).map(|layer| probe("linear-mean", "linear", 0, layer)));
    let mut dice = Dice::new(7);
    let texts = (0..n_texts).map(|row| {
        let n = (n_tokens / 2 + dice.pick(n_tokens.max(1))).max(1);
        let mut tokens = Vec::new();
        let mut scores = Vec::new();
        let mood = if row % 2 == 0 { 0.25 } else { -0.25 };
        for position in 0..n {
            let (mut text, mut score) = WORDS[dice.pick(WORDS.len())];
            if score * mood < 0.0 && dice.roll() < 0.45 {
                (text, score) = WORDS[dice.pick(4)];
            }
            if row == 2 && position == 3 {
                text = INJECTION;
            }
            if row == 3 && position == 2 {
                text = "\u{202e}\u{200b}";
            }
            scores.push(score);
            tokens.push(PageToken {
                text: text.to_owned(),
                id: Some(200 + text.len() as i64 * 17 + i64::from(text.as_bytes()[0])),
                position,
            });
        }
        let readings: Vec<TokenReading> =
            probes.iter().map(|probe| reading(probe, &scores, n_layers, &mut dice)).collect();
        let label =
            if row % 7 == 6 { None } else { Some(["positive", "negative"][row % 2].to_owned()) };
        TokenText { row: row as u64, label, tokens, readings }
    });
    let texts = texts.collect();
    TokenPage {
        title: "Film reviews, token by token".to_owned(),
        model: "demo-gpt2".to_owned(),
        probes,
        texts,
    }
}
