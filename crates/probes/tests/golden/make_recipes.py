"""Writes recipes.npz: a mean head on what an attention probe leaves over, and a mean probe.

    python make_recipes.py

The head minimises the mean loss of its logits plus those of the attention probe, with
weight_decay / 2 times the sum of the squares of every parameter, as EleutherAI/attention-probes
does with `ensemble_mean`; the mean probe does the same without the attention probe.
"""

import json
import pathlib

import numpy as np
import torch
from torch.nn import functional as F

D_MODEL, BATCH, POS, N_HEADS, WEIGHT_DECAY = 5, 24, 6, 2, 0.1


def loss_of(logits, labels):
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], labels.double())
    return F.cross_entropy(logits, labels)


def fit(pooled, labels, offsets):
    n_out = offsets.shape[1]
    weight = torch.zeros(n_out, pooled.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(n_out, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS(
        [weight, bias], line_search_fn="strong_wolfe", max_iter=5000, tolerance_grad=1e-10
    )

    def objective():
        squares = weight.pow(2).sum() + bias.pow(2).sum()
        return loss_of(pooled @ weight.T + bias + offsets, labels) + WEIGHT_DECAY / 2 * squares

    def closure():
        optimizer.zero_grad()
        loss = objective()
        loss.backward()
        return loss

    optimizer.step(closure)
    with torch.no_grad():
        return pooled @ weight.T + bias, objective()


def case(n_classes):
    generator = torch.Generator().manual_seed(n_classes)
    n_out = 1 if n_classes <= 2 else n_classes

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    labels = torch.arange(BATCH) % n_classes
    lengths = torch.randint(1, POS + 1, (BATCH,), generator=generator)
    mask = (torch.arange(POS)[None] < lengths[:, None]).float()
    x = normal(BATCH, POS, D_MODEL)
    x[:, :, 0] += labels[:, None]
    state = {
        "q.weight": normal(N_HEADS, D_MODEL),
        "v.weight": normal(N_HEADS * n_out, D_MODEL) / 2,
        "v.bias": normal(N_HEADS * n_out),
        "position_weight": normal(N_HEADS) / 4,
    }
    wide = {name: value.double() for name, value in state.items()}
    rows, seen = x.double(), mask.double()
    scores = rows @ wide["q.weight"].T + torch.arange(POS)[None, :, None] * wide["position_weight"]
    pattern = scores.masked_fill(seen[..., None] == 0, -torch.inf).softmax(dim=1)
    values = (rows @ wide["v.weight"].T + wide["v.bias"]).reshape(BATCH, POS, N_HEADS, n_out)
    attention = torch.einsum("bph,bphk->bk", pattern, values)
    pooled = (rows * seen[..., None]).sum(1) / seen.sum(1, keepdim=True)
    head, loss = fit(pooled, labels, attention)
    mean, _ = fit(pooled, labels, torch.zeros_like(attention))
    arrays = {"x": x, "mask": mask, "logits": attention + head, "mean_logits": mean}
    arrays["loss"] = loss.reshape(1)
    arrays |= {f"attention/{name}": value for name, value in state.items()}
    arrays = {name: value.float().numpy() for name, value in arrays.items()}
    return arrays | {"labels": labels.numpy()}


def main():
    arrays = {}
    for n_classes in [2, 3]:
        for name, value in case(n_classes).items():
            arrays[f"c{n_classes}/{name}"] = value
    versions = json.dumps({"torch": torch.__version__, "numpy": np.__version__})
    arrays["versions"] = np.frombuffer(versions.encode(), dtype=np.uint8)
    np.savez_compressed(pathlib.Path(__file__).with_name("recipes.npz"), **arrays)


if __name__ == "__main__":
    main()
