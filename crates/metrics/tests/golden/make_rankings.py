"""Writes rankings.json: logits beyond what a probability resolves, and how scikit-learn ranks them.

Run it as `python make_rankings.py`, with numpy, scipy, and scikit-learn installed.
"""

import json
import platform
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy.special import logsumexp
from sklearn import metrics


def tpr_at_fpr(labels, scores, max_fpr):
    """Highest rate on the full ROC curve at or below `max_fpr`."""
    fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    return float(tpr[fpr <= max_fpr].max())


def log_odds(logits):
    """`z_c - logsumexp(z of the others)` of every class."""
    columns = range(logits.shape[1])
    others = [logsumexp(np.delete(logits, c, axis=1), axis=1) for c in columns]
    return logits - np.stack(others, axis=1)


def binary_case(name, logits, labels):
    """Two classes, by the logit of class 1."""
    return {
        "name": name,
        "n_classes": 2,
        "labels": labels.tolist(),
        "logits": logits.tolist(),
        "expected": {
            "auroc": metrics.roc_auc_score(labels, logits),
            "average_precision": metrics.average_precision_score(labels, logits),
            "tpr_at_1_percent_fpr": tpr_at_fpr(labels, logits, 0.01),
            "tpr_at_5_percent_fpr": tpr_at_fpr(labels, logits, 0.05),
        },
    }


def multiclass_case(name, logits, labels):
    """More classes: the mean of each against the rest."""
    scores = log_odds(logits)
    areas = [metrics.roc_auc_score(labels == c, scores[:, c]) for c in range(logits.shape[1])]
    return {
        "name": name,
        "n_classes": logits.shape[1],
        "labels": labels.tolist(),
        "logits": logits.ravel().tolist(),
        "log_odds": scores.ravel().round(9).tolist(),
        "expected": {"auroc": float(np.mean(areas))},
    }


def main():
    """Writes the file beside this script."""
    rng = np.random.default_rng(17)

    def binary(name, centre, spread, gap):
        labels = (rng.random(200) < 0.5).astype(int)
        logits = centre + spread * rng.normal(size=200) + gap * labels
        return binary_case(name, logits.round(3), labels)

    def multiclass(name, n_classes, spread):
        labels = np.concatenate([np.arange(n_classes), rng.integers(0, n_classes, 40)])
        logits = rng.normal(size=(len(labels), n_classes)) + 1.2 * np.eye(n_classes)[labels]
        logits = (spread * logits).round(3)
        return multiclass_case(name, logits, labels)

    cases = [
        binary("plain", 0.0, 1.0, 1.0),
        binary("all beyond 36.7", 75.0, 8.0, 10.0),
        binary("both ends", 0.0, 60.0, 50.0),
        binary("beyond the exponential", 2000.0, 900.0, 700.0),
        multiclass("three plain classes", 3, 1.0),
        multiclass("five sure classes", 5, 60.0),
        multiclass("twelve very sure classes", 12, 2000.0),
    ]
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
    }
    path = Path(__file__).with_name("rankings.json")
    path.write_text(json.dumps({"versions": versions, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
