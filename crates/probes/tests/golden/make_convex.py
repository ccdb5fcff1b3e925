"""Writes scikit-learn's convex probes to convex.json beside this file.

    python make_convex.py

Features have far means and unequal scales, so that centring and scaling are put to the test; they
are rounded to float32, which is what the Rust code reads.
"""

import json
import pathlib

import numpy as np
import sklearn
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.preprocessing import StandardScaler

N, D = 90, 6
CS = [0.05, 1.0, 20.0]
ALPHAS = [0.1, 10.0, 1000.0]


def make_data(n_classes):
    rng = np.random.default_rng(n_classes)
    x = rng.standard_normal((N, D)) @ rng.standard_normal((D, D))
    x = x * [1.0, 10.0, 0.1, 1.0, 2.0, 0.5] + [0.0, 300.0, -2.0, 5.0, 0.0, 1.0]
    x = x.astype(np.float32)
    score = (x - x.mean(0)) / x.std(0) @ rng.standard_normal((D, n_classes))
    score = score + rng.gumbel(size=score.shape)
    return x, score.argmax(1), score


def solved(x, labels, weights, c, scaler=None):
    """Weights and bias for the raw features, and the objective, at the true minimum."""
    model = LogisticRegression(C=c, solver="lbfgs", tol=1e-13, max_iter=1_000_000)
    x64 = x.astype(np.float64)
    # lbfgs sees standardised features only where those are what is penalised.
    z = scaler.fit_transform(x64) if scaler else x64 - x64.mean(0)
    model.fit(z, labels, sample_weight=weights)
    logits = z @ model.coef_.T + model.intercept_
    if logits.shape[1] == 1:
        losses = np.logaddexp(0.0, np.where(labels == 1, -1.0, 1.0) * logits[:, 0])
    else:
        losses = np.logaddexp.reduce(logits, axis=1) - logits[np.arange(N), labels]
    objective = (weights * losses).sum() + (model.coef_**2).sum() / (2.0 * c)
    return {
        "penalty": 1.0 / c,
        "logits": logits.ravel().tolist(),
        "objective": float(objective),
    }


def logistic(n_classes):
    x, labels, _ = make_data(n_classes)
    weights = 0.5 + np.arange(N) % 3
    return {
        "n_classes": n_classes,
        "x": x.astype(float).ravel().tolist(),
        "labels": labels.tolist(),
        "weights": weights.tolist(),
        "raw": [solved(x, labels, weights, c) for c in CS],
        "standardized": [solved(x, labels, np.ones(N), c, StandardScaler()) for c in CS],
    }


def discriminant(n_classes):
    x, labels, _ = make_data(n_classes)
    x64 = x.astype(np.float64)
    cases = []
    for shrinkage in [0.0, 0.3, "auto"]:
        model = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
        logits = model.fit(x64, labels).decision_function(x64)
        shrinkage = None if shrinkage == "auto" else shrinkage
        cases.append({"shrinkage": shrinkage, "logits": logits.ravel().tolist()})
    return {
        "n_classes": n_classes,
        "x": x.astype(float).ravel().tolist(),
        "labels": labels.tolist(),
        "cases": cases,
    }


def ridge():
    x, _, targets = make_data(2)
    targets = targets.astype(np.float32).astype(np.float64)
    x64 = x.astype(np.float64)

    def case(alpha, z_of):
        z = z_of(x64)
        model = Ridge(alpha=alpha, solver="svd").fit(z, targets)
        residuals = np.empty_like(targets)
        for i in range(N):
            rest = np.arange(N) != i
            left = Ridge(alpha=alpha, solver="svd").fit(z[rest], targets[rest])
            residuals[i] = targets[i] - left.predict(z[i : i + 1])[0]
        total = ((targets - targets.mean(0)) ** 2).sum(0)
        return {
            "penalty": alpha,
            "predictions": model.predict(z).ravel().tolist(),
            "leave_one_out_r_squared": (1.0 - (residuals**2).sum(0) / total).tolist(),
        }

    scaled = StandardScaler().fit(x64).transform
    return {
        "x": x.astype(float).ravel().tolist(),
        "targets": targets.ravel().tolist(),
        "raw": [case(alpha, lambda z: z) for alpha in ALPHAS],
        "standardized": [case(alpha, scaled) for alpha in ALPHAS],
    }


def rounded(value):
    """Ten digits are more than float32 arithmetic is compared to."""
    if isinstance(value, dict):
        return {key: rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [rounded(item) for item in value]
    return float(f"{value:.10g}") if isinstance(value, float) else value


golden = {
    "versions": {"numpy": np.__version__, "scikit-learn": sklearn.__version__},
    "d_model": D,
    "logistic": [logistic(2), logistic(3)],
    "discriminant": [discriminant(2), discriminant(3)],
    "ridge": ridge(),
}
path = pathlib.Path(__file__).with_name("convex.json")
path.write_text(json.dumps(rounded(golden)) + "\n")
