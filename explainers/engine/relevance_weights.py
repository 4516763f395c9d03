"""Rules of layer-wise relevance propagation for layers with weights: z_j = Σ_i a_i w_ij + b_j.

With R_j = z_j g_j arriving, input i is handed R_i = a_i g_i, where for contributions c_ij = a_i w_ij
    epsilon        R_i = Σ_j c_ij / (z_j + ε sign z_j) · R_j
    gamma          the same with contributions of z_j's own sign counted 1 + γ times
    alpha-beta     R_i = Σ_j (α c⁺_ij / Σ_i c⁺_ij - β c⁻_ij / Σ_i c⁻_ij) · R_j,  α - β = 1; α = 1 is z-plus
    flat           R_i = Σ_j 1 / (inputs of j) · R_j, for the first layer: pixels have no sign
    box            R_i = Σ_j (a_i w_ij - l_i w⁺_ij - h_i w⁻_ij) / Σ_i(...) · R_j, for pixels from l to h
For epsilon and gamma b_j is one more contribution, whose share stays there; the others share among inputs alone, for
in a deep network with biases next to nothing would arrive. A batch normalisation that follows belongs to the layer: w
and b are those of both.
Reference: Montavon et al. (2019), doi:10.1007/978-3-030-28954-6_10; Kohlbrenner et al. (2020), arXiv:1910.09840.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

from explainers.engine.relevance import Down, Handling, Place

EPSILON, GAMMA, ALPHA_BETA = "epsilon", "gamma", "alpha_beta"
FLAT, BOX = "flat", "box"


@dataclass(frozen=True)
class Composite:
    """Which rule holds where: in convolutions, in linear layers, and in a convolution that reads the input itself."""

    convolution: str = EPSILON
    linear: str = EPSILON
    first: str = ""  # "flat", "box" or as the others
    epsilon: float = 1e-9
    gamma: float = 0.25
    alpha: float = 1.0
    low: Any = None  # box: what a pixel of each channel can be, (channels, 1, 1)
    high: Any = None


@dataclass(frozen=True)
class Merged:
    """A batch normalisation after a layer: its factor for each channel, and what it gave."""

    scale: torch.Tensor
    gave: torch.Tensor


def weighted(
    place: Place, at: int, composite: Composite, merged: Merged | None, is_first: bool, reason: str
) -> Handling:
    """The rule of a convolution or linear layer whose input is argument `at`."""
    layer = _Layer(place, at, merged)
    convolution = place.kind == "Convolution"
    if is_first and composite.first == FLAT:
        return Handling(post=layer.post(layer.flat), reason=reason)
    if is_first and composite.first == BOX:
        return Handling(post=layer.post(lambda share: layer.box(share, composite.low, composite.high)), reason=reason)
    rule = composite.convolution if convolution else composite.linear
    if rule == GAMMA:
        return Handling(post=layer.post(lambda share: layer.gamma(share, composite.gamma)), reason=reason)
    if rule == ALPHA_BETA:
        return Handling(post=layer.post(lambda share: layer.alpha_beta(share, composite.alpha)), reason=reason)
    gave = layer.gave
    factor = gave / (gave + composite.epsilon * _sign(gave))
    return Handling(pre=lambda above: above * factor, reason=reason)


class _Layer:
    """One run of a layer: a (its input), w, z, and the way from shares of outputs to gradients of inputs."""

    def __init__(self, place: Place, at: int, merged: Merged | None) -> None:
        assert place.step is not None
        self.step, self.at = place.step, at
        self.other = {"Addmm": 3, "Baddbmm": 3, "Addbmm": 3, "Addmv": 3}.get(place.kind, 1) - at  # the weights' place
        self.took: torch.Tensor = self.step.args[at]
        self.weight: torch.Tensor = self.step.args[self.other]
        self.bare = {"Addmm": "mm", "Baddbmm": "bmm", "Addmv": "mv"}.get(place.kind)
        self.kind = place.kind
        self.scale: torch.Tensor | None = None
        self.gave = self.step.gave[0]
        if merged is not None and (axis := self._channels()) is not None:
            self.scale = merged.scale.reshape(-1, *[1] * (self.gave.ndim - 2))
            self.weight = self.weight * merged.scale.reshape([-1 if i == axis else 1 for i in range(self.weight.ndim)])
            self.gave = merged.gave

    def _channels(self) -> int | None:
        """The axis of the weights that is the output's channels, where that is plain to see."""
        if self.kind == "Convolution":
            return 0 if self.at == 0 and not self.step.given()["transposed"] else None
        return 1 if self.kind in ("Addmm", "Mm") and self.other > self.at else None

    def apply(self, took: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Σ_i a_i w_ij, without the bias."""
        pair = (took, weight) if self.at < self.other else (weight, took)
        if self.kind == "Convolution":
            return self.step.func(*pair, None, *self.step.args[3:], **self.step.kwargs)
        if self.bare is None:
            return self.step.func(*pair, *self.step.args[2:], **self.step.kwargs)
        return getattr(torch, self.bare)(*pair) * self.step.kwargs.get("alpha", 1)

    def back(self, share: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
        """Σ_j w_ij s_j, shaped like the input."""
        leaf = torch.zeros_like(self.took).requires_grad_(True)
        with torch.enable_grad():
            gave = self.apply(leaf, weight)
        return torch.autograd.grad(gave, leaf, share)[0]

    def post(self, rule: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Down, torch.Tensor], Down]:
        """A hook that has `rule` turn relevance R_j into gradients g_i."""

        def hook(down: Down, above: torch.Tensor) -> Down:
            if self.scale is not None:  # what arrives is the gradient below the normalisation
                above = torch.where(self.scale == 0, 0.0, above / self.scale)
            gradient = rule(self.gave * above)
            return tuple(gradient if i == self.at else one for i, one in enumerate(down))

        return hook

    # -- the rules ---------------------------------------------------------------------------------------------------

    def alpha_beta(self, arriving: torch.Tensor, alpha: float) -> torch.Tensor:
        """What speaks for z_j shares α R_j, what speaks against it takes (α - 1) R_j back."""
        found = alpha * self._signed(arriving, 1)
        return found if alpha == 1 else found - (alpha - 1) * self._signed(arriving, -1)

    def _signed(self, arriving: torch.Tensor, sign: int) -> torch.Tensor:
        """Relevance shared among contributions of one sign."""
        up, down = (self.took * sign).clamp(min=0) * sign, (self.took * sign).clamp(max=0) * sign
        high, low = self.weight.clamp(min=0), self.weight.clamp(max=0)
        # sign 1: a⁺ w⁺ and a⁻ w⁻; sign -1: a⁻ w⁺ and a⁺ w⁻.
        total = self.apply(up, high) + self.apply(down, low)
        share = _over(arriving, total, 0.0)
        return torch.where(self.took * sign > 0, self.back(share, high), self.back(share, low))

    def gamma(self, arriving: torch.Tensor, gamma: float) -> torch.Tensor:
        """Contributions of the sign of z_j count 1 + γ times."""
        bias = self.gave - self.apply(self.took, self.weight)
        found = torch.zeros_like(self.took)
        for sign in (1, -1):
            mine = (self.gave > 0) if sign == 1 else (self.gave < 0)
            first, second = (
                self.weight + gamma * (self.weight.clamp(min=0) if same else self.weight.clamp(max=0))
                for same in (sign == 1, sign != 1)
            )  # for a > 0 and for a < 0
            total = self.apply(self.took.clamp(min=0), first) + self.apply(self.took.clamp(max=0), second)
            total = total + bias + gamma * (bias * sign).clamp(min=0) * sign
            share = _over(torch.where(mine, arriving, 0.0), total, 0.0)
            found = found + torch.where(self.took > 0, self.back(share, first), self.back(share, second))
        return found

    def flat(self, arriving: torch.Tensor) -> torch.Tensor:
        """The same to each input, but nothing to padding, which alone is exactly 0 here."""
        inside = (self.took != 0).to(self.took.dtype)
        ones = torch.ones_like(self.weight)
        shared = inside * self.back(_over(arriving, self.apply(inside, ones), 0.0), ones)
        return torch.where(inside > 0, shared / self.took, 0.0)

    def box(self, arriving: torch.Tensor, low: Any, high: Any) -> torch.Tensor:
        """Compared with the darkest and the brightest that each input can be."""
        inside = (self.took != 0).to(self.took.dtype)
        axes = tuple(one for one in range(self.took.ndim) if one != 1)
        bottom = self.took.amin(axes, keepdim=True) if low is None else torch.as_tensor(low).to(self.took)
        top = self.took.amax(axes, keepdim=True) if high is None else torch.as_tensor(high).to(self.took)
        bottom, top = bottom * inside, top * inside
        up, down = self.weight.clamp(min=0), self.weight.clamp(max=0)
        total = self.apply(self.took, self.weight) - self.apply(bottom, up) - self.apply(top, down)
        share = _over(arriving, total, 1e-9)
        shared = (
            self.took * self.back(share, self.weight) - bottom * self.back(share, up) - top * self.back(share, down)
        )
        return torch.where(inside > 0, shared / self.took, 0.0)


def _sign(number: torch.Tensor) -> torch.Tensor:
    return torch.where(number < 0, -1.0, 1.0).to(number.dtype)


def _over(arriving: torch.Tensor, total: torch.Tensor, epsilon: float) -> torch.Tensor:
    """R_j / total_j; nothing where there is nothing to share among."""
    total = total + epsilon * _sign(total)
    return torch.where(total == 0, 0.0, arriving / torch.where(total == 0, 1.0, total))
