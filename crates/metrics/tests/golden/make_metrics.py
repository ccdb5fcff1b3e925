"""Writes metrics.json: inputs, and what scikit-learn and SciPy make of them.

Run it as `python make_metrics.py`, with numpy, scipy, and scikit-learn installed.
"""

import json
import platform
import warnings
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn import metrics

warnings.filterwarnings("ignore")


def tpr_at_fpr(labels, scores, max_fpr):
    """Highest rate on the full ROC curve at or below `max_fpr`."""
    fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    return float(tpr[fpr <= max_fpr].max())


def ece(confidences, correct, n_bins):
    """Equal-width bins, each open at its lower edge, as Guo et al. (2017)."""
    bins = np.clip(np.ceil(confidences * n_bins).astype(int), 1, n_bins)
    return float(
        sum(
            (bins == b).mean() * abs(correct[bins == b].mean() - confidences[bins == b].mean())
            for b in np.unique(bins)
        )
    )


def case(name, labels, probabilities):
    """One set of examples with every metric of it."""
    n_classes = probabilities.shape[1]
    binary = n_classes == 2
    predictions = (probabilities[:, 1] >= 0.5).astype(int) if binary else probabilities.argmax(1)
    classes = list(range(n_classes))
    both = len(set(labels.tolist())) > 1
    average = "binary" if binary else "macro"
    confidences = probabilities[np.arange(len(labels)), predictions]
    expected = {
        "confusion": metrics.confusion_matrix(labels, predictions, labels=classes).tolist(),
        "accuracy": metrics.accuracy_score(labels, predictions),
        "balanced_accuracy": metrics.balanced_accuracy_score(labels, predictions),
        "f1": metrics.f1_score(labels, predictions, average=average, zero_division=0),
        "mcc": metrics.matthews_corrcoef(labels, predictions),
        "log_loss": metrics.log_loss(labels, probabilities, labels=classes),
        "ece": ece(confidences, predictions == labels, 15),
        "brier": float(
            ((probabilities[:, 1] - labels) ** 2).mean()
            if binary
            else ((probabilities - np.eye(n_classes)[labels]) ** 2).sum(1).mean()
        ),
    }
    if binary:
        scores = probabilities[:, 1]
        expected["precision"] = metrics.precision_score(labels, predictions, zero_division=0)
        expected["recall"] = metrics.recall_score(labels, predictions, zero_division=0)
        expected["auroc"] = metrics.roc_auc_score(labels, scores) if both else None
        expected["average_precision"] = (
            metrics.average_precision_score(labels, scores) if both else None
        )
        expected["tpr_at_1_percent_fpr"] = tpr_at_fpr(labels, scores, 0.01) if both else None
        expected["tpr_at_5_percent_fpr"] = tpr_at_fpr(labels, scores, 0.05) if both else None
    else:
        expected["auroc"] = metrics.roc_auc_score(labels, probabilities, multi_class="ovr")
    interval = stats.binomtest(int((predictions == labels).sum()), len(labels)).proportion_ci(
        0.95, method="wilson"
    )
    expected["accuracy_interval"] = [float(interval.low), float(interval.high)]
    return {
        "name": name,
        "n_classes": n_classes,
        "labels": labels.tolist(),
        "probabilities": probabilities.ravel().tolist(),
        "expected": expected,
    }


def binary_case(name, rng, n, share, digits):
    """Two classes, the positive one with probability `share`, scores of so many digits."""
    labels = (rng.random(n) < share).astype(int)
    labels[:2] = [0, 1]
    positive = 1 / (1 + np.exp(-(rng.normal(size=n) + 1.5 * labels - 0.7)))
    positive = positive.round(digits)
    return case(name, labels, np.stack([1 - positive, positive], 1))


def multiclass_case(name, rng, n, n_classes):
    """Several classes, each at least once."""
    labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)])
    logits = rng.normal(size=(n, n_classes)) + 1.2 * np.eye(n_classes)[labels]
    probabilities = np.exp(logits.round(3))
    return case(name, labels, probabilities / probabilities.sum(1, keepdims=True))


def main():
    """Writes the file beside this script."""
    rng = np.random.default_rng(0)
    certain = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0]])
    cases = [
        binary_case("balanced", rng, 60, 0.5, 6),
        binary_case("imbalanced", rng, 80, 0.1, 6),
        binary_case("tied scores", rng, 60, 0.5, 1),
        case("certain and wrong", np.array([0, 1, 1, 0]), certain),
        case("one class", np.array([1, 1, 1]), np.array([[0.2, 0.8], [0.7, 0.3], [0.4, 0.6]])),
        multiclass_case("three classes", rng, 40, 3),
        multiclass_case("seven classes", rng, 30, 7),
    ]
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
    }
    path = Path(__file__).with_name("metrics.json")
    path.write_text(json.dumps({"versions": versions, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
