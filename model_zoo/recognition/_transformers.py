"""Parts that the families of transformers share: what shapes say of a network, and what they cannot say.

The number of attention heads leaves no trace in most weights: it is that of the published models of the same width,
and where several are usual each is a choice of its own.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from model_zoo.facts import Facts
from model_zoo.recognition import SPARE, Architecture, Near, Shapes
from model_zoo.types import UserError

# Buffers of older versions of the library, which computes them now.
BUFFERS = (*SPARE, "token_type_ids", ".attn.bias", ".attn.masked_bias", "rotary_emb.inv_freq")
STANDARD = (
    64,
    128,
    192,
    256,
    512,
    640,
    768,
    1024,
    1280,
    1536,
    1600,
    2048,
)  # widths with heads of 64 wherever published
ORDER = (12, 8, 4, 2, 6, 16, 3, 1)  # of numbers of heads, where nothing is published for a width
WIDE = 192  # from this width on, heads of 64 are the likeliest
NARROWEST = 8  # a head of fewer is not seen in practice
MOST_CHOICES = 4


@dataclass(frozen=True)
class Heads:
    """One number of attention heads, and why."""

    count: int
    reason: str


@dataclass(frozen=True)
class Family:
    """What the shapes of one file say of a network of the library.

    network, config: names of classes of transformers; settings: what the configuration gets.
    pad: the id that fills up shorter texts, as published; None where there is none.
    """

    id: str  # "bert"
    title: str  # "BERT classifier"
    network: str
    config: str
    settings: dict[str, Any]
    kind: str  # "text", "next token" or "image"
    facts: Facts
    heads: tuple[Heads, ...] = ()  # empty where the shapes say it
    heads_key: str = "num_attention_heads"
    pad: int | None = None
    notes: tuple[str, ...] = ()
    reason: str = "Names and shapes are its own"
    score: float = 0.9
    before: dict[str, str] = field(default_factory=dict)  # the beginnings of names that the library has otherwise
    added: Callable[[dict[str, Any]], dict[str, Any]] | None = None  # names that a tied weight has too

    def architectures(self) -> Iterator[Architecture]:
        """One for each number of heads."""
        for index, heads in enumerate(self.heads or (Heads(0, ""),)):
            settings = self.settings | ({self.heads_key: heads.count} if heads.count else {})
            ending = f"-{heads.count}-heads" if heads.count else ""
            told = (
                (f"The number of attention heads is not in the weights; {heads.count} is taken, {heads.reason}.",)
                if heads.count
                else ()
            )
            yield Architecture(
                id=f"transformers/{self.id}{ending}",
                title=f"{self.title} of transformers" + (f" with {counted(heads.count)}" if heads.count else ""),
                build=functools.partial(self._built, settings),
                facts=self.facts,
                reason=f"{counted(heads.count)}: {heads.reason}." if heads.count else f"{self.reason}.",
                score=self.score - 0.05 * index,
                notes=(*told, *self.notes),
                rename=functools.partial(self._renamed, settings),
                spare=BUFFERS,
            )

    def near(self, shapes: Shapes) -> Near:
        """How near the network of these settings comes to weights that are not quite its own."""
        own = self._shapes()
        return Near(
            f"transformers/{self.id}",
            f"{self.title} of transformers",
            len(own.keys() & shapes.keys()) / len(own.keys() | shapes.keys()),
            lambda: own,
        )

    def _shapes(self) -> dict[str, tuple[int, ...]]:
        """Names and shapes, without any memory for the numbers."""
        import torch

        cls, config = self._made(self.settings | ({self.heads_key: self.heads[0].count} if self.heads else {}))
        with torch.device("meta"):
            return {name: tuple(one.shape) for name, one in cls(config).state_dict().items()}

    def _made(self, settings: dict[str, Any]) -> tuple[Any, Any]:
        from model_zoo.formats._transformers import quiet

        with quiet() as transformers:
            return getattr(transformers, self.network), getattr(transformers, self.config)(**settings)

    def _built(self, settings: dict[str, Any]) -> Any:
        from model_zoo.formats import _transformers

        cls, config = self._made(settings)
        with _transformers.quiet():
            body = cls(config)
        if self.kind == "image":
            return _transformers.ImageScores(body)
        return (_transformers.NextToken if self.kind == "next token" else _transformers.TextScores)(body, self.pad)

    def _renamed(self, settings: dict[str, Any], tensors: dict[str, Any]) -> dict[str, Any]:
        """The tensors by the names of this version of the library, which reads those of older ones."""
        from model_zoo.formats._transformers import quiet

        for old, new in self.before.items():
            tensors = {new + key[len(old) :] if key.startswith(old) else key: one for key, one in tensors.items()}
        own = {key: one for key, one in tensors.items() if not key.endswith(BUFFERS)}
        if self.added is not None:
            own |= self.added(own)
        theirs = {f"body.{key}": one for key, one in own.items()}
        try:
            cls, config = self._made(settings)
            with quiet():
                network, report = cls.from_pretrained(
                    None,
                    config=config,
                    state_dict=own,
                    dtype=next(one for one in own.values() if one.is_floating_point()).dtype,
                    output_loading_info=True,
                    ignore_mismatched_sizes=True,
                )
        except Exception:  # settings from the shapes of a damaged file may contradict one another in any way
            return theirs
        differing = any(report[one] for one in ("missing_keys", "unexpected_keys", "mismatched_keys"))
        # Whoever compares the names and shapes says what differs.
        return theirs if differing else {f"body.{key}": one for key, one in network.state_dict().items()}


def refused(id: str, title: str, sentence: str) -> Architecture:
    """Weights that are recognised, and cannot be explained: asking for the network says why."""

    def build() -> Any:
        raise UserError(sentence)

    return Architecture(f"transformers/{id}", title, build, reason=sentence, score=0.3)


def consistent(made: Callable[[], Family | None]) -> Family | None:
    """The family, or None where shapes have fewer axes than their names promise, or none at all."""
    try:
        return made()
    except (LookupError, ValueError, ArithmeticError):
        return None


def heads(
    width: int, published: dict[int, tuple[int, str]] | None = None, standard: tuple[int, ...] = STANDARD
) -> tuple[Heads, ...]:
    """Numbers of attention heads for a width, the likeliest first.

    published: width -> heads, and whose; standard: widths for which 64 numbers a head are beyond doubt.
    """
    known = (published or {}).get(width)
    if known is not None:
        count, who = known
        others = [width // 64] if width % 64 == 0 and width // 64 != count else []
        usual = f"since {who} of width {width:,} has as many"
        return (Heads(count, usual), *(Heads(one, "which makes heads of the usual width 64") for one in others))
    if width in standard:
        return (Heads(width // 64, f"as in published models of width {width:,}"),)
    usual_first = (width // 64,) if width % 64 == 0 and width >= WIDE else ()
    tried = dict.fromkeys((*usual_first, *ORDER))
    fitting = [one for one in tried if width % one == 0 and width // one >= NARROWEST] or [1]
    return tuple(Heads(one, f"which makes heads of width {width // one}") for one in fitting[:MOST_CHOICES])


def layers(shapes: Shapes, before: str) -> int:
    """How many layers are numbered after `before`: 1 and the highest number; 0 where there is none."""
    pattern = re.compile(re.escape(before) + r"(\d+)\.")
    return 1 + max((int(found[1]) for name in shapes if (found := pattern.match(name))), default=-1)


def rows(shapes: Shapes, name: str) -> int:
    """The first axis of a tensor; 0 where there is none."""
    return shapes[name][0] if shapes.get(name) else 0


def text(outputs: int, limit: int | None) -> Facts:
    """A classifier of texts, or a regression where there is one output."""
    single = outputs == 1
    return Facts(
        modality="text",
        task="regression" if single else "classification",
        output="value" if single else "logit",
        limit=limit,
    )


def counted(count: int) -> str:
    """A number of heads in words."""
    return f"{count} head" if count == 1 else f"{count} heads"
