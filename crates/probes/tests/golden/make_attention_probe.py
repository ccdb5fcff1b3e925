"""Writes the golden values of the attention probe, or checks a saved probe against PyTorch.

    python make_attention_probe.py                 writes attention_probe.npz beside this file
    python make_attention_probe.py --check FILE    loads a saved probe and its io file, compares

The module below is the mathematics of EleutherAI/attention-probes with its parameter names:
values are made per token and then summed, the slow way that the Rust code must agree with.

FILE is a state file as the probes crate saves it (`*_state.npz`). Beside it lies an io file
(`*_io.npz`) with `x`, `mask` (1 = real token), `position`, and the `logits` that Rust computed.
"""

import json
import pathlib
import sys

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

D_MODEL, BATCH, POS, N_STEPS = 12, 6, 7, 5
LEARNING_RATE, WEIGHT_DECAY = 1e-2, 1e-1


class NaiveAttentionProbe(nn.Module):
    def __init__(self, d_model, n_classes, n_heads, hidden_dim):
        super().__init__()
        n_out = 1 if n_classes <= 2 else n_classes
        self.n_heads = n_heads
        self.q = nn.Linear(d_model, n_heads, bias=False)
        self.v = nn.Linear(d_model, n_heads * (hidden_dim or n_out))
        self.position_weight = nn.Parameter(torch.zeros(n_heads))
        self.o = nn.Linear(hidden_dim, n_out) if hidden_dim else None

    def forward(self, x, mask, position):
        scores = self.q(x) + position.unsqueeze(-1) * self.position_weight
        scores = scores - 1e9 * (1.0 - mask).unsqueeze(-1)
        pattern = scores.softmax(dim=1)
        batch, pos, _ = x.shape
        value = self.v(x).reshape(batch, pos, self.n_heads, -1)
        z = torch.einsum("bph,bphk->bk", pattern, value)
        return z if self.o is None else self.o(z.relu())


def loss_of(logits, labels):
    if logits.shape[1] == 1:
        return F.binary_cross_entropy_with_logits(logits[:, 0], labels.float())
    return F.cross_entropy(logits, labels)


def ragged_mask():
    """Both padding sides, a full row, and a row of one token."""
    mask = torch.ones(BATCH, POS)
    for row, (start, length) in enumerate([(0, 7), (0, 3), (4, 3), (0, 1), (6, 1), (0, 5)]):
        mask[row] = 0.0
        mask[row, start : start + length] = 1.0
    return mask


def make(path):
    generator = torch.Generator().manual_seed(7)
    draw = lambda *shape: torch.randn(*shape, generator=generator)  # noqa: E731
    arrays, cases = {}, []
    for n_heads in (1, 3):
        for hidden_dim in (0, 8):
            for n_classes in (2, 4):
                name = f"h{n_heads}_k{hidden_dim}_c{n_classes}"
                probe = NaiveAttentionProbe(D_MODEL, n_classes, n_heads, hidden_dim)
                with torch.no_grad():
                    for parameter in probe.parameters():
                        parameter.copy_(0.4 * draw(*parameter.shape))
                x = draw(BATCH, POS, D_MODEL)
                mask = ragged_mask()
                position = (mask.cumsum(1) - 1.0).clamp(min=0.0) * mask
                labels = torch.arange(BATCH) % n_classes

                arrays |= {f"{name}/x": x.numpy(), f"{name}/mask": mask.numpy()}
                arrays[f"{name}/labels"] = labels.numpy().astype(np.int64)
                for key, value in probe.state_dict().items():
                    arrays[f"{name}/state/{key}"] = value.numpy().copy()
                logits = probe(x, mask, position)
                arrays[f"{name}/logits"] = logits.detach().numpy()
                loss_of(logits, labels).backward()
                for key, value in probe.named_parameters():
                    arrays[f"{name}/grad/{key}"] = value.grad.numpy().copy()

                optimizer = torch.optim.AdamW(
                    probe.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY
                )
                losses = []
                for _ in range(N_STEPS):
                    optimizer.zero_grad()
                    loss = loss_of(probe(x, mask, position), labels)
                    loss.backward()
                    optimizer.step()
                    losses.append(loss.item())
                arrays[f"{name}/losses"] = np.array(losses, dtype=np.float32)
                for key, value in probe.state_dict().items():
                    arrays[f"{name}/final/{key}"] = value.numpy().copy()
                cases.append(name)
    versions = {"torch": torch.__version__, "numpy": np.__version__, "cases": cases}
    arrays["versions"] = np.frombuffer(json.dumps(versions).encode(), dtype=np.uint8)
    np.savez_compressed(path, **arrays)
    print(f"{path}: {len(cases)} cases, {path.stat().st_size} bytes, torch {torch.__version__}")


def check(path):
    arrays = np.load(path)
    metadata = json.loads(arrays["metadata"].tobytes())
    config = metadata["config"]
    state = {key: torch.from_numpy(arrays[key]) for key in arrays.files if key != "metadata"}
    probe = NaiveAttentionProbe(
        config["d_model"], config["n_classes"], config["n_heads"], config["hidden_dim"] or 0
    )
    probe.load_state_dict(state)
    io = np.load(str(path).replace("_state.npz", "_io.npz"))
    with torch.no_grad():
        logits = probe(*(torch.from_numpy(io[key]) for key in ("x", "mask", "position")))
    difference = float(np.abs(logits.numpy() - io["logits"]).max())
    print(f"{path}: {sorted(state)}, largest difference of a logit {difference:.2e}")
    if not difference < 1e-5:
        sys.exit("the logits differ by 1e-5 or more")


if __name__ == "__main__":
    if len(sys.argv) == 3 and sys.argv[1] == "--check":
        check(pathlib.Path(sys.argv[2]))
    elif len(sys.argv) == 1:
        make(pathlib.Path(__file__).parent / "attention_probe.npz")
    else:
        sys.exit(__doc__)
