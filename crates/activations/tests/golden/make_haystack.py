"""Writes `haystack/`: small folders as the data makers of Gurnee et al. save them, and what their
code reads out of them.

The texts are this project's own; the tokens are those of `demo-gpt2`. The folders are written by
`datasets.Dataset.save_to_disk`, with the columns and types that the makers give them, and
`expected.json` is what `prepare_dataset` of each family returns, run out of a checkout:

    git clone https://github.com/wesg52/sparse-probing-paper
    python make_haystack.py demo-tokenizer.json sparse-probing-paper

The tokenizer is `tokenizer.json` of `crates/models/demo/demo-gpt2`. Needs datasets, tokenizers,
torch, and scipy; the files here are of datasets 5.2.0.
"""

import json
import os
import pathlib
import shutil
import sys
import types

import datasets
import numpy as np
from tokenizers import Tokenizer

EOS, PAD = 0, 2048  # `<PAD>` is added behind the last of 2048 tokens
FOLDER = pathlib.Path(__file__).parent / "haystack"
tokenizer = Tokenizer.from_file(sys.argv[1])
rng = np.random.default_rng(0)

WHO = ["The old dog", "A small girl", "Her brother Tom", "The King of 12 hills", "Two cats"]
DOES = ["went to the big park", "sat under a tree", "saw 3 birds", "Found a RED ball", "was happy"]
WHERE = ["in the sun.", "all day long.", "with Mia!", "near the house.", "and sang."]


def sentence(i):
    return f" {WHO[i % 5]} {DOES[(i // 2) % 5]} {WHERE[(i // 3) % 5]}"


def encode(text):
    return tokenizer.encode(text, add_special_tokens=False).ids


def padded(tokens, length, pad):
    return tokens[:length] + [pad] * (length - len(tokens))


def save(name, columns, **more):
    folder = FOLDER / name
    shutil.rmtree(folder, ignore_errors=True)
    dataset = datasets.Dataset.from_dict(columns)
    dataset.set_format("torch")
    dataset.save_to_disk(folder, **more)
    # The fingerprint is drawn anew each time.
    state = json.loads((folder / "state.json").read_text())
    state["_fingerprint"] = "0" * 16
    (folder / "state.json").write_text(json.dumps(state, indent=2) + "\n")


def with_features(columns, features, n, length):
    """Adds the columns of each feature: tokens that are asked about, and 1 or -1 of each."""
    for name, has_feature in features.items():
        indices = [sorted(rng.choice(np.arange(2, length), 5, False).tolist()) for _ in range(n)]
        indices[3] = []  # a row without a label
        columns[f"{name}|probe_indices"] = indices
        columns[f"{name}|probe_classes"] = [
            [1 if has_feature(row, i) else -1 for i in row_indices]
            for row, row_indices in enumerate(indices)
        ]
    return columns


def text_features():
    n, length = 12, 16
    texts = [sentence(i) * (1 + i % 2) for i in range(n)]
    tokens = [[EOS] + padded(encode(text), length - 1, PAD) for text in texts]
    piece = lambda row, i: tokenizer.decode([tokens[row][i]])
    columns = {"text": texts, "all_tokens": [encode(text) for text in texts], "tokens": tokens}
    features = {
        "contains_digit": lambda row, i: any(c.isdigit() for c in piece(row, i)),
        "leading_capital": lambda row, i: piece(row, i).strip()[:1].isupper(),
    }
    columns = with_features(columns, features, n, length)
    save("text_features.demo.16.-1", columns, num_shards=2)


def programming_lang_id():
    n, length = 12, 16
    texts = [["int x = {};", "def f(x): return {}", "<p>number {}</p>"][i % 3] for i in range(n)]
    texts = [text.format(i) * 3 for i, text in enumerate(texts)]
    tokens = [[EOS] + padded(encode(text), length - 1, PAD) for text in texts]
    columns = {
        "text": texts,
        "lang": [["C", "Python", "HTML"][i % 3] for i in range(n)],
        "tokens": tokens,
        "class_ids": [[2, 8, 4][i % 3] for i in range(n)],
        "probe_indices": [sorted(rng.choice(np.arange(4, 14), 2, False).tolist()) for _ in texts],
        "valid_indices": [list(range(4, 14)) for _ in texts],
    }
    save("programming_lang_id.demo.16.-1", columns)


def distribution_id():
    n, length = 6, 12
    names = ["wikipedia", "github"]
    columns = {
        "distribution": [names[i % 2] for i in range(n)],
        "tokens": [[EOS] + padded(encode(sentence(i) * 2), length - 1, PAD) for i in range(n)],
        "probe_indices": [sorted(rng.choice(np.arange(3, 11), 2, False).tolist()) for _ in range(n)],
        "valid_indices": [list(range(3, 11)) for _ in range(n)],
    }
    save("distribution_id.demo.12.-1", columns)


def compound_words():
    length = 12
    rows = {"tokens": [], "label": [], "feature_name": []}
    for first, second in [("high", "school"), ("living", "room")]:
        kinds = {
            "bigram": f" {first} {second}",
            "missing_first": f" my {second}",
            "missing_second": f" {first} up",
        }
        for i in range(18):
            kind = list(kinds)[i % 3]
            before = [EOS] if i == 4 else []  # two documents in one window
            end = encode(kinds[kind])
            start = encode(sentence(i) + sentence(i + 1))[-(length - len(end) - len(before)) :]
            rows["tokens"].append(start[:3] + before + start[3:] + end)
            rows["label"].append(kind)
            rows["feature_name"].append(f"{first}-{second}")
    save("compound_words.demo.12.-1", rows)


def counterfact():
    length, n = 14, 5
    columns = {name: [] for name in [
        "relation_id", "text", "text_true", "subject_start", "subject_end",
        "target_start", "target_end", "tokens",
    ]}
    for i in range(n):
        for end, is_true in [(" sun", True), (" house", False)]:
            prompt = f"The {WHO[i].split()[-1]} likes the"
            tokens = [EOS] + encode(prompt + end)
            columns["relation_id"].append(f"P{i % 2}")
            columns["text"].append(prompt + end)
            columns["text_true"].append(is_true)
            columns["subject_start"].append(1)
            columns["subject_end"].append(3)
            columns["target_start"].append(1 + len(encode(prompt)))
            columns["target_end"].append(len(tokens))
            columns["tokens"].append(padded(tokens, length, EOS))
    save("counterfact.demo.14.-1", columns)


def ewt():
    n, length = 10, 16
    tokens = [padded([EOS] + encode(sentence(i)), length, EOS) for i in range(n)]
    n_real = [len(encode(sentence(i))) + 1 for i in range(n)]
    columns = {
        "upos": [[int(token % 4) for token in row] for row in tokens],
        "tokens": tokens,
        "doc_id": [f"weblog-{i // 2}" for i in range(n)],
        "split": ["train"] * n,
        "position": [list(range(length)) for _ in range(n)],
    }
    features = {
        "upos_NOUN": lambda row, i: tokens[row][i] % 4 == 1,
        "dep_acl:relcl": lambda row, i: i % 2 == 0,
    }
    columns = with_features(columns, features, n, min(n_real))
    save("ewt.demo.16.-1", columns)


def wikidata():
    length, n = 16, 10
    columns = {name: [] for name in [
        "name", "text", "tokens", "name_index_start", "name_index_end",
        "surname_index_start", "surname_index_end", "class",
    ]}
    for i in range(n):
        name = f"{['Tom', 'Mia', 'Sam'][i % 3]} {['King', 'Green', 'Hill', 'Stone', 'Bird'][i // 2]}"
        before, surname = encode(sentence(i))[:6], encode(" " + name.split()[1])
        tokens = [EOS] + before + encode(" " + name.split()[0]) + surname
        columns["name"].append(name)
        columns["name_index_start"].append(7)
        columns["name_index_end"].append(len(tokens) - 1)
        columns["surname_index_start"].append(len(tokens) - len(surname))
        columns["surname_index_end"].append(len(tokens) - 1)
        columns["class"].append(["true", "false"][i % 2])
        columns["tokens"].append(padded(tokens, length, EOS))
        columns["text"].append(tokenizer.decode(columns["tokens"][-1][1:], skip_special_tokens=False))
    save("wikidata_is_alive.demo.16.-1", columns)


def latex():
    length, n = 14, 4
    texts = [f"title: a big day\nwe have $x_{{{i}}}$ and x^{{2}} and some more of it all" for i in range(n)]
    tokens = np.array([[EOS] + encode(text)[: length - 1] for text in texts], dtype=np.int32)
    columns = with_features({"tokens": tokens}, {"is_math": lambda row, i: i % 3 == 0}, n, length)
    columns["is_math|valid_indices"] = [[i % 3 == 0 for i in range(length)]] * n
    save("latex.demo.14.-1", columns)


def position():
    length, n = 6, 2
    columns = {
        "tokens": [encode(sentence(i))[:length] for i in range(n)],
        "abs_pos": [[float(i) for i in range(length)]] * n,
        "index_mask": [[i == 2 for i in range(length)]] * n,
    }
    save("position.demo.6.-1", columns)


def module(name, **members):
    """Stands in for a library that only the makers need."""
    sys.modules[name] = types.ModuleType(name)
    vars(sys.modules[name]).update(members)


def expected():
    """What the code of the paper makes of the folders."""
    module("numba", jit=lambda **_: lambda function: function)
    module("spacy_alignments")
    module("transformer_lens", utils=None, HookedTransformer=None)
    module("transformer_lens.utils", tokenize_and_concatenate=None)
    os.environ["FEATURE_DATASET_DIR"] = str(FOLDER)
    os.environ.setdefault("HF_DATASETS_CACHE", ".")
    sys.path.insert(0, sys.argv[2])
    # A column was a tensor or a list before `datasets` 4.
    get = datasets.Dataset.__getitem__
    datasets.Dataset.__getitem__ = lambda self, key: (
        get(self, slice(None))[key] if isinstance(key, str) else get(self, key)
    )
    import config
    from probing_datasets import counterfact, distribution_id, ewt, language_id, latex, ngrams
    from probing_datasets import token_supervised, wikidata

    compounds = [("high", "school"), ("living", "room")]
    families = {
        "text_features": token_supervised.PlainTextFeatureDataset("text_features", []),
        "programming_lang_id": language_id.LanguageIDFeatureDataset("", language_id.CODE_LANGS),
        "distribution_id": distribution_id.DataDistributionIDFeatureDataset(
            "", distribution_id.DATASET_SPLITS
        ),
        "compound_words": ngrams.BigramFeatureDataset("", compounds),
        "counterfact": counterfact.CounterfactFeatureDataset(),
        "ewt": ewt.LinguisticFeatureDataset("ewt"),
        "wikidata_is_alive": wikidata.WikidataFeatureDataset(),
        "latex": latex.LatexFeatureDataset(),
    }
    found = {}
    for folder in sorted(FOLDER.glob("*.demo.*")):
        family = folder.name.partition(".")[0]
        if family not in families:
            continue
        args = {"feature_dataset": folder.name}
        read = lambda **more: families[family].prepare_dataset(
            config.ExperimentConfig({**args, **more}, config.parse_dataset_args(folder.name))
        )
        dataset, features = read()
        length = len(dataset[0]["tokens"])
        places = {}
        for name, (indices, classes) in features.items():
            rows = [divmod(int(index), length) for index in indices]
            if family == "programming_lang_id":
                # Of these the paper's code gives the first classes to the first row, as many as
                # it has tokens, and not as many as are asked about.
                classes = [1 if dataset["lang"][row] == name else -1 for row, _ in rows]
            assert len(rows) == len(classes)
            places[name] = [[*place, int(c)] for place, c in zip(rows, classes)]
        found[folder.name] = {"places": places}
        if family in ("programming_lang_id", "distribution_id", "wikidata_is_alive"):
            _, features = read(activation_aggregation="mean")
            found[folder.name]["texts"] = {
                name: [int(c) for c in classes] for name, (_, classes) in features.items()
            }
        found[folder.name]["pieces"] = [
            [tokenizer.decode([int(i)]) if 0 < i < PAD else "" for i in row["tokens"]]
            for row in dataset
        ]
    return found


FOLDER.mkdir(exist_ok=True)
for make in [
    text_features, programming_lang_id, distribution_id, compound_words, counterfact, ewt, wikidata,
    latex, position,
]:
    make()
found = {"datasets": datasets.__version__, **expected()}
(FOLDER / "expected.json").write_text(json.dumps(found, separators=(",", ":")) + "\n")
