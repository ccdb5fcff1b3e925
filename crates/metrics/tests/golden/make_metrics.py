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
from scipy import optimize, special, stats
from sklearn import metrics
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression

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


def exact_intervals():
    """Clopper-Pearson intervals: successes, n, level, lower, upper."""
    rows = []
    for successes, n in [(0, 1), (1, 1), (0, 30), (3, 30), (29, 30), (50, 1000), (7, 1_000_000)]:
        for level in [0.5, 0.95, 0.999]:
            interval = stats.binomtest(successes, n).proportion_ci(level, method="exact")
            rows.append([successes, n, level, float(interval.low), float(interval.high)])
    return rows


def t_intervals(rng):
    """Values of some seeds, level, mean, standard deviation, lower, upper."""
    rows = []
    for n_seeds, level in [(2, 0.95), (3, 0.2), (5, 0.99), (40, 0.95)]:
        values = (0.8 + 0.05 * rng.normal(size=n_seeds)).round(4)
        mean, std = values.mean(), values.std(ddof=1)
        lower, upper = stats.t.interval(level, n_seeds - 1, mean, std / np.sqrt(n_seeds))
        rows.append([values.tolist(), level, mean, std, float(lower), float(upper)])
    return rows


def thresholds():
    """Order statistics of n negatives: n, target, confidence, negatives above the threshold.

    The rank of Tong, Feng and Li (2018) by trying every one with SciPy's binomial distribution.
    """
    rows = []
    for n, target, confidence in [(59, 0.05, 0.95), (500, 0.01, 0.9), (2000, 0.1, 0.999)]:
        ranks = np.arange(1, n + 1)
        kept = stats.binom.cdf(ranks - 1, n, target) <= 1 - confidence
        rows.append([n, target, confidence, int(ranks[kept].max()) - 1])
    return rows


def temperature(logits, labels):
    """The root of the loss's slope over the logarithm of the inverse temperature."""

    def slope(ln):
        p = special.softmax(np.exp(ln) * logits, axis=1)
        return ((p * logits).sum(1) - logits[np.arange(len(labels)), labels]).sum()

    return float(np.exp(-optimize.brentq(slope, -20, 20, xtol=1e-15, rtol=1e-14)))


def equal_mass(confidences, correct, n_bins):
    """Calibration error over bins by the number of smaller confidences."""
    n = len(confidences)
    bins = (confidences[:, None] > confidences[None, :]).sum(1) * n_bins // n
    return float(
        sum(
            (bins == b).mean() * abs(correct[bins == b].mean() - confidences[bins == b].mean())
            for b in np.unique(bins)
        )
    )


def calibrators(rng):
    """Logits of two classes, and what each calibrator makes of others."""
    cases = []
    for n, digits in [(40, 4), (60, 0)]:
        labels = (rng.random(n) < 0.4).astype(int)
        logits = (3 * (rng.normal(size=n) + labels)).round(digits) + 0.0
        at = np.concatenate([np.linspace(-12, 15, 19), logits[:5]])
        isotonic = IsotonicRegression(out_of_bounds="clip").fit(logits, labels)
        # Each example once as positive and once as negative, weighted by Lin's targets.
        positives = labels.sum()
        targets = np.where(labels, (positives + 1) / (positives + 2), 1 / (n - positives + 2))
        platt = LogisticRegression(C=np.inf, tol=1e-14, max_iter=1000, solver="newton-cholesky")
        platt.fit(
            np.tile(logits, 2)[:, None],
            np.repeat([1, 0], n),
            sample_weight=np.concatenate([targets, 1 - targets]),
        )
        binary = temperature(np.stack([0 * logits, logits], 1), labels)
        p = special.expit(logits)
        confidences, correct = np.maximum(p, 1 - p), (p >= 0.5) == labels
        cases.append(
            {
                "logits": logits.tolist(),
                "labels": labels.astype(bool).tolist(),
                "at": at.tolist(),
                "temperature": binary,
                "platt": [float(platt.coef_[0, 0]), float(platt.intercept_[0])],
                "isotonic": isotonic.predict(at).tolist(),
                "ece_equal_mass": equal_mass(confidences, correct, 15),
            }
        )
    return cases


def multiclass_temperature(rng):
    """Logits of four classes with their temperature."""
    labels = rng.integers(0, 4, 30)
    logits = (2 * rng.normal(size=(30, 4)) + 3 * np.eye(4)[labels]).round(3)
    return {
        "logits": logits.ravel().tolist(),
        "labels": labels.tolist(),
        "temperature": temperature(logits, labels),
    }


def without_straight_points(x, y, numbers):
    """Corners of a polyline, exact where the numbers are whole."""
    kept = []
    for point in zip(x, y, numbers):
        while len(kept) > 1 and np.isclose(
            (kept[-1][0] - kept[-2][0]) * (point[1] - kept[-2][1]),
            (point[0] - kept[-2][0]) * (kept[-1][1] - kept[-2][1]),
            rtol=0,
            atol=1e-12,
        ):
            kept.pop()
        kept.append(point)
    return [[float(value) for value in point] for point in kept]


def curve(rng, digits):
    """Corners of both curves as rows of x, y, and threshold, that of the first point left out."""
    labels = (rng.random(50) < 0.4).astype(int)
    scores = (rng.normal(size=50) + labels).round(digits) + 0.0
    fpr, tpr, of_roc = metrics.roc_curve(labels, scores, drop_intermediate=False)
    precision, recall, of_pr = metrics.precision_recall_curve(labels, scores)
    of_roc[0] = 0
    of_pr = np.append(of_pr, 0)
    return {
        "labels": labels.astype(bool).tolist(),
        "scores": scores.tolist(),
        "roc": without_straight_points(fpr, tpr, of_roc),
        "precision_recall": without_straight_points(recall[::-1], precision[::-1], of_pr[::-1]),
    }


def regression(rng, digits):
    """Targets and predictions with every metric of them."""
    targets = (2 * rng.normal(size=40)).round(digits) + 0.0
    predictions = (0.7 * targets + rng.normal(size=40)).round(digits) + 0.0
    return {
        "targets": targets.tolist(),
        "predictions": predictions.tolist(),
        "expected": {
            "mean_squared_error": metrics.mean_squared_error(targets, predictions),
            "mean_absolute_error": metrics.mean_absolute_error(targets, predictions),
            "r_squared": metrics.r2_score(targets, predictions),
            "pearson": float(stats.pearsonr(targets, predictions)[0]),
            "spearman": float(stats.spearmanr(targets, predictions)[0]),
        },
    }


def multilabel(rng):
    """Four labels, the last of which no example has."""
    labels = rng.random((30, 4)) < [0.5, 0.2, 0.7, 0.0]
    scores = (rng.normal(size=(30, 4)) + labels).round(1) + 0.0
    predictions = scores >= 0.5
    some = slice(0, 3)
    area = metrics.roc_auc_score(labels[:, some], scores[:, some], average=None)
    precision = metrics.average_precision_score(labels[:, some], scores[:, some], average=None)
    return {
        "labels": labels.ravel().tolist(),
        "scores": scores.ravel().tolist(),
        "auroc": area.tolist() + [None],
        "average_precision": precision.tolist() + [None],
        "f1": metrics.f1_score(labels, predictions, average=None, zero_division=0).tolist(),
        "expected": {
            "macro_auroc": float(area.mean()),
            "mean_average_precision": float(precision.mean()),
            "micro_f1": metrics.f1_score(labels, predictions, average="micro"),
            "macro_f1": metrics.f1_score(labels, predictions, average="macro", zero_division=0),
            "subset_accuracy": metrics.accuracy_score(labels, predictions),
            "hamming_loss": metrics.hamming_loss(labels, predictions),
        },
    }


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
    rng = np.random.default_rng(1)
    others = {
        "clopper_pearson": exact_intervals(),
        "seed_summaries": t_intervals(rng),
        "thresholds": thresholds(),
        "calibrators": calibrators(rng),
        "multiclass_temperature": multiclass_temperature(rng),
        "curves": [curve(rng, 3), curve(rng, 0)],
        "regressions": [regression(rng, 3), regression(rng, 0)],
        "multilabel": multilabel(rng),
    }
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "scikit-learn": sklearn.__version__,
    }
    path = Path(__file__).with_name("metrics.json")
    path.write_text(json.dumps({"versions": versions, "cases": cases, **others}) + "\n")


if __name__ == "__main__":
    main()
