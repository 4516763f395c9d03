"""The one model that a worker serves, and its answers; runs in the worker alone.

What may be opened follows from what holds around this very process: without the whole sandbox, formats that are
numbers alone.
"""

from __future__ import annotations

import dataclasses
import gc
import importlib
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from explainers.runtime.types import Look, Request, Source
from model_zoo.types import ModelCard, Sample, UserError

if TYPE_CHECKING:
    from explainers.diagnosis import Diagnosis
    from explainers.engine.run import Run
    from explainers.types import Explanation, Panel
    from model_zoo.files import Reading, Trust
    from model_zoo.model import Model


def trusted(barriers: Collection[str], allow_code: bool) -> tuple[Trust, ...]:
    """The kinds of file that may be opened behind these barriers; formats that are code if the operator said so."""
    from explainers.runtime import sandbox
    from model_zoo import opening
    from model_zoo.files import Trust

    if not set(sandbox.REQUIRED) <= set(barriers):
        return opening.ANYWHERE
    return (*opening.CONTAINED, Trust.CODE) if allow_code else opening.CONTAINED


class Served:
    """A source and, once it is needed, the model in it; every answer may raise UserError."""

    def __init__(self, source: Source, device: str, catalogue: str, trust: tuple[Trust, ...]) -> None:
        self._source = source
        self._device = device
        self._catalogue = catalogue
        self._trust = trust
        self._model: Model | None = None
        self.loaded: Callable[[], Any] = lambda: None  # called when the model is there

    def serve(self, source: Source) -> None:
        """The same file, of which something else is said now: with other facts it is another model."""
        if source.facts != self._source.facts:
            self._model = None
            gc.collect()  # before the next one takes as much memory
        elif self._model is not None:
            self._model.card = dataclasses.replace(self._model.card, title=source.title or self._model.card.title)
        self._source = source

    def model(self) -> Model:
        """The model, loaded once."""
        if self._model is None:
            source = self._source
            if source.path:
                from model_zoo import opening

                about = ModelCard(source.id, source.title, "", "classification", "logit", (), digest=source.digest)
                self._model = opening.open_file(self._file(), source.facts, self._device, self._trust, about)
            else:
                self._model = importlib.import_module(self._catalogue).load(source.id, self._device)
        self.loaded()
        return self._model

    # -- answers, by the kind of request -----------------------------------------------------------------------------

    def read(self) -> Reading:
        """What is found in the file; no model is kept."""
        from model_zoo import opening

        if not self._source.path:
            raise UserError(f"{self._source.title or self._source.id} is bundled: there is no file to read.")
        return opening.read(self._file(), self._source.facts, self._trust)

    def card(self) -> ModelCard:
        """The card of the model, once loaded."""
        return self.model().card

    def look(self, data: bytes, name: str, players: str | None, baseline: str | None, options: dict[str, Any]) -> Look:
        """An input of the app's, with previewed players of a kind if asked for."""
        model = self.model()
        sample = model.sample(data, name)
        if baseline is not None:
            model.input.reference(sample, baseline)  # says what is wrong with it
        found = None if players is None else model.input.players(sample, players, **options)
        return dataclasses.replace(self._seen(model, sample), players=found)

    def sample(self, given: Any, name: str) -> Look:
        """Whatever a script gives as an input."""
        model = self.model()
        return self._seen(model, model.sample(given, name))

    def rows(self, data: bytes, name: str) -> tuple[dict[str, Any], ...]:
        """The rows of a CSV."""
        model = self.model()
        reader = getattr(model.input, "rows", None)
        if reader is None:
            raise UserError(
                f"{name} has rows for a model of tables; {model.card.title} takes {model.card.modality} input."
            )
        return tuple(reader(data, name))

    def doctor(self, data: bytes | None, name: str) -> Diagnosis:
        """A check-up."""
        from explainers import doctor

        return doctor.examine(self.model(), data, name)

    def explain(self, request: Request, data: bytes, name: str, run: Run) -> Explanation:
        """A job of the app's."""
        asked = ("target", "output", "against", "baseline", "players", "seed", "evidence")
        keywords = {one: getattr(request, one) for one in asked}
        keywords["at"] = None if request.at is None else slice(*request.at)
        return self.given(data, name, request.method, keywords | request.parameters, run)

    def given(self, given: Any, name: str, method: str, keywords: dict[str, Any], run: Run) -> Explanation:
        """What a script asks: `keywords` are those of explain()."""
        from explainers.explaining import explain

        model = self.model()
        sample = given if isinstance(given, Sample) else model.sample(given, name)
        return explain(model, sample, method, run=run, **keywords)

    def check(self, given: Any, name: str, values: dict[str, Any], keywords: dict[str, Any], run: Run) -> Panel:
        """The trust panel for values that a script gives: {"values": ...}, and the keywords of check()."""
        from explainers.examining import check

        model = self.model()
        sample = given if isinstance(given, Sample) else model.sample(given, name)
        return check(model, sample, values["values"], run=run, **keywords)

    def scrutinise(
        self,
        given: None,
        name: str,
        explanation: Explanation,
        lines: str | tuple[str, ...],
        keywords: dict[str, Any],
        run: Run,
    ) -> Explanation:
        """More evidence for an explanation that was made before."""
        from explainers.examining import scrutinise

        return scrutinise(self.model(), explanation, lines, run=run, **keywords)

    def _seen(self, model: Model, sample: Sample) -> Look:
        return Look(
            card=model.card,
            sample=sample,
            prediction=model.predict(sample),
            baselines=model.input.baselines,
            player_kinds=model.input.player_kinds,
        )

    def _file(self) -> Any:
        from model_zoo.files import ModelFile

        return ModelFile(Path(self._source.path), self._source.name)
