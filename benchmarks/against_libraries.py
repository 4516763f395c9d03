"""Assay beside the libraries whose numbers it gives, and both beside the floor, in one run.

    python -m benchmarks.against_libraries [--device cuda] [--model squeezenet]

Each row: the same method with the same settings by the library on the bare model and by Assay; their times as
multiples of the floor (the evaluations needed times the model's best time for one), and the largest difference of
their values.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import captum.attr
import numpy as np
import torch
from lime.lime_image import LimeImageExplainer

import explainers
import model_zoo
from benchmarks.measure import commit, floor, machine, pair
from explainers.methods import occlusion
from model_zoo.model import Model

LIME = 300  # samples
Work = Callable[[], np.ndarray]


def rows(model: Model, sample: model_zoo.Sample, target: int) -> list[tuple[str, int, int, Work, Work]]:
    """(name, forward evaluations, backward evaluations, the library's work, ours) of each method."""
    network, x = model.network, model.tensor(sample.x[None])

    def leaf() -> torch.Tensor:
        return x.clone().requires_grad_(True)

    def ours(method: str, **request: object) -> Work:
        return lambda: explainers.explain(model, sample, method, target=target, **request).dense()

    def gradients() -> np.ndarray:
        done = captum.attr.IntegratedGradients(network).attribute(leaf(), target=target, n_steps=50)
        return _map(done)

    def small_batches() -> np.ndarray:
        done = captum.attr.IntegratedGradients(network).attribute(
            leaf(), target=target, n_steps=50, internal_batch_size=8
        )
        return _map(done)

    def smoothed() -> np.ndarray:
        torch.manual_seed(0)
        spread = 0.15 * float(x.max() - x.min())
        tunnel = captum.attr.NoiseTunnel(captum.attr.Saliency(network))
        return _map(tunnel.attribute(leaf(), nt_samples=50, stdevs=spread, target=target, abs=False))

    side = sample.x.shape[-1]
    places, (tall, wide) = occlusion.windows(side, side, occlusion.Params())
    strides = (3, round(tall * 0.5), round(wide * 0.5))

    def covered(batch: int) -> Work:
        def work() -> np.ndarray:
            tool = captum.attr.Occlusion(network)
            with torch.no_grad():
                done = tool.attribute(x, (3, tall, wide), strides, 0, target, perturbations_per_eval=batch)
            return done[0, 0].cpu().numpy()

        return work

    players = model.input.players(sample, "segments")

    def lined() -> np.ndarray:
        def ask(pictures: np.ndarray) -> np.ndarray:
            with torch.no_grad():
                scores = network(model.tensor(np.moveaxis(pictures, -1, 1).astype(np.float32)))
            return scores[:, [target]].cpu().numpy()

        picture = np.ascontiguousarray(np.moveaxis(sample.x, 0, -1)).astype(np.float64)
        found = LimeImageExplainer(random_state=0).explain_instance(
            picture,
            ask,
            labels=(0,),
            top_labels=None,
            num_features=players.count,
            num_samples=LIME,
            segmentation_fn=lambda image: players.owner,
        )
        values = np.zeros(players.count)
        values[[player for player, _ in found.local_exp[0]]] = [value for _, value in found.local_exp[0]]
        return values[players.owner]

    ig = ours("integrated_gradients", steps=50, rule="gausslegendre", baseline=0.0)
    hidden = ours("occlusion", baseline=0.0)
    return [
        ("integrated gradients, 50 steps, captum's default batch", 0, 50, gradients, ig),
        ("integrated gradients, 50 steps, captum at batch 8", 0, 50, small_batches, ig),
        ("SmoothGrad, 50 copies", 0, 50, smoothed, ours("smoothgrad")),
        (f"occlusion, {len(places)} places, captum one at a time", len(places) + 1, 0, covered(1), hidden),
        (f"occlusion, {len(places)} places, captum at batch 16", len(places) + 1, 0, covered(16), hidden),
        (f"LIME, {LIME} samples, {players.count} segments", LIME, 0, lined, ours("lime", num_samples=LIME)),
    ]


def main() -> None:
    """Print one table."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--model", default="efficientnet_lite0")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()

    torch.backends.cudnn.allow_tf32 = False  # as Assay computes; else the two would differ by the rounding of TF32
    model = model_zoo.load(asked.model, asked.device)
    raw, name = model_zoo.read_example(model.card.examples[0])
    sample = model.sample(raw, name)
    target = model.predict(sample).top
    x = model.tensor(sample.x[None])

    def forward(size: int) -> None:
        with torch.no_grad():
            model.forward(x.expand(size, *x.shape[1:]).contiguous())

    def both(size: int) -> None:
        leaf = x.repeat(size, *[1] * (x.ndim - 1)).requires_grad_(True)
        torch.autograd.grad(model.forward(leaf)[:, target].sum(), leaf)

    one, pass_back = floor(forward), floor(both)
    print(f"{model.card.title}, {name}; {machine(asked.device)}; commit {commit()}")
    print(f"floor: {one * 1e3:.2f} ms forward, {pass_back * 1e3:.2f} ms forward and backward, a sample\n")
    print(
        "| method | library | Assay | library × floor | Assay × floor | library ÷ Assay | greatest difference (scale) |"
    )
    print("|---|---|---|---|---|---|---|")
    for title, forwards, backwards, theirs, ours in rows(model, sample, target):
        needed = forwards * one + backwards * pass_back
        mine, library = pair(ours, theirs, asked.repeats)
        a, b = ours(), theirs()
        print(
            f"| {title} | {library:.2f} s | {mine:.2f} s | {library / needed:.2f} | {mine / needed:.2f} |"
            f" {library / mine:.2f} | {np.abs(a - b).max():.1e} ({np.abs(b).max():.1e}) |",
            flush=True,
        )


def _map(attribution: torch.Tensor) -> np.ndarray:
    return attribution[0].sum(0).detach().cpu().numpy()


if __name__ == "__main__":
    main()
