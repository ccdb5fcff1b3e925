//! What the tables rest on: parts that add up, controls that are like what they control, and a model
//! that needs its pairs.

use std::collections::BTreeSet;

use super::*;

/// Features of a few steps, and what the model reads of some inputs.
struct Subject {
    sorter: Sorter,
    features: Features,
    seen: Vec<Input>,
    held_out: Vec<Input>,
}

fn subject() -> Subject {
    let device = Device::flex();
    let model = model::nano_gpt_sort(Path::new(WEIGHTS), &device).unwrap();
    let sorter = Sorter { model, device };
    let (seen, held_out) = inputs::split();
    let hook = HookPoint::Ln1Normalized(LAYER);
    let rows = rows(&sorter, &seen, hook).unwrap();
    let features = Features::train(&seen, &rows, hook, SEEDS[0]).unwrap();
    Subject { sorter, features, seen, held_out }
}

#[test]
fn the_answers_weigh_right_letters_against_others() {
    // The sorted letters of `ABABAA` are `AAAABB`; every weight of a query adds up to none.
    let input =
        Input { ids: vec![0, 1, 0, 1, 0, 0, 0, 0, 0, 0, 1], sorted: vec![0, 0, 0, 0, 1, 1] };
    let weights = pairs::contrast_weights(&input);
    for (query, right) in input.answers() {
        let of_query = weights.iter().filter(|(of, ..)| *of == query);
        let (mut sum, mut of_right) = (0.0, 0.0);
        for (_, key, weight) in of_query {
            sum += weight;
            of_right += if input.ids[*key] == right { *weight } else { 0.0 };
        }
        assert!(f64::abs(sum) < 1e-12 && f64::abs(of_right - 1.0) < 1e-12, "{query}");
    }
    // Where there is no other letter there is nothing to tell apart.
    let alike = Input { ids: vec![2; N_POS], sorted: vec![2; N_LETTERS] };
    assert!(pairs::contrast_weights(&alike).is_empty());
}

#[test]
fn the_model_needs_its_pairs_and_nothing_else_of_its_scores() {
    let Subject { sorter, features, seen, held_out } = subject();
    let layer = FraLayer::new(&features.sae, &sorter.model, LAYER).unwrap();
    let texts = pairs::read(&sorter, &layer, &held_out).unwrap();
    let ablation = Ablation { sorter: &sorter, inputs: &held_out, texts: &texts };

    // The four terms are the model's own scores.
    let own = sorter.effect(&held_out, Vec::new()).unwrap();
    let nothing = ablation.effect(Removed::Pairs(&[])).unwrap();
    assert!(own.sorted >= 1.0 && nothing.sorted >= 1.0);
    assert!((own.loss_nats - nothing.loss_nats).abs() < 1e-5);
    assert!((own.attention - nothing.attention).abs() < 1e-4);

    let left = |removed: Removed<'_>| without(removed, &texts).unwrap();
    let (all, rest) = (left(Removed::Pairs(&[])), left(Removed::OfEach(FraRemoved::AllPairs)));
    let pairs_alone = left(Removed::OfEach(FraRemoved::AllButPairs));
    for (score, (rest, pair)) in all.iter().zip(rest.iter().zip(&pairs_alone)) {
        assert!((score - rest - pair).abs() < 1e-4, "{score} {rest} {pair}");
    }

    let effect = |removed: Removed<'_>| ablation.effect(removed).unwrap();
    assert!(effect(Removed::OfEach(FraRemoved::AllButPairs)).sorted > 0.98);
    assert!(
        effect(Removed::OfEach(FraRemoved::AllPairs)).loss_nats > 10.0 * own.loss_nats.max(1e-4)
    );

    // One by one they are all pairs.
    let texts_seen = pairs::read(&sorter, &layer, &seen).unwrap();
    let ranked = pairs::rank(&layer, &seen, &texts_seen).unwrap();
    let one_by_one = left(Removed::Pairs(&ranked.top(usize::MAX)));
    for (one_by_one, rest) in one_by_one.iter().zip(&rest) {
        assert!((one_by_one - rest).abs() < 1e-3, "{one_by_one} {rest}");
    }
    assert!((ranked.share(usize::MAX) - 1.0).abs() < 1e-3);
    let [of_pairs, of_rest] = ranked.contrast;
    assert!(of_pairs > 1.0 && of_rest.abs() < 0.1 * of_pairs, "{of_pairs} {of_rest}");

    // The control is of other pairs that add as much.
    let (first, others) = (ranked.top(FEW), ranked.others(FEW));
    let size = |ids: &[PairId]| -> f64 {
        let ids: BTreeSet<&PairId> = ids.iter().collect();
        ranked.pairs.iter().filter(|pair| ids.contains(&pair.id)).map(|pair| pair.sum_abs).sum()
    };
    assert!(others.iter().all(|pair| !first.contains(pair)));
    assert!(size(&others) >= size(&first));
    assert!(size(&others[..others.len() - 1]) < size(&first));

    // What is shuffled stays at its query, among the letters of the input.
    let mut is_moved = false;
    let (removed, shuffled) = (left(Removed::Pairs(&first)), left(Removed::Shuffled(&first)));
    let row = |scores: &[f32], at: usize| -> f32 { scores[at..at + N_LETTERS].iter().sum() };
    for (i, at) in (0..removed.len()).step_by(N_POS).enumerate() {
        if i % N_POS >= N_LETTERS - 1 {
            assert!((row(&removed, at) - row(&shuffled, at)).abs() < 1e-3);
            is_moved |= (removed[at] - shuffled[at]).abs() > 0.1;
        }
    }
    assert!(is_moved);

    // Means by place know the query, the letter, and whether it is in the input.
    let by_place = by_place(&seen, &texts_seen, &held_out).unwrap();
    assert!(ablation.with(by_place).unwrap().sorted > 0.9);
}
