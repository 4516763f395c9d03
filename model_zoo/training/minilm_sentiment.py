"""Fine-tunes MiniLM-L6 for sentiment: its last layer, its pooler and a head of two logits.

    pip download --no-deps --no-binary :all: vaderSentiment==3.3.2
    python -m model_zoo.training.minilm_sentiment --data vaderSentiment-3.3.2.tar.gz

Data: 10,604 movie review snippets, 4,199 tweets and 3,707 product review snippets, each rated from -4 (negative) to
4 (positive) by 20 or more people (Hutto and Gilbert, 2014). What is learned is the probability sigmoid(1.5 rating),
so that a lukewarm snippet counts as one; what is measured is the rating's sign, on movie snippets, lukewarm ones too.
Settings were chosen on the validation part, and the test part was measured once. The frozen layers run once; only
what is trained runs in every epoch. Needs no package beyond those of Assay; five minutes on two idle cores.
"""

from __future__ import annotations

import argparse
import html
import io
import math
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from model_zoo.architectures.bert import BertClassifier
from model_zoo.bundled import minilm_sentiment as bundled
from model_zoo.weights import BUNDLED, packaged, sha256

SEED, EPOCHS, RATE, DECAY, DROPOUT, BATCH = 0, 6, 3e-4, 0.05, 0.3, 32
HELD_OUT = 1500  # movie snippets for validation, and as many for the test
SHARP = 1.5  # logit of the probability learned, for a rating of 1
ARCHIVE = "vaderSentiment-3.3.2/additional_resources/hutto_ICWSM_2014.tar.gz"
FILES = ("movieReviewSnippets", "tweets", "amazonReviewSnippets")


def read(path: Path) -> dict[str, list[tuple[str, float]]]:
    """Texts and their mean ratings, by file, each text once."""
    found: dict[str, list[tuple[str, float]]] = {}
    with tarfile.open(path) as outer:
        member = outer.extractfile(ARCHIVE)
        if member is None:
            raise SystemExit(f"{path} has no file {ARCHIVE}.")
        with tarfile.open(fileobj=io.BytesIO(member.read())) as inner:
            for name in FILES:
                listed = inner.extractfile(f"hutto_ICWSM_2014/{name}_GroundTruth.txt")
                assert listed is not None
                lines = listed.read().decode("utf-8", "replace").splitlines()
                rows = (line.split("\t", 2) for line in lines if line.count("\t") >= 2)
                once = {html.unescape(text).strip(): float(rating) for _, rating, text in rows}
                found[name] = list(once.items())
    return found


def tokenized(texts: list[str]) -> list[list[int]]:
    """Token ids of each text, cut to the model's limit."""
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(packaged(bundled.PACKAGE, bundled.TOKENIZER)))
    tokenizer.no_padding()
    tokenizer.enable_truncation(bundled.LIMIT)
    return [one.ids for one in tokenizer.encode_batch(texts)]


def padded(rows: list[list[int]]) -> torch.Tensor:
    """Token ids (n, longest), zeros after each text's end."""
    return torch.nn.utils.rnn.pad_sequence([torch.tensor(row) for row in rows], batch_first=True)


Part = tuple[torch.Tensor, torch.Tensor, torch.Tensor]  # ids (n, tokens), vectors (n, tokens, width), ratings (n,)


def frozen(network: BertClassifier, rows: list[list[int]], ratings: list[float]) -> list[Part]:
    """Batches of like lengths, with the vectors that the frozen layers make of them."""
    order = sorted(range(len(rows)), key=lambda one: len(rows[one]))
    parts = []
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        ids = padded([rows[one] for one in chosen])
        with torch.no_grad():
            parts.append((ids, network.encode(ids, layers=-1), torch.tensor([ratings[one] for one in chosen])))
    return parts


def finish(network: BertClassifier, part: Part) -> torch.Tensor:
    """Logits (n, 2) from the frozen layers' vectors."""
    ids, vectors, _ = part
    return network.classify(network.layers[-1](vectors, network.present(ids)))


def train(network: BertClassifier, parts: list[Part]) -> Iterator[int]:
    """One epoch at a time; AdamW with a linear warm-up and a cosine to zero."""
    trained = [p for module in (network.layers[-1], network.pooler, network.head) for p in module.parameters()]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=DECAY)
    total, warm = EPOCHS * len(parts), len(parts) // 4

    def pace(step: int) -> float:
        return step / warm if step < warm else (1 + math.cos(math.pi * (step - warm) / (total - warm))) / 2

    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, pace)
    for epoch in range(EPOCHS):
        network.train()
        for place in torch.randperm(len(parts)).tolist():
            wanted = (SHARP * parts[place][2]).sigmoid()
            loss = F.cross_entropy(finish(network, parts[place]), torch.stack([1 - wanted, wanted], 1))
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, 1.0)
            optimizer.step()
            schedule.step()
        yield epoch


def measure(network: BertClassifier, parts: list[Part]) -> tuple[float, float]:
    """Area under the ROC curve and accuracy, for the sign of the rating."""
    from sklearn.metrics import roc_auc_score

    network.eval()
    with torch.no_grad():
        margins = torch.cat([(scores := finish(network, part))[:, 1] - scores[:, 0] for part in parts]).numpy()
    labels = torch.cat([part[2] for part in parts]).numpy() > 0
    return float(roc_auc_score(labels, margins)), float(((margins > 0) == labels).mean())


def main() -> None:
    """Train, print what is reached, write bundled/minilm_sentiment.safetensors and print the card's digest."""
    from safetensors.torch import save

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True, help="vaderSentiment-3.3.2.tar.gz")
    found = read(parser.parse_args().data)
    torch.manual_seed(SEED)
    torch.set_num_threads(2)
    encoder = packaged(bundled.PACKAGE, bundled.ENCODER).read_bytes()
    network = BertClassifier(2, dropout=DROPOUT).eval()
    network.load_state_dict(bundled.encoder(encoder), strict=False)

    movies = found["movieReviewSnippets"]
    order = np.random.default_rng(SEED).permutation(len(movies))
    valid, test, seen = ([movies[i] for i in part] for part in np.split(order, [HELD_OUT, 2 * HELD_OUT]))
    seen += [one for name in FILES[1:] for one in found[name]]
    began = time.perf_counter()
    seen_parts, valid_parts, test_parts = (
        frozen(network, tokenized([text for text, _ in rows]), [rating for _, rating in rows])
        for rows in (seen, valid, test)
    )
    print(f"{len(seen):,} snippets to train on; frozen layers took {time.perf_counter() - began:.0f} s", flush=True)
    for epoch in train(network, seen_parts):
        area, right = measure(network, valid_parts)
        seconds = time.perf_counter() - began
        print(f"epoch {epoch + 1}: AUC {area:.4f}, accuracy {right:.4f} for validation, {seconds:.0f} s", flush=True)

    ours = {name: weight.half() for name, weight in network.state_dict().items() if bundled.is_ours(name)}
    network.load_state_dict(ours, strict=False)  # as it will be loaded, rounded to 16 bits
    area, right = measure(network, test_parts)
    print(f"test: AUC {area:.4f}, accuracy {right:.4f} on {len(test):,}")
    content = save(ours)
    (BUNDLED / "minilm_sentiment.safetensors").write_bytes(content)
    tokenizer = packaged(bundled.PACKAGE, bundled.TOKENIZER).read_bytes()
    print(f"minilm_sentiment.safetensors: {len(content):,} bytes; digest {sha256(encoder, tokenizer, content)}")


if __name__ == "__main__":
    main()
