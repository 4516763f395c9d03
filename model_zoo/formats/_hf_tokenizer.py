"""The tokenizer of a Hugging Face folder: its tokenizer.json, else what the library builds from vocabulary files.

The pad is written into the tokenizer, for whoever reads it to find: the pad token of the configuration, else the token
that ends a text. Nothing but data files is looked at.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from model_zoo.formats._hf_files import CONFIG, MIB, Files
from model_zoo.types import UserError

TOKENIZER = "tokenizer.json"
SETTINGS = "tokenizer_config.json"
SPECIAL = "special_tokens_map.json"
VOCABULARIES = (("vocab.txt",), ("vocab.json", "merges.txt"), ("spiece.model",), ("sentencepiece.bpe.model",),
                ("tokenizer.model",))  # fmt: skip
MOST = 64 * MIB
ENDLESS = 1_000_000  # a length that means none was set


def settings(files: Files) -> dict[str, Any]:
    """What tokenizer_config.json and special_tokens_map.json say; empty where there are none."""
    found: dict[str, Any] = {}
    for name in (SPECIAL, SETTINGS):
        if name in files:
            found |= files.json(name, MOST)
    return found


def read(files: Files, config: dict[str, Any], scratch: Path) -> Any:
    """A `tokenizers.Tokenizer` that knows its pad, or None where there is none; UserError if it cannot be read."""
    if TOKENIZER in files:
        found = parsed(files.text(TOKENIZER, MOST), files.name)
    elif any(all(one in files for one in names) for names in VOCABULARIES):
        found = _converted(files, config, scratch)
    else:
        return None
    pad = pad_of(found, settings(files), config)
    if pad is not None:
        found.enable_padding(pad_id=pad, pad_token=found.id_to_token(pad) or "")
    return found


def parsed(text: str, name: str) -> Any:
    """A tokenizer from the text of a tokenizer.json."""
    from tokenizers import Tokenizer

    try:
        return Tokenizer.from_str(text)
    except BaseException as error:  # its parser raises past Exception on a bad pattern
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        raise UserError(
            f"{TOKENIZER} in {name} cannot be read; save the tokenizer again with tokenizer.save_pretrained(folder)."
        ) from error


def _converted(files: Files, config: dict[str, Any], scratch: Path) -> Any:
    """From vocabulary files, by the library's own conversion; of the configuration only what concerns it."""
    from model_zoo.formats._transformers import quiet

    home = scratch / "tokenizer"
    home.mkdir()
    for name in {one for names in VOCABULARIES for one in names} & set(files.names):
        (home / name).write_bytes(files.data(name, MOST))
    kept = {key: value for key, value in settings(files).items() if key != "auto_map"}
    (home / SETTINGS).write_text(json.dumps(kept), encoding="utf-8")
    (home / CONFIG).write_text(json.dumps({"model_type": config.get("model_type", "")}), encoding="utf-8")
    try:
        with quiet() as transformers:
            made = transformers.AutoTokenizer.from_pretrained(home, local_files_only=True, trust_remote_code=False)
            return parsed(made.backend_tokenizer.to_str(), files.name)
    except UserError:
        raise
    except BaseException as error:  # as above; and a missing sentencepiece is told in many ways
        if isinstance(error, (KeyboardInterrupt, SystemExit)):
            raise
        raise UserError(
            f"The vocabulary files in {files.name} could not be turned into a tokenizer here; save it as tokenizer.json"
            " with AutoTokenizer.from_pretrained(folder).save_pretrained(folder)."
        ) from error


def pad_of(tokenizer: Any, said: dict[str, Any], config: dict[str, Any]) -> int | None:
    """The id that fills up shorter texts: of the pad token, of the configuration, else the token that ends a text."""
    named = _token(said.get("pad_token"))
    if named and tokenizer.token_to_id(named) is not None:
        return tokenizer.token_to_id(named)
    if tokenizer.padding:
        return tokenizer.padding["pad_id"]
    for key in ("pad_token_id", "eos_token_id"):
        found = config.get(key)
        found = found[0] if isinstance(found, list) and found else found
        if isinstance(found, int) and not isinstance(found, bool) and tokenizer.id_to_token(found) is not None:
            return found
    for one in ("[PAD]", "<pad>", _token(said.get("eos_token")), "<|endoftext|>", "</s>"):
        if one and tokenizer.token_to_id(one) is not None:
            return tokenizer.token_to_id(one)
    return None


def _token(said: Any) -> str:
    """A token as the settings spell it: a text, or an object with its content."""
    said = said.get("content") if isinstance(said, dict) else said
    return said if isinstance(said, str) else ""


def limit(said: dict[str, Any]) -> int | None:
    """The number of tokens that the tokenizer says the model reads, special ones too."""
    found = said.get("model_max_length")
    return int(found) if isinstance(found, (int, float)) and 0 < found < ENDLESS else None


def spellings(tokenizer: Any, count: int) -> tuple[str, ...]:
    """What each of `count` ids adds to a text: " the" for a word with the space before it; all different."""
    anchor = next((one for one in ("a", "▁a", "Ġa") if tokenizer.token_to_id(one) is not None), None)
    known = min(count, tokenizer.get_vocab_size())
    ids = list(range(known))
    before, start = "", []
    if anchor is not None:
        start = [tokenizer.token_to_id(anchor)]
        before = tokenizer.decode(start, skip_special_tokens=False)
    texts = tokenizer.decode_batch([[*start, one] for one in ids], skip_special_tokens=False)
    found: dict[str, int] = {}
    for one, text in zip(ids, texts, strict=True):
        piece = text.removeprefix(before) if text.startswith(before) else ""
        if not piece.strip() or "\ufffd" in piece or piece in found:
            piece = tokenizer.id_to_token(one) or f"token {one}"
        found[piece if piece not in found else f"{piece} ({one})"] = one
    return (*found, *(f"token {one}" for one in range(known, count)))
