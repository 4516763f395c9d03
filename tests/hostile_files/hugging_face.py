"""Hugging Face folders and zips of them: code, links, paths, and settings that ask for too much."""

import json
import os
import stat
import zipfile
from pathlib import Path

from hostile import Hostile, World
from hostile_files.pickled_code import archive as torch_archive
from hostile_files.pickled_code import call, dumped

BERT = {
    "model_type": "bert",
    "architectures": ["BertForSequenceClassification"],
    "hidden_size": 8,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "intermediate_size": 8,
    "vocab_size": 20,
    "max_position_embeddings": 16,
    "pad_token_id": 0,
}


def tokenizer(**more):
    words = {word: number for number, word in enumerate(["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "b", "good", "film"])}
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": [], "normalizer": None,
        "pre_tokenizer": {"type": "Whitespace"}, "post_processor": None, "decoder": None,
        "model": {"type": "WordLevel", "vocab": words, "unk_token": "[UNK]"}, **more,
    }  # fmt: skip


def weights(config) -> bytes:
    """model.safetensors of this configuration."""
    from safetensors.torch import save

    from model_zoo import vision

    vision.ready()
    from transformers import BertConfig, BertForSequenceClassification

    network = BertForSequenceClassification(BertConfig(**{k: v for k, v in config.items() if k != "model_type"}))
    return save({name: one.contiguous() for name, one in network.state_dict().items()})


def folder_of(change, honest=True):
    """An honest folder, changed: name -> bytes, text or JSON; None takes a file away."""

    def build(folder: Path, world: World) -> Path:
        path = folder / "model"
        path.mkdir()
        files = {
            "config.json": BERT,
            "tokenizer.json": tokenizer(),
            "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast"},
            "model.safetensors": weights(BERT) if honest else b"",
        }
        files.update(change(world, path) or {})
        for name, content in files.items():
            if content is not None:
                data = (
                    content
                    if isinstance(content, bytes)
                    else content
                    if isinstance(content, str)
                    else json.dumps(content)
                )
                (path / name).write_bytes(data if isinstance(data, bytes) else data.encode())
        return path

    return build


def link(name, to):
    """One file of the folder is a link to this place."""

    def change(world, path):
        os.symlink(str(to(world)), path / name)
        return {name: None}

    return folder_of(change)


def zipped(members, honest=True):
    """A zip of an honest folder and more members."""

    def build(folder: Path, world: World) -> Path:
        place = folder_of(lambda world, path: {}, honest)(folder, world)
        path = folder / "model.zip"
        more = members(world)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            for one in sorted(place.iterdir()):
                if one.name not in more:
                    file.write(one, one.name)
                one.unlink()
            for name, data in more.items():
                file.writestr(name, data)
        place.rmdir()
        return path

    return build


def config(**given):
    return folder_of(lambda world, path: {"config.json": {**BERT, **given}})


def auto_map(world, path):
    return {
        "config.json": {
            **BERT,
            "auto_map": {"AutoConfig": "evil.Evil", "AutoModelForSequenceClassification": "evil.Evil"},
        },
        "tokenizer_config.json": {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": ["evil.Evil", None]}},
        "evil.py": world.code,
        "modeling_bert.py": world.code,
        "__init__.py": world.code,
        "conftest.py": world.code,
        "sitecustomize.py": world.code,
    }


def pattern(text):
    return folder_of(
        lambda world, path: {
            "tokenizer.json": tokenizer(
                pre_tokenizer={"type": "Split", "pattern": {"Regex": text}, "behavior": "Isolated", "invert": False}
            )
        }
    )


def pickled(world, path):
    made = torch_archive(path.parent / "bin", dumped(call("builtins", "exec", world.code)))
    data = made.read_bytes()
    made.unlink()
    return {"model.safetensors": None, "pytorch_model.bin": data}


def index(world, path):
    return {
        "model.safetensors": None,
        "model.safetensors.index.json": {
            "metadata": {"total_size": 1},
            "weight_map": {
                "a.weight": f"../../..{world.secret}",
                "b.weight": str(world.secret),
                "c.weight": "/dev/zero",
            },
        },
    }


def linked_zip(world):
    one = zipfile.ZipInfo("model-00001-of-00001.safetensors")
    one.external_attr = (stat.S_IFLNK | 0o777) << 16
    return {one: str(world.secret)}


def many_files(world, path):
    for number in range(20_000):
        (path / f"file{number}.txt").touch()


CASES = {
    "auto_map": folder_of(auto_map),
    "pickled_weights": folder_of(pickled),
    "index_outside": folder_of(index),
    "index_itself": folder_of(lambda w, p: {"model.safetensors": None, "model.safetensors.index.json": {"weight_map": {"a": "model.safetensors.index.json"}}}),
    "weights_linked": link("model.safetensors", lambda w: w.secret),
    "config_linked": link("config.json", lambda w: w.secret),
    "tokenizer_linked": link("tokenizer.json", lambda w: w.secret),
    "weights_linked_to_nowhere": link("model.safetensors", lambda w: "/nowhere"),
    "weights_linked_to_itself": link("model.safetensors", lambda w: "model.safetensors"),
    "weights_a_device": link("model.safetensors", lambda w: "/dev/zero"),
    "weights_a_pipe": folder_of(lambda w, p: (os.mkfifo(p / "model.safetensors"), {"model.safetensors": None})[1]),
    "config_a_pipe": folder_of(lambda w, p: (os.mkfifo(p / "config.json"), {"config.json": None})[1]),
    "config_deep": folder_of(lambda w, p: {"config.json": '{"model_type":"bert","a":' + "[" * 100_000 + "]" * 100_000 + "}"}),
    "config_huge": folder_of(lambda w, p: {"config.json": '{"model_type":"bert","a":"' + "x" * (64 << 20) + '"}'}),
    "config_many_words": config(vocab_size=10**12),
    "config_many_layers": config(num_hidden_layers=10**9),
    "config_wide": config(hidden_size=10**9, num_attention_heads=1),
    "config_negative": config(hidden_size=-8),
    "config_of_texts": config(hidden_size="__import__('os').system('id')", num_hidden_layers=[1, 2], hidden_act="os.system"),
    "config_many_labels": config(id2label={str(n): "x" * 1000 for n in range(3000)}),
    "config_unknown": config(model_type="evil", architectures=["Evil"]),
    "config_of_a_dunder": config(model_type="__init__", architectures=["__class__"]),
    "config_remote": config(_name_or_path="http://127.0.0.1:9/model", attn_implementation="evil/kernel", kernel_config={"a": "b"}),
    "config_timm": config(model_type="timm_wrapper", architecture="hf_hub:evil/model", architectures=["TimmWrapperForImageClassification"]),
    "config_quantised": config(quantization_config={"quant_method": "gptq", "bits": 4}),
    "config_peft": folder_of(lambda w, p: {"adapter_config.json": {"base_model_name_or_path": str(w.secret)}}),
    "tokenizer_bad_pattern": pattern("(?P<a>(["),
    "tokenizer_slow_pattern": pattern("(a|a)*(b|b)*$" * 20 + "(?=(a+)+$)"),
    "tokenizer_deep": folder_of(lambda w, p: {"tokenizer.json": '{"model":' + "[" * 100_000 + "]" * 100_000 + "}"}),
    "tokenizer_huge": folder_of(lambda w, p: {"tokenizer.json": '{"version":"1.0","a":"' + "x" * (128 << 20) + '"}'}),
    "tokenizer_nested": folder_of(lambda w, p: {"tokenizer.json": tokenizer(normalizer={"type": "Sequence", "normalizers": [{"type": "Sequence", "normalizers": []}] * 50_000})}),
    "tokenizer_no_words": folder_of(lambda w, p: {"tokenizer.json": tokenizer(model={"type": "WordLevel", "vocab": {}, "unk_token": "x"})}),
    "tokenizer_far_ids": folder_of(lambda w, p: {"tokenizer.json": tokenizer(model={"type": "WordLevel", "vocab": {"[UNK]": 4_000_000_000, "a": 4_294_967_295}, "unk_token": "[UNK]"})}),
    "tokenizer_pads_for_ever": folder_of(lambda w, p: {"tokenizer.json": tokenizer(padding={"strategy": {"Fixed": 1 << 40}, "direction": "Right", "pad_to_multiple_of": None, "pad_id": 0, "pad_type_id": 0, "pad_token": "[PAD]"})}),
    "template": folder_of(lambda w, p: {"tokenizer_config.json": {"chat_template": "{{ ''.__class__.__mro__[1].__subclasses__() }}", "tokenizer_class": "os.system"}}),
    "many_files": folder_of(many_files),
    "zip_upwards": zipped(lambda w: {f"../../..{w.target}": "x", str(w.target): "x", "model/../../x": "x", "C:\\x": "x"}),
    "zip_link": zipped(linked_zip),
    "zip_bomb": zipped(lambda w: {"model-00002.safetensors": bytes(512 << 20)}),
    "zip_of_zips": zipped(lambda w: {"config.zip": b"PK\x05\x06" + bytes(18)}),
    "zip_weights_bomb": zipped(lambda w: {"model.safetensors": (1 << 24).to_bytes(8, "little") + bytes(400 << 20)}, honest=False),
}  # fmt: skip
HARMLESS = (  # what is hostile in these is left unread
    *("auto_map", "template", "many_files", "zip_upwards", "zip_link", "zip_bomb", "zip_of_zips", "config_remote"),
    *("config_many_labels", "tokenizer_nested", "tokenizer_far_ids", "tokenizer_slow_pattern"),
    *("tokenizer_pads_for_ever", "tokenizer_no_words"),
)
ENTRIES = tuple(
    Hostile(
        f"hf_{id}",
        "hf_zip" if id.startswith("zip") else "hf_folder",
        f"a folder with {id.replace('_', ' ')}",
        build,
        may_open=id in HARMLESS,
        slow=id in ("zip_bomb", "many_files"),
        seconds=15.0,
    )
    for id, build in CASES.items()
)
