"""How often the trust panel is wrong: python -m benchmarks.calibration [--json FILE] [--quick]

Models whose right answer is known (Shapley values by enumeration, tree SHAP, a planted mark) are explained rightly and
wrongly, and the panel judges both through explainers.check(), which is not told how the values were made. Printed are
false alarms (a right answer marked bad), misses (a wrong answer whose overall mark is good), how often random values
are certified by "beats chance", and how often standard errors cover. The tables stand in docs/evidence.md.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy import ndimage

import explainers
import model_zoo
from explainers.types import Verdict

sys.path.append(str(Path(__file__).parent.parent / "tests"))
import watermarked

TEXT = "the plot was dull but every actor gave a warm and funny show that night in town"
WORDS = TEXT.split()
FIRST = [0]  # the first seed of models and inputs: other cases than those on which the lines were made
SAMPLED = {
    "kernel_shap": {"nsamples": 400},
    "leverage_shap": {},
    "regression_adjusted_shap": {},
    "permutation_shap": {"npermutations": 20},
    "shapley_sampling": {},
    "gradient_shap": {"nsamples": 400},
}


@dataclass(frozen=True)
class Judged:
    """One model and input: the right values, and wrong ones by name."""

    kind: str
    model: Any
    x: Any
    right: np.ndarray
    wrong: dict[str, np.ndarray]
    about: dict[str, Any]


class Bag(torch.nn.Module):
    """A text classifier: embedded words, weighed by themselves, and a small network on their sum."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.embedding = torch.nn.Embedding(64, 8)
        self.weigh = torch.nn.Linear(8, 8)
        self.head = torch.nn.Sequential(torch.nn.Linear(8, 12), torch.nn.Tanh(), torch.nn.Linear(12, 3))

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        """Scores (n, 3) of ids (n, words)."""
        vectors = self.embedding(ids)
        return self.head((vectors * self.weigh(vectors).sigmoid()).sum(1))


def tables(count: int) -> Iterator[Judged]:
    """Networks on 6 to 12 columns; right are Shapley values by enumeration."""
    for seed in range(FIRST[0], FIRST[0] + count):
        rng = np.random.default_rng(seed)
        d = int(rng.integers(6, 13))

        def network(draw: int, d: int = d) -> Any:
            torch.manual_seed(draw)
            act = torch.nn.ReLU() if draw % 2 else torch.nn.Tanh()
            net = torch.nn.Sequential(torch.nn.Linear(d, 16), act, torch.nn.Linear(16, 3)).double()
            return model_zoo.wrap(net, class_names=list("abc"), feature_names=[f"f{one}" for one in range(d)])

        x, base = rng.normal(size=d), rng.normal(size=d)
        model = network(seed)
        target = model.predict(x).top
        right = explainers.explain(model, x, "exact_shapley", target=target, baseline=base).values
        other = explainers.explain(model, x, "exact_shapley", target=(target + 1) % 3, baseline=base).values
        random = explainers.explain(network(seed + 10_000), x, "exact_shapley", target=target, baseline=base).values
        yield Judged(
            "table, network", model, x, right, _spoilt(right, rng, other, random), {"target": target, "baseline": base}
        )


def texts(count: int) -> Iterator[Judged]:
    """Bags of words of 8 to 12 words; right are Shapley values by enumeration."""
    for seed in range(FIRST[0], FIRST[0] + count):
        rng = np.random.default_rng(seed)
        text = " ".join(rng.permutation(WORDS)[: int(rng.integers(8, 13))])

        def wrapped(draw: int) -> Any:
            ids = {word: place + 1 for place, word in enumerate(WORDS)}
            return model_zoo.wrap(
                Bag(draw),
                modality="text",
                tokenizer=lambda given: [ids[word] for word in given.split()],
                class_names=list("abc"),
            )

        model = wrapped(seed)
        target = model.predict(text).top
        right = explainers.explain(model, text, "exact_shapley", target=target).values
        other = explainers.explain(model, text, "exact_shapley", target=(target + 1) % 3).values
        random = explainers.explain(wrapped(seed + 10_000), text, "exact_shapley", target=target).values
        yield Judged(
            "text", model, text, right, _spoilt(right, rng, other, random), {"target": target, "players": "words"}
        )


def trees(count: int) -> Iterator[Judged]:
    """Boosted trees on 8 columns; right are tree SHAP's values."""
    import xgboost

    for seed in range(FIRST[0], FIRST[0] + count):
        rng = np.random.default_rng(seed)
        rows = rng.normal(size=(300, 8))
        truth = rows @ rng.normal(size=8) + rows[:, 0] * rows[:, 1] + np.maximum(rows[:, 2], 0)
        fitted = xgboost.XGBRegressor(n_estimators=30, max_depth=3, seed=seed).fit(rows, truth)
        shuffled = xgboost.XGBRegressor(n_estimators=30, max_depth=3, seed=seed).fit(rows, rng.permutation(truth))
        names = [f"f{one}" for one in range(8)]
        model, other = (model_zoo.wrap(one, background=rows[:20], feature_names=names) for one in (fitted, shuffled))
        x = rows[100]
        right = explainers.explain(model, x, "tree_shap").values
        random = explainers.explain(other, x, "tree_shap").values
        yield Judged("table, trees", model, x, right, _spoilt(right, rng, None, random), {"background": rows[:20]})


def pictures(count: int) -> Iterator[Judged]:
    """A CNN with a planted mark; right are integrated gradients from zero, whose sum and place are known."""
    test = watermarked.pictures(4 * count, 77 + FIRST[0])
    model, shuffled = watermarked.trained(), watermarked.trained(2, shuffled=True)
    for place in np.flatnonzero(test.labels)[:count]:
        rng = np.random.default_rng(int(place))
        x = test.x[place]
        right = explainers.explain(model, x, target="marked").dense()
        noise = rng.normal(size=right.shape)
        wrong = {
            "of a network with random weights": explainers.explain(
                watermarked.wrapped(watermarked.network(int(place) + 100)), x, target="marked"
            ).dense(),
            "of a network trained on shuffled labels": explainers.explain(shuffled, x, target="marked").dense(),
            "sign turned": -right,
            "values in other places": np.roll(right[::-1], (11, 7), (0, 1)),
            "random": noise,
            "smooth random": ndimage.gaussian_filter(noise, 3),
            "edge filter": ndimage.gaussian_gradient_magnitude(x[0], 1),
            "brightness": np.abs(x[0]),
        }
        yield Judged("picture", model, x, right, wrong, {"target": "marked"})


def _spoilt(
    right: np.ndarray, rng: np.random.Generator, other: np.ndarray | None, random: np.ndarray
) -> dict[str, np.ndarray]:
    """Ways in which values are wrong."""
    found = {
        "doubled": 2 * right,
        "sign turned": -right,
        "values in other places": rng.permutation(right),
        "of a model with random weights": random,
        "random": rng.normal(size=len(right)) * np.abs(right).mean(),
    }
    return found if other is None else found | {"of another class": other}


def calibrate(sizes: dict[Callable[[int], Iterator[Judged]], int]) -> dict[str, Any]:
    """Judge everything, and count."""
    lines: dict[tuple[str, str, str], Counter[str]] = defaultdict(Counter)
    for make, count in sizes.items():
        for case in make(count):
            for name, values in {"right": case.right, **case.wrong}.items():
                panel = explainers.check(case.model, case.x, values, **case.about)
                lines[case.kind, name, "overall"][panel.overall.verdict.value] += 1
                for check in panel:
                    lines[case.kind, name, check.id][check.verdict.value] += 1
    return {" | ".join(key): dict(found) for key, found in lines.items()}


def random_values(count: int) -> dict[str, tuple[int, int, int]]:
    """How often random values are certified: for each kind, cases, those that are good, and good or doubtful."""
    found = {}
    for kind, make in (("table, network", tables), ("text", texts), ("picture", pictures)):
        certified = tried = first = 0
        for case in make(max(1, count // 10)):
            for turn in range(10):
                rng = np.random.default_rng([turn, tried])
                noise = rng.normal(size=np.shape(case.right))
                if kind == "picture" and turn % 2:
                    noise = ndimage.gaussian_filter(noise, 2)
                panel = explainers.check(case.model, case.x, noise, lines=["beats_chance"], seed=turn, **case.about)
                tried += 1
                certified += panel["beats_chance"].verdict is Verdict.GOOD
                first += panel["beats_chance"].verdict in (Verdict.GOOD, Verdict.DOUBTFUL)
        found[kind] = (tried, certified, first)
    return found


def coverage(runs: int) -> dict[str, tuple[int, float]]:
    """How often |value - truth| ≤ 1.96 standard errors, over seeds and players; truth by enumeration."""
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Linear(10, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1)).double()
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(4, 10))
    model = model_zoo.wrap(net, feature_names=[f"f{one}" for one in range(10)], background=rows)
    x = rng.normal(size=10)
    shapley = explainers.explain(model, x, "exact_shapley", background=rows).values
    paths = explainers.explain(model, x, "expected_gradients", background=rows).values
    found = {}
    for method, params in SAMPLED.items():
        truth = paths if method == "gradient_shap" else shapley
        inside: list[bool] = []
        for seed in range(runs):
            one = explainers.explain(model, x, method, background=rows, seed=seed, **params)
            if one.std_error is None or not one.std_error.any():
                break
            inside += list(np.abs(one.values - truth) <= 1.96 * one.std_error)
        if inside:
            found[method] = (len(inside), float(np.mean(inside)))
    return found


def _table(counted: dict[str, Any]) -> str:
    rows = [
        "| model | values | cases | overall good | doubtful | bad | not to be tested |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, found in counted.items():
        kind, name, line = key.split(" | ")
        if line == "overall":
            total = sum(found.values())
            shares = [found.get(one, 0) / total for one in ("good", "doubtful", "bad")]
            rest = 1 - sum(shares)
            cells = " | ".join(f"{100 * one:.0f} %" for one in (*shares, rest))
            rows.append(f"| {kind} | {name} | {total} | {cells} |")
    return "\n".join(rows)


def _by_line(counted: dict[str, Any]) -> str:
    """Of right values: how often each line is good, doubtful and bad."""
    rows = ["| line, right values | judged | good | doubtful | bad |", "|---|---|---|---|---|"]
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for key, found in counted.items():
        _, name, line = key.split(" | ")
        if name == "right":
            sums[line].update(found)
    for line, found in sums.items():
        good = found["good"] + found["exact"]
        total = good + found["doubtful"] + found["bad"]
        if total:
            shares = [good / total, found["doubtful"] / total, found["bad"] / total]
            rows.append(f"| {line} | {total} | " + " | ".join(f"{100 * one:.1f} %" for one in shares) + " |")
    return "\n".join(rows)


def main() -> None:
    """Everything, as tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", help="write the counts to this file")
    parser.add_argument("--quick", action="store_true", help="a tenth of the cases")
    parser.add_argument("--first", type=int, default=0, help="the first seed: another one gives other cases")
    chosen = parser.parse_args()
    FIRST[0] = chosen.first
    warnings.filterwarnings("ignore")
    torch.set_num_threads(1)
    share = 10 if chosen.quick else 1
    began = time.perf_counter()
    counted = calibrate({tables: 60 // share, texts: 40 // share, trees: 30 // share, pictures: 30 // share})
    chance = random_values(600 // share)
    covered = coverage(200 // share)
    print(_table(counted), "\n")
    print(_by_line(counted), "\n")
    print("| random values | cases | certified | certified or doubtful |\n|---|---|---|---|")
    for kind, (tried, certified, first) in chance.items():
        print(f"| {kind} | {tried} | {100 * certified / tried:.1f} % | {100 * first / tried:.1f} % |")
    print("\n| standard errors of | values | within 1.96 of them |\n|---|---|---|")
    for method, (count, inside) in covered.items():
        print(f"| {method} | {count} | {100 * inside:.1f} % |")
    print(f"\n{sum(sum(one.values()) for key, one in counted.items() if key.endswith('overall'))} judgements,"
          f" {time.perf_counter() - began:.0f} s")  # fmt: skip
    if chosen.json:
        Path(chosen.json).write_text(json.dumps({"counted": counted, "chance": chance, "coverage": covered}, indent=1))


if __name__ == "__main__":
    main()
