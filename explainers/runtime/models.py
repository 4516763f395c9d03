"""The models that an owner may use: bundled ones, and their own in the workspace.

Nobody learns from here whether somebody else has a model: one that is not there and one that is another's are told in
the same words.
"""

from __future__ import annotations

import importlib
from dataclasses import replace

from explainers.runtime.types import Look, Source, Upload
from explainers.runtime.uploads import Uploads
from model_zoo.facts import Facts
from model_zoo.types import ModelCard, UserError


class Models:
    """Cards and sources by id; the catalogue is the name of the module that has cards()."""

    def __init__(self, catalogue: str, uploads: Uploads) -> None:
        self._catalogue = catalogue
        self._uploads = uploads

    def bundled(self) -> tuple[ModelCard, ...]:
        """The cards of the bundled models."""
        found: tuple[ModelCard, ...] = importlib.import_module(self._catalogue).cards()
        return found

    def cards(self, owner: str | None) -> tuple[ModelCard, ...]:
        """Bundled models, then an owner's own that can be explained."""
        return (*self.bundled(), *(() if owner is None else self._uploads.cards(owner)))

    def card(self, model: str, owner: str | None) -> ModelCard:
        """The card of one model; UserError lists what there is."""
        found = self._bundled(model) or (None if owner is None else self._uploads.card(model, owner))
        if found is None:
            raise UserError(
                f"There is no model {model!r}; it was removed, or never was one of yours."
                f" Expected one of: {', '.join(card.id for card in self.cards(owner))}."
            )
        return found

    def source(self, model: str, owner: str | None) -> Source:
        """Where a worker finds a model that can be explained; UserError if there is none, or its file has changed."""
        card = self.card(model, owner)
        if self._bundled(model):
            return Source(card.id, title=card.title, digest=card.digest)
        return self.file(self._uploads.find(model, owner or ""))

    def file(self, upload: Upload, said: Facts | None = None) -> Source:
        """Where a worker finds somebody's file, with what was said of it, or else with other facts."""
        return Source(
            id=upload.id,
            path=str(self._uploads.where(upload)),
            name=upload.name,
            title=upload.title,
            digest=upload.digest,
            facts=upload.facts if said is None else said,
        )

    def _bundled(self, model: str) -> ModelCard | None:
        return next((card for card in self.bundled() if card.id == model), None)

    def learn(self, source: Source, look: Look) -> Look:
        """A look with the model's own names; what its card says more than the kept one is kept as well."""
        if not source.path:
            return look
        card = replace(look.card, id=source.id, title=source.title, digest=source.digest)
        self._uploads.complete(source.id, source.facts, card)
        return replace(look, card=card)
