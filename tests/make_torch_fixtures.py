"""Writes tests/data/torch_trajectories.json: 50 full-batch steps of each torch.optim variant. To run it, install torch."""

import json
from pathlib import Path

import numpy as np

STEPS = 50
CASES = [
    ("SGD", 0.05, {}),
    ("SGD", 0.02, {"momentum": 0.9}),
    ("SGD", 0.02, {"momentum": 0.9, "nesterov": True}),
    ("Adagrad", 0.3, {}),
    ("Adagrad", 0.3, {"lr_decay": 0.1}),
    ("Adagrad", 0.3, {"initial_accumulator_value": 0.5}),
    ("Adagrad", 0.3, {"lr_decay": 0.05, "initial_accumulator_value": 0.1, "eps": 1e-3}),
    ("RMSprop", 0.02, {}),
    ("RMSprop", 0.02, {"centered": True}),
    ("RMSprop", 0.01, {"momentum": 0.8}),
    ("RMSprop", 0.01, {"alpha": 0.9, "momentum": 0.8, "centered": True, "eps": 1e-6}),
    ("Adam", 0.05, {}),
    ("Adam", 0.05, {"betas": (0.8, 0.95), "eps": 1e-4}),
    ("AdamW", 0.05, {}),
    ("AdamW", 0.05, {"betas": (0.8, 0.95), "weight_decay": 0.3}),
]


def main() -> None:
    import torch  # here: pytest, which looks for doctests, imports this file without it

    rng = np.random.default_rng(12)
    n, d, k = 17, 3, 2
    X = rng.normal(0.3, 1, (n, d))
    Y = X @ rng.normal(0, 1, (d, k)) + rng.normal(1, 0.5, (n, k))
    W0, b0 = rng.normal(0, 1, (d, k)), rng.normal(0, 1, k)
    cases = []
    for name, lr, options in CASES:
        W, b = torch.tensor(W0, requires_grad=True), torch.tensor(b0, requires_grad=True)
        optimizer = getattr(torch.optim, name)([W, b], lr=lr, **options)
        steps = []
        for _ in range(STEPS):
            optimizer.zero_grad()
            (((torch.tensor(Y) - torch.tensor(X) @ W - b) ** 2).sum() / n).backward()
            optimizer.step()
            steps.append([*W.detach().ravel().tolist(), *b.detach().tolist()])
        cases.append({"optimizer": name, "lr": lr, "options": options, "steps": steps})
    stored = {"torch": torch.__version__, "X": X.tolist(), "Y": Y.tolist(), "weights": W0.tolist(), "bias": b0.tolist()}
    path = Path(__file__).parent / "data" / "torch_trajectories.json"
    path.write_text(json.dumps({**stored, "cases": cases}).replace('{"optimizer"', '\n{"optimizer"') + "\n")


if __name__ == "__main__":
    main()
