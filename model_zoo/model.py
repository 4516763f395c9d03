"""One model of any origin, ready to be explained: a network, how it takes its input, and its card.

`forward` is differentiable. `entry` is the continuous space in which gradients live: the input itself, or for token
ids the output of the embedding. `forward_entry` runs the network with the entry put in place of what the embedding
would have returned, so position codes, masks and everything after it stay as they are.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, final

import numpy as np
import torch

from model_zoo import lookup, targets
from model_zoo.modes import evaluating
from model_zoo.types import Capability, Input, ModelCard, Prediction, Sample, UserError, quoted

if TYPE_CHECKING:
    from collections.abc import Sequence


Settle = Callable[[np.ndarray], "tuple[Callable[..., Any], str] | None"]  # x -> a network instead, and a note


@final
class Model:
    """A card, a network and its input; `network` maps (n, *x.shape) to (n, outputs).

    network: a torch module or a callable on tensors; a callable on arrays when `arrays` is true.
    embedding: the submodule that turns token ids into vectors, for a model of token ids; or the Lookup that does.
    trees: what shap.TreeExplainer reads, for an ensemble of trees.
    learn: called once with the first input x, for what a card can only say after the network has been run.
    """

    def __init__(
        self,
        card: ModelCard,
        network: Callable[..., Any],
        input: Input,
        *,
        embedding: torch.nn.Module | lookup.Lookup | None = None,
        trees: Any = None,
        arrays: bool = False,
        learn: Callable[[Model, np.ndarray], None] | None = None,
    ) -> None:
        self.card = card
        self.input = input
        self.embedding = embedding
        self.trees = trees
        self.arrays = arrays
        self.settle: Settle | None = None  # a last check on the first input, once; UserError stops it
        self._learn = learn
        self._learnt = False
        self._take(network)

    def _take(self, network: Callable[..., Any]) -> None:
        self.network = network
        self.device = torch.device("cpu")
        self.dtype = torch.float32
        if isinstance(network, torch.nn.Module):
            numbers = (one for one in (*network.parameters(), *network.buffers()) if one.is_floating_point())
            first = next(numbers, None)
            if first is not None:
                self.device, self.dtype = first.device, first.dtype

    @property
    def can(self) -> Capability:
        """What can be asked of this model."""
        return self.card.can

    def to(self, device: str | torch.device) -> Model:
        """The same model on another device; a black box stays where it is."""
        if isinstance(self.network, torch.nn.Module):
            self.network.to(device)
            self.device = torch.device(device)
        return self

    def sample(self, raw: Any, name: str = "") -> Sample:
        """Read what a person gives: a path, bytes, a PIL image, a text, a dict or an array."""
        found = raw if isinstance(raw, Sample) else self.input.read(raw, name)
        self.learn(found.x)
        return found

    def learn(self, x: np.ndarray) -> None:
        """Complete the card from a first input x, once; UserError if the network cannot be run on it."""
        if self._learn is not None and not self._learnt:
            with torch.inference_mode(False), torch.enable_grad():  # whatever mode the caller is in
                self._learn(self, x)
        self._learnt = True
        other = self.settle(x) if self.settle is not None else None
        self.settle = None
        if other is not None:  # another network is explained: what was learnt of the first is learnt again
            network, note = other
            self._take(network)
            self.embedding = None
            self.card = dataclasses.replace(self.card, notes=(*self.card.notes, note))
            if self._learn is not None:
                self._learn(self, x)

    def tensor(self, inputs: np.ndarray | torch.Tensor | Sequence[Any]) -> torch.Tensor:
        """A copy of inputs (n, *x.shape) on the device, since a network may work in place; token ids stay whole."""
        found = torch.as_tensor(inputs)
        ids = self.card.modality == "text" and not found.is_floating_point()
        if self.dtype == torch.long and found.is_floating_point() and bool((found != found.round()).any()):
            part = float(found[found != found.round()][0])
            raise UserError(
                f"{self.card.title} takes whole numbers that it looks up, such as ids, and {part:.6g} came. Compare"
                " with ids, not with their mean: baseline=[...], or several rows for a method that averages over them."
            )
        return found.to(self.device, torch.long if ids else self.dtype, copy=True)

    def forward(self, inputs: torch.Tensor) -> torch.Tensor:
        """Scores (n, outputs) of inputs (n, *x.shape); UserError if it fails or does not match the labels.

        A network that says something of every token, pixel or step gives (n, outputs, *positions).
        """
        try:
            scores = self.outputs(inputs)
        except (UserError, torch.OutOfMemoryError, MemoryError):
            raise
        except Exception as error:  # a stranger's network may raise anything
            raise UserError(
                f"{self.card.title} could not be run on {len(inputs)} inputs of shape {tuple(inputs.shape[1:])};"
                f" it said: {quoted(error)}. Give inputs of the shape and kind that it was trained on."
            ) from error
        width = 1 if self.card.task == "binary" else len(self.card.labels)
        scores = arranged(scores, self.card.modality, width)
        if scores.shape[:2] != (len(inputs), width):
            raise UserError(
                f"{self.card.title} was expected to return scores of shape ({len(inputs)}, {width}) for its"
                f" {len(self.card.labels)} labels; it returned {tuple(scores.shape)}."
                " Give the labels that match its output."
            )
        return scores

    def outputs(self, inputs: torch.Tensor) -> torch.Tensor:
        """What the network returns as scores for inputs (n, *x.shape), whatever the card says; (n,) becomes (n, 1)."""
        if self.arrays:
            scores = torch.as_tensor(np.asarray(self.network(inputs.detach().cpu().numpy())))
        else:
            scores = tensor_of(self.network(lookup.shielded(inputs)))
        return scores[:, None] if scores.ndim == 1 and len(scores) == len(inputs) else scores

    def entry(self, inputs: torch.Tensor) -> torch.Tensor:
        """The point where gradients live, (n, *x.shape) or (n, tokens, embedding width)."""
        if self.embedding is None:
            return inputs
        with torch.no_grad():
            return self.embedding(inputs)

    def forward_entry(self, entry: torch.Tensor, inputs: torch.Tensor) -> torch.Tensor:
        """Scores (n, outputs) with `entry` in place of the embedding of token ids `inputs`."""
        if self.embedding is None:
            return self.forward(entry)
        scores, replaced = self._with_entry(self.embedding, entry, inputs, torch.equal)
        if not replaced:  # the network changes the ids first, by an offset for instance: calls of their shape
            scores, replaced = self._with_entry(self.embedding, entry, inputs, lambda ids, ours: True)
        if not replaced:
            raise UserError(
                f"{self.card.title} never gave its token ids, of shape {tuple(inputs.shape)}, to the embedding;"
                " name the submodule that takes them: embedding=..."
            )
        return scores

    def _with_entry(
        self,
        embedding: torch.nn.Module | lookup.Lookup,
        entry: torch.Tensor,
        inputs: torch.Tensor,
        same: lookup.Same,
    ) -> tuple[torch.Tensor, int]:
        """Scores with the embedding of `inputs` replaced, and in how many calls; what else it embeds stays."""
        with lookup.replaced(embedding, entry, inputs, same) as count:
            return self.forward(inputs), count()

    def predict(self, sample: Any) -> Prediction:
        """Scores and class probabilities of one sample, or of what sample() reads."""
        return targets.prediction(self.raw(sample), self.card)

    def raw(self, sample: Any) -> np.ndarray:
        """What the network returns for one sample: float64 (outputs,) or (outputs, *positions)."""
        if not isinstance(sample, Sample):
            sample = self.sample(sample)
        with torch.no_grad(), self.frozen():
            return self.forward(self.tensor(sample.x[None]))[0].cpu().double().numpy()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Evaluation mode without parameter gradients, and the model as it was afterwards."""
        with evaluating(self.network):
            yield


def arranged(scores: torch.Tensor, modality: str, width: int | None = None) -> torch.Tensor:
    """Scores with positions as (n, outputs, *positions): a text's tokens come before their labels, a picture's after.

    width: how many outputs there are, where that is known: then it tells which axis is theirs.
    """
    if scores.ndim < 3:
        return scores
    fits = [axis for axis in (1, scores.ndim - 1) if width is None or scores.shape[axis] == width]
    last = scores.ndim - 1 in fits and (modality == "text" or 1 not in fits)
    return scores.movedim(-1, 1) if last else scores


def tensor_of(output: Any) -> torch.Tensor:
    """The scores in what a network returns: a tensor, something with logits, or a tuple that starts with one."""
    if isinstance(output, torch.Tensor):
        return output
    for key in ("logits", "scores", "out"):
        if hasattr(output, key):
            return getattr(output, key)
        if isinstance(output, dict) and key in output:
            return output[key]
    if isinstance(output, (tuple, list)) and output:
        return tensor_of(output[0])
    if isinstance(output, np.ndarray):
        return torch.as_tensor(output)
    raise UserError(
        f"The model was expected to return a tensor of scores; it returned {type(output).__name__}. Return the scores"
        " (n, outputs) from forward()."
    )
