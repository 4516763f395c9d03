"""Hugging Face folders: what opens agrees with transformers, and what cannot be opened is told in one sentence."""

import json
import os
import pickle
import shutil
import stat
import zipfile

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_transformers import LABELS, SIZES, TEXT, byte_pairs, gpt2_pairs, library, made, text_folder, wordpiece

from explainers import explain
from model_zoo.facts import Facts
from model_zoo.files import ModelFile
from model_zoo.formats import _hf_pictures, _hf_tokenizer
from model_zoo.opening import CONTAINED, format_of, open_file, read
from model_zoo.types import Capability, UserError

NAMED = {"id2label": LABELS, "label2id": {name: index for index, name in LABELS.items()}}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 64, "bos_token_id": 0, "eos_token_id": 0}
FRAMED = {"bos_token_id": 0, "pad_token_id": 1, "eos_token_id": 2}
ROBERTA = {**SIZES, **NAMED, **FRAMED, "max_position_embeddings": 66}
LLAMA = {**SIZES, "num_key_value_heads": 2, "bos_token_id": 0, "eos_token_id": 0}
CASES = {
    "bert": ("BertForSequenceClassification", "BertConfig", wordpiece, {**SIZES, **NAMED}),
    "roberta": ("RobertaForSequenceClassification", "RobertaConfig", byte_pairs, ROBERTA),
    "gpt2": ("GPT2ForSequenceClassification", "GPT2Config", gpt2_pairs, {**GPT2, "pad_token_id": 0}),
    "llama": ("LlamaForCausalLM", "LlamaConfig", gpt2_pairs, LLAMA),
}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """One folder of each case; tests that change one copy it."""
    found = {}
    for name, (cls, config, tokenizer, settings) in CASES.items():
        found[name] = text_folder(tmp_path_factory.mktemp(name), cls, config, tokenizer, **settings)
    return found


@pytest.fixture
def bert(folders, tmp_path):
    """A copy of a BERT classifier's folder."""
    return shutil.copytree(folders["bert"], tmp_path / "bert")


def opened(path, **facts):
    return open_file(ModelFile(path), Facts(**facts), trusted=CONTAINED)


def refused(path, **facts):
    """The sentence that says why a file is not opened."""
    with pytest.raises(UserError) as caught:
        opened(path, **facts)
    said = str(caught.value)
    assert "\n" not in said
    assert said.endswith(".")
    return said


def configured(path, **changes):
    """The same folder with another configuration."""
    config = json.loads((path / "config.json").read_text()) | changes
    (path / "config.json").write_text(json.dumps({key: one for key, one in config.items() if one is not None}))
    return path


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def of_folder(path, before=""):
    return {before + one.name: one.read_bytes() for one in sorted(path.iterdir())}


# -- agreement with the library ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", CASES)
def test_a_padded_batch_scores_as_the_library_scores_it(folders, name):
    cls, _, _, _ = CASES[name]
    model = opened(folders[name])
    network = getattr(library(), cls).from_pretrained(folders[name]).eval()
    pad = model.input.pad
    ids = torch.from_numpy(model.input.batch([TEXT, "It was bad.", "The plot"]))
    mask = (ids != pad).long()
    assert mask.min() == 0
    if getattr(network.config, "pad_token_id", None) is None:
        network.config.pad_token_id = pad
    with torch.no_grad(), model.frozen():
        expected = network(input_ids=ids, attention_mask=mask).logits
        found = model.forward(ids)
    if expected.ndim == 3:
        expected = expected[torch.arange(len(ids)), mask.sum(1) - 1]
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("name", CASES)
def test_attention_is_the_librarys_own(folders, name):
    cls, _, _, _ = CASES[name]
    model = opened(folders[name])
    assert Capability.ATTENTION in model.can
    ids = model.tensor(model.sample(TEXT).x[None])
    eager = getattr(library(), cls).from_pretrained(folders[name], attn_implementation="eager").eval()
    with torch.no_grad():
        expected = eager(input_ids=ids, attention_mask=torch.ones_like(ids), output_attentions=True).attentions
    from model_zoo.probe import attention

    with torch.no_grad(), model.frozen():
        found = attention(lambda: model.forward(ids)).maps
    assert len(found) == len(expected) == 2
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("method", ["saliency", "integrated_gradients", "occlusion", "attention_rollout"])
def test_texts_are_explained(folders, name, method):
    model = opened(folders[name])
    found = explain(model, TEXT, method, **({"steps": 16} if method == "integrated_gradients" else {}))
    assert found.values.shape == (found.players.count,)
    assert np.isfinite(found.values).all()
    assert np.abs(found.values).max() > 0


def test_everything_replaced_by_the_pad_still_has_scores(folders):
    """Integrated gradients, GradientSHAP and others start there; a decoder without special tokens then reads none."""
    for name in CASES:
        model = opened(folders[name])
        sample = model.sample(TEXT)
        rows = model.input.reference(sample, "pad").rows
        with torch.no_grad(), model.frozen():
            assert torch.isfinite(model.forward(model.tensor(rows))).all()


def test_a_language_model_says_which_token_comes_next(folders):
    model = opened(folders["llama"])
    network = library().LlamaForCausalLM.from_pretrained(folders["llama"]).eval()
    sample = model.sample(TEXT)
    assert len(model.card.labels) == network.config.vocab_size
    assert len(set(model.card.labels)) == len(model.card.labels)
    prediction = model.predict(sample)
    with torch.no_grad():
        token = int(network(torch.from_numpy(sample.x)[None]).logits[0, -1].argmax())
    assert prediction.top == token
    assert " was" in model.card.labels
    assert any("comes next" in note for note in model.card.notes)


def test_labels_limit_and_task_come_from_the_folder(folders):
    model = opened(folders["bert"])
    assert model.card.labels == ("negative", "neutral", "positive")
    assert model.card.task == "classification"
    assert model.input.limit == 64
    assert opened(folders["bert"], limit=8).input.limit == 8
    found = read(ModelFile(folders["bert"]), trusted=CONTAINED)
    assert found.required == ()
    assert found.outputs == 3
    assert found.what.startswith("BertForSequenceClassification of transformers")


def test_roberta_counts_its_positions_from_behind_the_pad(folders, tmp_path):
    path = shutil.copytree(folders["roberta"], tmp_path / "roberta")
    (path / "tokenizer_config.json").write_text("{}")
    model = opened(path)
    assert model.input.limit == 64  # 66 rows
    assert len(model.sample("good " * 100).x) == 64
    model.predict(model.sample("good " * 100))


def test_one_output_is_a_regression(tmp_path):
    cls, config, tokenizer, settings = CASES["bert"]
    path = text_folder(tmp_path, cls, config, tokenizer, **{**settings, "id2label": {0: "LABEL_0"}, "label2id": {}})
    model = opened(path)
    assert model.card.task == "regression"
    assert model.card.labels == ("value",)


def test_labels_that_do_not_exclude_one_another_are_values_of_their_own(bert):
    model = opened(configured(bert, problem_type="multi_label_classification"))
    assert model.card.task == "regression"
    assert model.card.labels == ("negative", "neutral", "positive")
    assert model.card.unit == "logit"
    assert any("do not exclude" in note for note in model.card.notes)


@pytest.mark.parametrize(("name", "kind"), [("bert", "vocab.txt"), ("roberta", "merges.txt"), ("gpt2", "merges.txt")])
def test_a_tokenizer_from_vocabulary_files_is_the_librarys_own(folders, tmp_path, name, kind):
    from tiny_transformers import save_tokenizer

    path = shutil.copytree(folders[name], tmp_path / name)
    (path / "tokenizer.json").unlink()
    save_tokenizer(CASES[name][2](), path, kind)
    own = library().AutoTokenizer.from_pretrained(path)
    for text in (TEXT, "Ünknown wörds!", "a b"):
        assert list(opened(path).sample(text).x) == own(text)["input_ids"]


def test_pixels_go_in_as_the_librarys_own_processor_makes_them(tmp_path):
    """Of photos that need no resampling, since one resampling is not the library's two."""
    from PIL import Image

    said = {"size": {"height": 32, "width": 32}, "image_mean": [0.4, 0.5, 0.6], "image_std": [0.2, 0.3, 0.4]}
    said |= {"resample": 3, "rescale_factor": 1 / 255, "do_resize": True, "do_normalize": True, "do_rescale": True}
    made("ViTForImageClassification", "ViTConfig", image_size=32, patch_size=8, **SIZES).save_pretrained(tmp_path)
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(said | {"image_processor_type": "ViTImageProcessor"}))
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    model = opened(tmp_path)
    assert model.input.crop is None
    expected = library().ViTImageProcessor(**said)(Image.fromarray(pixels), return_tensors="np")["pixel_values"][0]
    np.testing.assert_allclose(model.sample(pixels).x, expected, atol=1e-5)


def test_the_geometry_of_processors():
    def of(**said):
        found = _hf_pictures.facts({"image_mean": [0, 0, 0], "image_std": [1, 1, 1], **said}, {"image_size": 224})
        return found.size, found.crop, found.resample, found.scale

    assert of(size={"height": 224, "width": 200}, resample=2) == ((224, 200), 0.0, "bilinear", 1.0)
    assert of(size={"shortest_edge": 256}, crop_size=224, do_center_crop=True) == ((224, 224), 0.875, "bicubic", 1.0)
    assert of(size={"shortest_edge": 224}, crop_pct=0.875)[:2] == ((224, 224), 0.875)
    assert of(size={"shortest_edge": 384}, crop_pct=1.0)[:2] == ((384, 384), 0.0)
    assert of(size=224, rescale_factor=1 / 127.5)[3] == 2.0
    assert of(do_rescale=False)[3] == 255.0
    assert of(do_flip_channel_order=True)[0] == (224, 224)


def test_weights_in_half_precision_are_computed_with_in_float32(bert):
    tensors = {name: one.to(torch.float16) for name, one in load_file(bert / "model.safetensors").items()}
    save_file(tensors, bert / "model.safetensors")
    model = opened(bert)
    assert {one.dtype for one in model.network.parameters()} == {torch.float32}
    assert any("float16" in note for note in model.card.notes)


def test_a_pickled_state_dict_of_tensors_opens(bert):
    tensors = load_file(bert / "model.safetensors")
    expected = opened(bert).predict(opened(bert).sample(TEXT)).raw
    (bert / "model.safetensors").unlink()
    torch.save(tensors, bert / "pytorch_model.bin")
    model = opened(bert)
    np.testing.assert_allclose(model.predict(model.sample(TEXT)).raw, expected, atol=1e-6)


def test_a_folder_within_a_folder_or_a_zip_opens(folders, tmp_path):
    inner = tmp_path / "outer"
    shutil.copytree(folders["bert"], inner / "model")
    assert opened(inner).card.labels[0] == "negative"
    path = zipped(tmp_path / "a.zip", of_folder(folders["bert"], "model/") | {"__MACOSX/model/._config.json": b"\0"})
    assert opened(path).card.labels[0] == "negative"


def test_a_tokenizer_said_by_the_owner_is_taken(bert):
    (bert / "tokenizer.json").unlink()
    assert "tokenizer" in refused(bert)
    assert read(ModelFile(bert), trusted=CONTAINED).required == ("tokenizer",)
    model = opened(bert, tokenizer=wordpiece().to_str())
    assert model.predict(model.sample(TEXT)).raw.shape == (3,)


def test_the_library_is_left_as_it_was(bert):
    import huggingface_hub.constants as hub
    from transformers.utils import logging

    before = hub.HF_HUB_OFFLINE, logging.get_verbosity(), logging.is_progress_bar_enabled()
    opened(bert)
    refused(configured(bert, model_type="nothing"))
    assert (hub.HF_HUB_OFFLINE, logging.get_verbosity(), logging.is_progress_bar_enabled()) == before


def test_a_folder_of_timm(tmp_path):
    from corpus_files.hf_folders import _timm

    _timm(tmp_path)
    model = opened(tmp_path)
    assert model.card.labels == ("negative", "neutral", "positive")
    config = json.loads((tmp_path / "config.json").read_text())
    about = config["pretrained_cfg"]
    assert model.input.size == tuple(about["input_size"][1:])
    assert model.input.mean == tuple(about["mean"])
    assert model.input.crop == about["crop_pct"]
    assert "does not have" in refused(configured(tmp_path, architecture="hf-hub:someone/else"))
    assert "not those of resnet18" in refused(configured(tmp_path, architecture="resnet18"))


# -- what cannot be opened ---------------------------------------------------------------------------------------


def test_no_configuration(bert):
    (bert / "config.json").unlink()
    assert format_of(ModelFile(bert)).id == "hf_folder"
    assert "no config.json" in refused(bert)


@pytest.mark.parametrize("text", ["", "{", "[1]", "\udcff"])
def test_a_configuration_that_is_none(bert, text):
    (bert / "config.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    assert "config.json" in refused(bert)


def test_an_unknown_type(bert):
    assert "'foobar'" in refused(configured(bert, model_type="foobar"))
    assert "no model_type" in refused(configured(bert, model_type=None))


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_size": 64},
        {"vocab_size": 10},
        {"vocab_size": 10**12},
        {"num_hidden_layers": 10**9},
        {"num_hidden_layers": 3},
        {"num_attention_heads": 5},
        {"hidden_size": "many"},
        {"intermediate_size": -3},
        {"hidden_act": "nothing"},
    ],
    ids=str,
)
def test_a_configuration_that_contradicts_the_weights(bert, changes):
    assert "config.json" in refused(configured(bert, **changes)) or "lack" in refused(bert)


def test_other_class_counts_are_told(bert):
    said = refused(configured(bert, id2label={"0": "a", "1": "b"}, label2id=None))
    assert "classifier" in said
    assert "(3,)" in said


def test_no_weights_and_those_of_other_libraries(bert):
    (bert / "model.safetensors").rename(bert / "model.weights.safetensors")
    assert opened(bert).card.labels[0] == "negative"  # one file of weights, whatever its name
    (bert / "model.weights.safetensors").rename(bert / "tf_model.h5")
    assert "TensorFlow" in refused(bert)
    (bert / "tf_model.h5").unlink()
    assert "no weights" in refused(bert)


def test_missing_shards(bert):
    library().BertForSequenceClassification.from_pretrained(bert).save_pretrained(bert / "new", max_shard_size="20KB")
    shutil.copy(bert / "tokenizer.json", bert / "new")
    shards = sorted((bert / "new").glob("*.safetensors"))
    assert len(shards) > 1
    shards[0].unlink()
    assert f"lacks 1 of its {len(shards)} files" in refused(bert / "new")


@pytest.mark.parametrize("name", ["../secret.safetensors", "/etc/passwd", "a/b.safetensors", "model.bin", ""])
def test_an_index_that_points_elsewhere(bert, name):
    (bert / "model.safetensors").unlink()
    (bert / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"a": name}}))
    assert "model.safetensors.index.json" in refused(bert)


def test_weights_cut_off(bert):
    data = (bert / "model.safetensors").read_bytes()
    for length in (0, 4, 100, len(data) // 2, len(data) - 1):
        (bert / "model.safetensors").write_bytes(data[:length])
        assert "model.safetensors in " in (told := refused(bert))
        assert "is cut off or damaged" in told


def test_code_of_the_folder_is_never_run(bert, tmp_path):
    marker = tmp_path / "ran"
    (bert / "modeling_own.py").write_text(f"open({str(marker)!r}, 'w')")
    auto = {"AutoModelForSequenceClassification": "modeling_own.Own", "AutoConfig": "modeling_own.OwnConfig"}
    model = opened(configured(bert, auto_map=auto))
    assert any("auto_map" in note for note in model.card.notes)
    said = refused(configured(bert, auto_map=auto, model_type="own", architectures=["Own"]))
    assert "code of its own" in said
    assert "ONNX" in said
    assert not marker.exists()


def test_a_pickle_that_runs_code_is_refused(bert, tmp_path):
    marker = tmp_path / "ran"

    class Hostile:
        def __reduce__(self):
            return (os.mkdir, (str(marker),))

    (bert / "model.safetensors").unlink()
    for data in (pickle.dumps({"a": Hostile()}), b"\x80\x02garbage"):
        (bert / "pytorch_model.bin").write_bytes(data)
        assert "safetensors" in refused(bert)
    torch.save({"a": Hostile()}, bert / "pytorch_model.bin")
    assert "no tensors by name" in refused(bert)
    torch.save({"bert.embeddings.word_embeddings.weight": torch.zeros(1).expand(10**12)}, bert / "pytorch_model.bin")
    assert "claims" in refused(bert)
    assert not marker.exists()


def test_calls_that_torch_allows_are_not_made_either(bert):
    """torch.load(weights_only=True) would call this one, and fill the memory."""

    class Large:
        def __reduce__(self):
            return (bytearray, (10**12,))

    (bert / "model.safetensors").unlink()
    torch.save({"a": Large()}, bert / "pytorch_model.bin")
    assert "no tensors by name" in refused(bert)


def test_what_lies_beside_the_weights_is_left_unread(bert):
    whole = load_file(bert / "model.safetensors")
    expected = opened(bert)
    (bert / "model.safetensors").unlink()
    torch.save({"state_dict": whole, "made_by": os.getcwd, "epoch": 3}, bert / "pytorch_model.bin")
    model = opened(bert)
    assert any("left unread" in note for note in model.card.notes)
    sample = model.sample("A fine film")
    np.testing.assert_array_equal(model.predict(sample).raw, expected.predict(sample).raw)


@pytest.mark.parametrize("method", ["bitsandbytes", "gptq", "awq"])
def test_quantised_weights(bert, method):
    said = refused(configured(bert, quantization_config={"quant_method": method, "load_in_8bit": True}))
    assert method in said
    assert "dequantize" in said


def test_quantised_weights_that_the_configuration_hides(bert):
    tensors = load_file(bert / "model.safetensors") | {"classifier.SCB": torch.zeros(3)}
    save_file(tensors, bert / "model.safetensors")
    assert "bitsandbytes" in refused(bert)


def test_an_adapter(tmp_path):
    (tmp_path / "adapter_config.json").write_text("{}")
    (tmp_path / "adapter_model.safetensors").write_bytes(b"")
    said = refused(tmp_path)
    assert "LoRA" in said
    assert "merge_and_unload" in said


@pytest.mark.parametrize(
    "name", ["BertModel", "BertForMaskedLM", "BertForTokenClassification", "BertForQuestionAnswering"]
)
def test_networks_without_scores_of_a_text(tmp_path, name):
    made(name, "BertConfig", vocab_size=100, **SIZES).save_pretrained(tmp_path)
    said = refused(tmp_path)
    assert name in said
    assert "no scores" in said


def test_an_encoder_whose_head_was_never_trained(bert):
    tensors = {name: one for name, one in load_file(bert / "model.safetensors").items() if "classifier" not in name}
    save_file(tensors, bert / "model.safetensors")
    said = refused(bert)
    assert "classifier" in said
    assert "never trained" in said


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_tokenizer_that_cannot_be_read(bert):
    good = json.loads((bert / "tokenizer.json").read_text())
    bad = good | {
        "pre_tokenizer": {"type": "Split", "pattern": {"Regex": "(?<"}, "behavior": "Isolated", "invert": False}
    }
    for text in (json.dumps(bad), "{}", "[", json.dumps(good)[:500]):
        (bert / "tokenizer.json").write_text(text)
        assert "tokenizer" in refused(bert)


def test_a_zip_writes_nothing_outside(folders, tmp_path, monkeypatch):
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    members = of_folder(folders["bert"])
    hostile = {
        "../escaped.json": b"{}",
        "/tmp/absolute.json": b"{}",
        "..\\windows.json": b"{}",
        "x/../../y.json": b"{}",
    }
    model = opened(zipped(tmp_path / "a.zip", members | hostile))
    assert model.card.labels[0] == "negative"
    assert list(scratch.iterdir()) == []
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.zip", "scratch"]


def test_a_zip_of_links_opens_none(folders, tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in of_folder(folders["bert"]).items():
            if name == "model.safetensors":
                link = zipfile.ZipInfo(name)
                link.external_attr = (stat.S_IFLNK | 0o777) << 16
                archive.writestr(link, str(folders["bert"] / name))
            else:
                archive.writestr(name, data)
    assert "The header of model.safetensors in a.zip" in refused(path)


def test_a_zip_that_swells(folders, tmp_path):
    members = of_folder(folders["bert"])
    swollen = zipped(tmp_path / "a.zip", members | {"model.safetensors": bytes(80 << 20)})
    assert "packed size" in refused(swollen)
    swollen = zipped(tmp_path / "b.zip", members | {"tokenizer.json": b" " * (65 << 20)})
    assert "64 MiB" in refused(swollen)


def test_other_zips_are_not_taken_for_a_folder(tmp_path):
    from model_zoo.formats.hf_folder import sniff

    keras = zipped(tmp_path / "a.keras", {"config.json": b"{}", "metadata.json": b"{}", "model.weights.h5": b""})
    assert not sniff(ModelFile(keras))
    torch.save({"a": torch.zeros(2)}, tmp_path / "a.pt")
    assert not sniff(ModelFile(tmp_path / "a.pt"))
    assert not sniff(ModelFile(tmp_path))


def test_names_of_tokens_differ_and_keep_their_spaces():
    tokenizer = gpt2_pairs()
    found = _hf_tokenizer.spellings(tokenizer, tokenizer.get_vocab_size() + 3)
    assert len(set(found)) == len(found) == tokenizer.get_vocab_size() + 3
    assert " film" in found
    assert found[-1] == f"token {tokenizer.get_vocab_size() + 2}"


def test_a_preprocessor_that_squeezes_before_it_cuts_is_told():
    deit = {"size": {"height": 256, "width": 256}, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}}
    assert "squeezes" in _hf_pictures.squeezed_first(deit)[0]
    assert not _hf_pictures.squeezed_first({**deit, "size": {"shortest_edge": 256}})
    assert not _hf_pictures.squeezed_first({**deit, "do_center_crop": False})
