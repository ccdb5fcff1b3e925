"""Prints what the defaults find beside references that choose on the same validation side.

    python3 table.py FOLDER

FOLDER holds what the Rust program beside this file wrote. Needs NumPy and scikit-learn.
"""
import json
import pathlib
import sys
import warnings

import numpy
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, log_loss

# What the mean over data sets and seeds, and what each data set, may be below the reference.
MEAN, EACH = 0.01, 0.03
# Largest difference of the training loss of a linear probe from that of scikit-learn, in nats.
LOSS = 1e-4


def scikit_learn(path, decays):
    """Test score of the penalty that validation chooses, and the training loss of each penalty."""
    arrays = numpy.load(path)
    x, y, weight, side = (arrays[key] for key in ("x", "y", "weight", "side"))
    train, validation, test = (side == number for number in range(3))
    losses, best = {}, None
    for decay in decays:
        penalty = decay * weight[train].sum()
        model = LogisticRegression(C=1 / penalty, tol=1e-6, max_iter=20_000)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit(x[train].astype("f8"), y[train], sample_weight=weight[train])
        probabilities = model.predict_proba(x[train].astype("f8"))
        losses[decay] = log_loss(y[train], probabilities, sample_weight=weight[train])
        chosen_by = (
            balanced_accuracy_score(y[validation], model.predict(x[validation])),
            -log_loss(
                y[validation],
                model.predict_proba(x[validation]),
                sample_weight=weight[validation],
                labels=model.classes_,
            ),
        )
        if best is None or chosen_by > best[0]:
            best = chosen_by, balanced_accuracy_score(y[test], model.predict(x[test]))
    return best[1], losses


def lines(path):
    """The lines of a JSON Lines file."""
    return list(map(json.loads, path.read_text().splitlines()))


def key(cell):
    """What names a cell."""
    return tuple(cell[name] for name in ("model", "data", "kind", "seed"))


def cells_of(folder):
    """Every cell with its reference, and the largest difference of a loss from scikit-learn's."""
    cache = folder / "scikit_learn.jsonl"
    known = {}
    if cache.exists():
        known = {line["name"]: line for line in lines(cache)}
    references = {key(cell): cell["found"] for cell in lines(folder / "references.jsonl")}
    cells, largest = [], 0.0
    for cell in lines(folder / "defaults.jsonl"):
        found = cell["found"]
        found["reference"] = references[key(cell)]
        if "losses" in found:
            name = f"{cell['model']}-{cell['data']}-{cell['seed']}"
            if name not in known:
                decays = [decay for decay, *_ in found["losses"]]
                score, losses = scikit_learn(folder / found["reference"]["arrays"], decays)
                known[name] = {"name": name, "test": score, "losses": list(losses.items())}
                with open(cache, "a") as file:
                    file.write(json.dumps(known[name]) + "\n")
            for (_, loss, converged), (_, expected) in zip(found["losses"], known[name]["losses"]):
                if converged:
                    largest = max(largest, abs(loss - expected))
            found["reference"] = known[name]
        cells.append(cell)
    return cells, largest


def main():
    cells, largest = cells_of(pathlib.Path(sys.argv[1]))
    data = list(dict.fromkeys(cell["data"] for cell in cells))
    rows = list(dict.fromkeys((cell["model"], cell["kind"]) for cell in cells))
    print("| model | probe | " + " | ".join(data) + " | mean |")
    print("|---|---|" + "---|" * (len(data) + 1))
    misses = []
    for model, kind in rows:
        differences, row = [], []
        for name in data:
            of_cell = [
                cell["found"]
                for cell in cells
                if (cell["model"], cell["kind"], cell["data"]) == (model, kind, name)
            ]
            if not of_cell:
                row.append("-")
                continue
            ours = numpy.mean([cell["test"] for cell in of_cell])
            difference = ours - numpy.mean([cell["reference"]["test"] for cell in of_cell])
            differences.append(difference)
            row.append(f"{ours:.3f} ({difference:+.3f})")
            if difference < -EACH:
                misses.append(f"{model} {kind} {name}: {difference:+.3f}")
        mean = numpy.mean(differences)
        print(f"| {model} | {kind} | " + " | ".join(row) + f" | {mean:+.3f} |")
        if mean < -MEAN:
            misses.append(f"{model} {kind}, mean: {mean:+.3f}")
    seeds = len({cell["seed"] for cell in cells})
    print(f"\nSeeds: {seeds}. Largest difference of a training loss of `linear` from scikit-learn's: {largest:.1e}.")
    if largest > LOSS:
        misses.append(f"training loss of linear: {largest:.1e}")
    for miss in misses:
        print(f"missed: {miss}")
    sys.exit(bool(misses))


if __name__ == "__main__":
    main()
