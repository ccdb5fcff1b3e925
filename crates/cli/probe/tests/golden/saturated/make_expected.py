"""Writes expected.json: how scikit-learn ranks the rows of shifted.npz and wide.npz.

Both files were drawn once with NumPy: 400 rows of one number, which a probe of weight 1 and bias 0
hands on as the logit. Those of shifted.npz lie from 47 to 106, where every probability in f64 is 1;
those of wide.npz from -191 to 188.

Run it as `python make_expected.py`, with numpy and scikit-learn installed.
"""

import json
import platform
from pathlib import Path

import numpy as np
import sklearn
from sklearn import metrics


def tpr_at_fpr(labels, scores, max_fpr):
    """Highest rate on the full ROC curve at or below `max_fpr`."""
    fpr, tpr, _ = metrics.roc_curve(labels, scores, drop_intermediate=False)
    return float(tpr[fpr <= max_fpr].max())


def ranking(path):
    """What ranks the rows of a file."""
    with np.load(path) as arrays:
        labels, logits = arrays["y"], arrays["x"].ravel().astype(float)
    return {
        "auroc": metrics.roc_auc_score(labels, logits),
        "average_precision": metrics.average_precision_score(labels, logits),
        "tpr_at_1_percent_fpr": tpr_at_fpr(labels, logits, 0.01),
        "tpr_at_5_percent_fpr": tpr_at_fpr(labels, logits, 0.05),
    }


def main():
    """Writes the file beside this script."""
    folder = Path(__file__).parent
    versions = {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scikit-learn": sklearn.__version__,
    }
    files = {name: ranking(folder / f"{name}.npz") for name in ["shifted", "wide"]}
    (folder / "expected.json").write_text(json.dumps({"versions": versions, **files}) + "\n")


if __name__ == "__main__":
    main()
