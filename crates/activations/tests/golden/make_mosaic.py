"""Writes `mosaic/`: activations as MOSAIC keeps them, and what they are without padding.

MOSAIC runs texts in batches padded to the longest, and saves every position of every text with
`numpy.savez_compressed`; the table names the files by the path they had when they were written.

    python make_mosaic.py          # needs numpy
"""

import csv
import json
import pathlib

import numpy as np

PAD = 0
TEXTS = [
    ("s0", "POSITIONAL|0:4:verb", [2, 11, 12]),
    ("s0", "POSITIONAL|5:9:noun", [2, 11, 12, 13, 14]),
    ("s1", "POSITIONAL|3:4:noun", [2, 15]),
]

folder = pathlib.Path(__file__).parent / "mosaic"
folder.mkdir(exist_ok=True)
rng = np.random.default_rng(0)
longest = max(len(ids) for _, _, ids in TEXTS)
expected, rows = [], []
for i, (sample, label, ids) in enumerate(TEXTS):
    hidden_state = rng.standard_normal((longest, 3)).astype(np.float16)
    padded = np.array(ids + [PAD] * (longest - len(ids)), dtype=np.int64)
    np.savez_compressed(folder / f"{i}.npz", hidden_state=hidden_state, input_ids=padded)
    rows.append([sample, label, f"./output/activations/tiny/{i}.npz"])
    expected.append(hidden_state[: len(ids)].astype(np.float32).ravel().tolist())
with open(folder / "google-gemma-2b_6_activations_metadata.csv", "w", newline="") as file:
    csv.writer(file).writerows([["sample_id", "label", "npz_file"], *rows])
(folder / "expected.json").write_text(json.dumps({"numpy": np.__version__, "x": expected}) + "\n")
