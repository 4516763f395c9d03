"""The one road from somebody's model file to a Model: tell its format, check that it may be opened here, open it, add
what its owner said to what the file says, and wrap it.

A file in formats/ with FORMAT is found by looking; one that fails to import is listed as broken, never skipped.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from model_zoo.discovery import Broken, discover
from model_zoo.facts import IMAGENET_MEAN, IMAGENET_STD, Facts, fact, parse
from model_zoo.files import Format, ModelFile, Opened, Reading, Trust
from model_zoo.types import ModelCard, UserError, quoted

if TYPE_CHECKING:
    from model_zoo.model import Model

T = TypeVar("T")
ANYWHERE = (Trust.DATA,)
CONTAINED = (Trust.DATA, Trust.SANDBOX)
ANY_CODE = (Trust.DATA, Trust.SANDBOX, Trust.CODE)
PHOTO = Facts(size=(224, 224), mean=IMAGENET_MEAN, std=IMAGENET_STD, resample="bilinear", crop=0.875)
ALIASES = {"feature_names": "columns", "class_names": "labels"}  # as wrap() calls them
MOST_TOLD = 8  # choices that a sentence names
LIMIT = 512  # tokens, where nobody says


@functools.cache
def formats() -> tuple[Format, ...]:
    """Every format, in the order in which they are asked."""
    return tuple(sorted(discover("model_zoo.formats", "FORMAT")[0], key=lambda one: (one.order, one.id)))


def broken() -> tuple[Broken, ...]:
    """Formats, and families of bare weights, that did not import, with the reason."""
    from model_zoo import recognition

    return discover("model_zoo.formats", "FORMAT")[1] + recognition.broken()


def format_of(file: ModelFile) -> Format:
    """The format of a file, by its bytes; UserError lists what can be opened."""
    if not file.path.exists():
        raise UserError(f"There is no file {file.name!r}; check the path.")
    if not file.folder and file.size == 0:
        raise UserError(f"{file.name} is empty (0 bytes); save or upload it again.")
    for one in formats():
        if one.sniff(file):
            return one
    known = ", ".join(one.title for one in formats() if one.trust in CONTAINED)
    raise UserError(
        f"{file.name} is none of the model files that Assay opens ({known}), or it was cut off. Save it again in one of"
        " these formats."
    )


def allowed(file: ModelFile, trusted: Collection[Trust]) -> Format:
    """The format of a file that may be opened here; UserError says why not, and what to do."""
    found = format_of(file)
    if found.trust in trusted:
        return found
    if found.refusal:
        raise UserError(found.refused(file))
    raise UserError(
        f"{file.name} is a {found.title}, which can run code or crash its reader, so it is opened in a sandboxed worker"
        " only: use explainers.open_model(path), or model_zoo.load(path, trust=True) if you trust who made it."
    )


def read(file: ModelFile, said: Facts | None = None, trusted: Collection[Trust] = ANYWHERE) -> Reading:
    """What is found in a file, and what its owner has still to say; UserError if it cannot be opened."""
    form = allowed(file, trusted)
    said = said or Facts()
    opened = _told(file, form, lambda: form.open(file, said))
    facts = completed(said.over(opened.guess))
    guess = completed(opened.guess)
    if opened.input is not None:
        guess = dataclasses.replace(guess, modality=opened.input.modality)
    reading = Reading(
        format=form.id,
        title=form.title,
        what=opened.what,
        guess=guess,
        required=required(facts, opened),
        parameters=_parameters(opened.network),
        notes=opened.notes,
        choices=opened.choices,
        uncertain=opened.uncertain,
        assumed=() if opened.input is not None else assumed(_said_of_it(opened)),
        own_input=opened.input is not None,
    )
    if reading.required:
        return reading
    try:
        model = _told(file, form, lambda: built(opened, facts, file.name))
    except UserError as error:
        return dataclasses.replace(reading, problem=str(error))
    known = model.card.labels and not said.labels
    return dataclasses.replace(
        reading,
        outputs=(1 if model.card.task == "binary" else len(model.card.labels)) or None,
        guess=dataclasses.replace(
            guess,
            task=guess.task or (model.card.task if known else None),
            output=guess.output or (model.card.output if known else None),
        ),
    )


def open_file(
    file: ModelFile,
    said: Facts | None = None,
    device: str = "cpu",
    trusted: Collection[Trust] = ANYWHERE,
    about: ModelCard | None = None,
) -> Model:
    """A model from a file and what its owner said of it; UserError says in a sentence what does not fit.

    about: the card whose id, title and digest the model gets, for one that is known already.
    """
    form = allowed(file, trusted)
    said = said or Facts()
    opened = _told(file, form, lambda: form.open(file, said))
    facts = completed(said.over(opened.guess))
    missing = required(facts, opened)
    if missing:
        raise UserError(f"{file.name} does not say its {' and '.join(missing)}; {_asked(missing[0], opened)}")
    model = _told(file, form, lambda: built(opened, facts, file.name, device))
    model.card = dataclasses.replace(
        model.card,
        description=facts.description or opened.what,
        notes=opened.notes,
        licence=facts.licence,
        source=f"{file.name} ({form.title})",
        digest=about.digest if about is not None and about.digest else model.card.digest,
        id=about.id if about is not None else model.card.id,
        title=(about.title if about is not None else "") or model.card.title,
    )
    if hasattr(model.network, "eval"):
        model.network.eval().requires_grad_(False)
    return model


def _told(file: ModelFile, form: Format, act: Callable[[], T]) -> T:
    """What `act` returns; UserError for whatever a stranger's file makes its reader raise."""
    try:
        return act()
    except (UserError, MemoryError):
        raise
    except Exception as error:
        raise UserError(
            f"{file.name} could not be opened as {form.title}; its reader said: {quoted(error)}. It is damaged or was"
            " made to mislead: save or export it again."
        ) from error


def load(path: Any, device: str, trust: bool, card: Any, given: dict[str, Any]) -> Model:
    """model_zoo.load of a path: in this process."""
    file = ModelFile(Path(path).expanduser())
    if not file.path.exists():
        from model_zoo import catalogue

        if os.sep not in str(path) and "." not in str(path):
            catalogue.card(str(path))  # a bundled model, or UserError with the nearest ids
        raise UserError(
            f"There is no file {str(path)!r} to read; check the path, or give the id of a bundled model alone."
        )
    return open_file(file, said(card, given), device, ANY_CODE if trust else ANYWHERE)


def said(card: Any, given: dict[str, Any]) -> Facts:
    """What an owner says: a card file or Facts, and single facts over it; UserError names what is not one."""
    base = card if isinstance(card, Facts) else Facts() if card is None else parse_file(card)
    named = {ALIASES.get(name, name): value for name, value in given.items()}
    return dataclasses.replace(base, **{name: fact(name, value) for name, value in named.items()})


def parse_file(path: Any) -> Facts:
    """The facts of a card file."""
    try:
        text = Path(path).expanduser().read_bytes()
    except OSError as error:
        raise UserError(f"The card {path} could not be read: {error.strerror}. Check the path.") from error
    return parse(text, Path(path).name)


ASK = {
    "architecture": "its layers can be put together in several ways: choose one, or save it as TorchScript or ONNX",
    "modality": "say whether it takes images, texts, tables, series or audio: modality.",
    "tokenizer": "give its tokenizer.json, so that texts become the token ids that it was trained on.",
    "columns": "give its feature names, or a CSV with a header and some rows.",
}


def _asked(name: str, opened: Opened) -> str:
    """What to do about a fact that is missing."""
    if name != "architecture":
        return ASK[name]
    return f"{ASK[name]}. architecture is one of {', '.join(one.id for one in opened.choices[:MOST_TOLD])}."


def required(facts: Facts, opened: Opened) -> tuple[str, ...]:
    """Names of the facts without which a model cannot be run."""
    if opened.uncertain and not facts.architecture:
        return ("architecture",)
    if opened.input is not None:
        return ()
    if not facts.modality:
        return ("modality",)
    if facts.modality == "text" and not facts.tokenizer:
        return ("tokenizer",)
    return ()


def completed(guess: Facts) -> Facts:
    """A guess with what is usual for its modality where the file says nothing."""
    if guess.modality == "image":
        usual = PHOTO
        if guess.channels not in (None, 3):
            usual = Facts(resample="bilinear")
        if guess.size is not None and max(guess.size) <= 96:
            usual = dataclasses.replace(usual, crop=None)
        if guess.mean or guess.std or guess.scale:
            usual = dataclasses.replace(usual, mean=(), std=())
        return guess.over(usual)
    if guess.modality == "text":
        return guess.over(Facts(limit=LIMIT))
    return guess


def _said_of_it(opened: Opened) -> Facts:
    """A guess without what only its architecture suggests."""
    unsaid = {"mean": (), "std": (), "scale": None, "crop": None, "resample": Facts().resample}
    return dataclasses.replace(opened.guess, **unsaid) if opened.usual else opened.guess  # type: ignore[arg-type]


def assumed(guess: Facts) -> tuple[str, ...]:
    """Names of the facts that completed() adds to a guess."""
    usual = completed(guess)
    return tuple(one.name for one in dataclasses.fields(Facts) if getattr(usual, one.name) != getattr(guess, one.name))


def built(opened: Opened, facts: Facts, name: str, device: str = "cpu") -> Model:
    """The network wrapped with its input and card; UserError if they do not fit."""
    from model_zoo.modalities.tabular import TableInput
    from model_zoo.wrapping import wrap

    modality = opened.input.modality if opened.input is not None else facts.modality
    rows: Any = None
    columns = facts.columns or None
    if modality == "tabular" and facts.background:
        taken = TableInput(facts.columns)
        rows = taken.rows(facts.background.encode(), "the background")
        columns = taken.named_by(tuple(rows[0])) or None
    model = wrap(
        opened.network,
        modality=modality,
        task=facts.task,
        output=facts.output,
        class_names=facts.labels or _tokens(opened, facts) or None,
        columns=columns,
        background=rows,
        embedding=facts.embedding or None,
        title=facts.title or Path(name).stem,
        unit=facts.unit,
        device=device if hasattr(opened.network, "parameters") else None,
        feature_names=[one.name for one in facts.columns] if modality == "series" and facts.columns else None,
        rate=facts.rate,
        time_axis=facts.time_axis,
        input=opened.input if opened.input is not None else _input(facts),
    )
    if opened.settle is not None:
        model.settle = opened.settle
    return model


def _tokens(opened: Opened, facts: Facts) -> tuple[str, ...]:
    """What a language model's outputs are called: a network of bare weights is told its tokenizer here, if it asks."""
    reads = getattr(opened.network, "reads", None)
    if not callable(reads) or opened.input is not None or not facts.tokenizer:
        return ()
    return reads(facts.tokenizer)


def _input(facts: Facts) -> Any:
    """The input that the facts describe; None for tables, series and sounds, of which wrap() is told all."""
    if facts.modality == "image":
        from model_zoo.modalities.image import ImageInput

        given = {
            name: getattr(facts, name)
            for name in ("size", "channels", "order", "scale", "mean", "std", "crop", "resample")
            if getattr(facts, name) not in ("", None, ())
        }
        if facts.crop == 0:  # said aloud, since an empty field would be filled with what is usual
            given["crop"] = None
        channels = facts.channels or 3
        for name, neutral in (("mean", 0.0), ("std", 1.0)):
            given.setdefault(name, (neutral,) * channels)
            if len(given[name]) != channels:
                raise UserError(
                    f"{name} has one number for each of the {channels} channels; {len(given[name])} came. Give as many."
                )
        return ImageInput(**given)
    if facts.modality == "text":
        from tokenizers import Tokenizer

        from model_zoo.modalities.text import TextInput

        try:
            tokenizer = Tokenizer.from_str(facts.tokenizer)
        except BaseException as error:  # its parser raises past Exception on a bad pattern
            if isinstance(error, (KeyboardInterrupt, SystemExit)):
                raise
            raise UserError(
                "The tokenizer could not be read; give the tokenizer.json that Hugging Face tokenizers writes."
            ) from error
        return TextInput(tokenizer, limit=facts.limit or LIMIT)
    return None


def _parameters(network: Any) -> int:
    own = getattr(network, "parameters", None)
    return sum(one.numel() for one in own()) if callable(own) else 0
