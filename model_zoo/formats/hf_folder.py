"""A Hugging Face folder, or a zip of one: config.json, safetensors and a tokenizer or preprocessor, as
`model.save_pretrained(folder)` and `tokenizer.save_pretrained(folder)` of transformers write them.

The library's own class is built from the configuration, without network and without any code of the folder; a pickled
pytorch_model.bin is read by a reader that knows tensors alone.
"""

from __future__ import annotations

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.formats import _hf_pictures, _hf_timm, _hf_tokenizer, _hf_weights
from model_zoo.formats._hf_config import Described, describe
from model_zoo.formats._hf_files import ADAPTER, CONFIG, Files
from model_zoo.types import UserError

OURS = (".safetensors", "pytorch_model.bin", "pytorch_model.bin.index.json", ".index.json")
PREPROCESSOR = "preprocessor_config.json"


def sniff(file: ModelFile) -> bool:
    """A folder or zip with a config.json of transformers, or with weights or a tokenizer that should have had one."""
    if not file.folder and not file.head.startswith(b"PK"):
        return False
    try:
        files = Files(file)
        if ADAPTER in files:
            return True
        weights = any(one.endswith(OURS) for one in files.names)
        if CONFIG not in files:
            return weights or _hf_tokenizer.TOKENIZER in files
        said = files.json(CONFIG)
        return weights or any(key in said for key in ("model_type", "architectures"))
    except (UserError, OSError):
        return file.folder and (file.path / CONFIG).exists()


def open_folder(file: ModelFile, said: Facts) -> Opened:
    """The network with its tokenizer or picture settings, and its labels; UserError says what is missing."""
    files = Files(file)
    if ADAPTER in files:
        raise UserError(
            f"{file.name} is an adapter (LoRA), which needs the model that it was trained on; merge both with"
            " model.merge_and_unload() of peft, and give the folder that model.save_pretrained(folder) writes."
        )
    if CONFIG not in files:
        raise UserError(
            f"{file.name} has no config.json; expected one beside the weights, as model.save_pretrained(folder) writes."
        )
    config = files.json(CONFIG)
    packed = config.get("quantization_config")
    if packed:
        method = packed.get("quant_method") if isinstance(packed, dict) else None
        raise UserError(_hf_weights.quantised(file.name, str(method or "another library")[:40]))
    try:
        from model_zoo.formats._transformers import assembled, quiet

        with tempfile.TemporaryDirectory(prefix="hf_") as scratch, quiet() as transformers:
            if _hf_timm.is_one(config):
                return _hf_timm.open_timm(files, config, Path(scratch))
            tensors, read = _hf_weights.load(files, Path(scratch))
            found = describe(config, len(tensors), file.name, transformers)
            body, notes = assembled(found.network, found.config, tensors, file.name)
            del tensors
            tokenizer = None
            if found.kind != "image":
                plain = found.config.to_dict()
                tokenizer = (
                    _hf_tokenizer.parsed(said.tokenizer, "The card")
                    if said.tokenizer
                    else _hf_tokenizer.read(files, plain, Path(scratch))
                )
    except ModuleNotFoundError as error:
        raise UserError(
            f"{file.name} needs the library {error.name}, which is not installed; run: pip install {error.name}."
        ) from error
    notes = (*read, *found.notes, *notes)
    if found.kind == "image":
        return _pictures(files, config, found, body, notes)
    return _texts(files, found, body, tokenizer, said, notes)


def _texts(files: Files, found: Described, body: Any, tokenizer: Any, said: Facts, notes: tuple[str, ...]) -> Opened:
    from model_zoo.formats._transformers import NextToken, TextScores, longest, told
    from model_zoo.modalities.text import TextInput

    settings = _hf_tokenizer.settings(files)
    config = found.config.to_dict()
    limit = said.limit or longest(body, _hf_tokenizer.limit(settings))
    labels = found.labels
    pad = config.get("pad_token_id") if tokenizer is None else _hf_tokenizer.pad_of(tokenizer, settings, config)
    given = None
    if tokenizer is not None:
        if pad is not None:
            tokenizer.enable_padding(pad_id=pad, pad_token=tokenizer.id_to_token(pad) or "")
        given = TextInput(tokenizer, limit=limit)
        if found.kind == "next token":
            labels = _hf_tokenizer.spellings(tokenizer, body.get_output_embeddings().weight.shape[0])
    network = (NextToken if found.kind == "next token" else TextScores)(body, pad)
    guess = Facts(modality="text", task=found.task, output=found.output, labels=labels, unit=found.unit, limit=limit)
    return Opened(network, guess, told(body, len(labels) or None, found.kind), notes, input=given)


def _pictures(files: Files, config: dict[str, Any], found: Described, body: Any, notes: tuple[str, ...]) -> Opened:
    from model_zoo.formats._transformers import ImageScores, told

    said = files.json(PREPROCESSOR) if PREPROCESSOR in files else {}
    guess = _hf_pictures.facts(said, found.config.to_dict())
    if not said:
        notes = (*notes, "There is no preprocessor_config.json, so the usual ImageNet normalisation is assumed.")
    notes = (*notes, *_hf_pictures.squeezed_first(said))
    guess = dataclasses.replace(guess, task=found.task, output=found.output, labels=found.labels, unit=found.unit)
    return Opened(ImageScores(body), guess, told(body, len(found.config.id2label), found.kind), notes)


FORMAT = Format(
    id="hf_folder",
    title="Hugging Face folder",
    endings=(".zip", "/"),
    trust=Trust.SANDBOX,
    sniff=sniff,
    open=open_folder,
    summary=(
        "Classifiers, regressions and causal language models of transformers, and networks of timm: a folder, or a zip"
        " of it, with config.json, safetensors and tokenizer.json or preprocessor_config.json; explained with gradients"
        " and attention."
    ),
    order=20,
)
