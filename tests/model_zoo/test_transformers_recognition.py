"""Bare weights of transformers: settings from shapes, heads as choices, and sentences for what has no scores."""

import time

import numpy as np
import pytest
import torch
from tiny_transformers import SIZES, TEXT, gpt2_pairs, library, made, wordpiece

from model_zoo.facts import Facts
from model_zoo.files import ModelFile
from model_zoo.opening import CONTAINED, open_file, read
from model_zoo.recognition import recognise, transformers_decoders, transformers_encoders, transformers_pictures
from model_zoo.types import UserError

BASE = {"hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12, "intermediate_size": 3072}
MINILM = {"hidden_size": 384, "num_hidden_layers": 6, "num_attention_heads": 12, "intermediate_size": 1536}
LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16, "intermediate_size": 4096}
ROBERTA = {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
DEBERTA = {"vocab_size": 128100, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_buckets": 256,
           "type_vocab_size": 0, "share_att_key": True, "norm_rel_ebd": "layer_norm", "position_biased_input": False,
           "layer_norm_eps": 1e-7, "pooler_hidden_size": 768}  # fmt: skip
GPT2_XL = {"n_embd": 1600, "n_layer": 48, "n_head": 25}
LLAMA = {"vocab_size": 128256, "hidden_size": 2048, "num_hidden_layers": 16, "num_attention_heads": 32, "head_dim": 64,
         "num_key_value_heads": 8, "intermediate_size": 8192, "tie_word_embeddings": True, "rope_theta": 5e5,
         "rms_norm_eps": 1e-5, "rope_scaling": {"rope_type": "llama3", "factor": 32.0, "low_freq_factor": 1.0,
         "high_freq_factor": 4.0, "original_max_position_embeddings": 8192}}  # fmt: skip
QWEN = {"vocab_size": 151936, "hidden_size": 896, "num_hidden_layers": 24, "num_attention_heads": 14,
        "num_key_value_heads": 2, "intermediate_size": 4864, "tie_word_embeddings": True,
        "rope_theta": 1e6}  # fmt: skip
TINYLLAMA = {"hidden_size": 2048, "num_hidden_layers": 22, "num_attention_heads": 32, "num_key_value_heads": 4,
             "intermediate_size": 5632, "rms_norm_eps": 1e-5}  # fmt: skip
PUBLISHED = {  # as their own configurations say: class, configuration, settings, id
    "bert-base": ("BertForSequenceClassification", "BertConfig", {}, "bert-12-heads"),
    "bert-large": ("BertForSequenceClassification", "BertConfig", LARGE, "bert-16-heads"),
    "minilm": ("BertForSequenceClassification", "BertConfig", MINILM, "bert-12-heads"),
    "distilbert": ("DistilBertForSequenceClassification", "DistilBertConfig", {}, "distilbert-12-heads"),
    "roberta": ("RobertaForSequenceClassification", "RobertaConfig", ROBERTA, "roberta-12-heads"),
    "electra-base": ("ElectraForSequenceClassification", "ElectraConfig", {**BASE, "embedding_size": 768}, None),
    "electra-small": ("ElectraForSequenceClassification", "ElectraConfig", {}, "electra-4-heads"),
    "albert-base": ("AlbertForSequenceClassification", "AlbertConfig", BASE, "albert-12-heads"),
    "albert-xxlarge": ("AlbertForSequenceClassification", "AlbertConfig", {}, "albert-64-heads"),
    "mpnet": (
        "MPNetForSequenceClassification",
        "MPNetConfig",
        {"layer_norm_eps": 1e-5, "max_position_embeddings": 514},
        "mpnet",
    ),
    "deberta-v3": ("DebertaV2ForSequenceClassification", "DebertaV2Config", {**BASE, **DEBERTA}, "deberta-v2-12-heads"),
    "gpt2": ("GPT2LMHeadModel", "GPT2Config", {}, "gpt2-12-heads"),
    "gpt2-xl": ("GPT2LMHeadModel", "GPT2Config", GPT2_XL, "gpt2-25-heads"),
    "gpt2-classifier": ("GPT2ForSequenceClassification", "GPT2Config", {}, "gpt2-classifier-12-heads"),
    "llama-3.2-1b": ("LlamaForCausalLM", "LlamaConfig", LLAMA, "llama-llama-3.2-1b"),
    "tinyllama": ("LlamaForCausalLM", "LlamaConfig", TINYLLAMA, "llama-tinyllama"),
    "qwen2-0.5b": ("Qwen2ForCausalLM", "Qwen2Config", QWEN, "qwen2-qwen2-0.5b"),
    "vit-base": ("ViTForImageClassification", "ViTConfig", {}, "vit-12-heads"),
    "deit-teacher": ("DeiTForImageClassificationWithTeacher", "DeiTConfig", {}, "deit-12-heads"),
    "convnext": ("ConvNextForImageClassification", "ConvNextConfig", {}, "convnext"),
}
SAME = ("vocab_size", "hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size", "layer_norm_eps",
        "max_position_embeddings", "type_vocab_size", "embedding_size", "hidden_act", "image_size", "patch_size",
        "num_key_value_heads", "head_dim", "depths", "hidden_sizes", "share_att_key", "position_buckets",
        "position_biased_input", "norm_rel_ebd", "num_hidden_groups", "num_labels", "rope_parameters",
        "rms_norm_eps")  # fmt: skip


def on_meta(cls, config, settings):
    transformers = library()
    with torch.device("meta"):
        return getattr(transformers, cls)(getattr(transformers, config)(**settings))


def shapes_of(network):
    return {name: tuple(one.shape) for name, one in network.state_dict().items()}


def saved(tensors, folder):
    path = folder / "weights.pt"
    torch.save(tensors, path)
    return path


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_models_are_known_by_their_shapes(name):
    """First and at once: their own class, names, shapes and settings, heads included; nothing is allocated."""
    cls, config, settings, id = PUBLISHED[name]
    network = on_meta(cls, config, settings)
    shapes = shapes_of(network)
    started = time.process_time()
    found = recognise(shapes)
    assert time.process_time() - started < 1.0
    assert found, name
    assert id is None or found[0].id == f"transformers/{id}"
    with torch.device("meta"):
        body = found[0].build().body
    assert type(body).__name__ == cls
    assert shapes_of(body) == shapes
    for key in SAME:
        expected = getattr(network.config, key, None)
        if (key == "max_position_embeddings" and hasattr(network.config, "rope_parameters")) or not hasattr(
            body.config, key
        ):
            continue
        if key == "head_dim" and expected is None:
            expected = network.config.hidden_size // network.config.num_attention_heads
        found = getattr(body.config, key)
        assert (tuple(found) if isinstance(found, (list, tuple)) else found) == expected, key


def test_settings_that_leave_no_trace_are_choices(tmp_path):
    """A width of 384 has 12 heads in MiniLM and 6 elsewhere: both open, and compute differently."""
    network = made("BertForSequenceClassification", "BertConfig", vocab_size=120, **{**MINILM, "num_hidden_layers": 1})
    file = ModelFile(saved(network.state_dict(), tmp_path))
    said = Facts(tokenizer=wordpiece().to_str())
    found = read(file, said, CONTAINED)
    assert [one.id for one in found.choices] == ["transformers/bert-12-heads", "transformers/bert-6-heads"]
    assert "MiniLM" in found.choices[0].reason
    assert any("heads is not in the weights" in note for note in found.notes)
    scores = []
    for id in ("transformers/bert-12-heads", "transformers/bert-6-heads"):
        model = open_file(file, Facts(tokenizer=said.tokenizer, architecture=id), trusted=CONTAINED)
        assert model.network.body.config.num_attention_heads == int(id.split("-")[1])
        scores.append(model.predict(model.sample(TEXT)).raw)
    assert np.abs(scores[0] - scores[1]).max() > 1e-6


def test_widths_that_nobody_published_offer_what_divides_them():
    shapes = shapes_of(on_meta("BertForSequenceClassification", "BertConfig", {**SIZES, "hidden_size": 96}))
    assert [one.id.split("-")[1] for one in recognise(shapes)] == ["12", "8", "4", "2"]


def test_smollm_is_one_of_two_by_its_positions():
    settings = {"vocab_size": 49152, "hidden_size": 576, "num_hidden_layers": 30, "num_attention_heads": 9,
                "num_key_value_heads": 3, "intermediate_size": 1536, "tie_word_embeddings": True}  # fmt: skip
    shapes = shapes_of(on_meta("LlamaForCausalLM", "LlamaConfig", settings))
    shapes.pop("lm_head.weight")
    found = recognise(shapes)
    assert [one.title.split("(")[1].split(")")[0] for one in found] == ["SmolLM2-135M", "SmolLM-135M"]


HEADS = {  # as published: names, vocabulary, width, layers, heads, heads of the keys, width of a head, base
    "Qwen2-0.5B": ("Qwen2", 151936, 896, 24, 14, 2, 64, 1e6),
    "Qwen2-1.5B": ("Qwen2", 151936, 1536, 28, 12, 2, 128, 1e6),
    "Qwen2.5-3B": ("Qwen2", 151936, 2048, 36, 16, 2, 128, 1e6),
    "Qwen2-7B": ("Qwen2", 152064, 3584, 28, 28, 4, 128, 1e6),
    "Llama-2-7B": ("Llama", 32000, 4096, 32, 32, 32, 128, 1e4),
    "Llama-2-13B": ("Llama", 32000, 5120, 40, 40, 40, 128, 1e4),
    "Llama-3.2-1B": ("Llama", 128256, 2048, 16, 32, 8, 64, 5e5),
    "Llama-3.2-3B": ("Llama", 128256, 3072, 28, 24, 8, 128, 5e5),
    "Llama-3.1-8B": ("Llama", 128264, 4096, 32, 32, 8, 128, 5e5),  # with eight tokens of an owner's
    "Mistral-7B-v0.1": ("Llama", 32000, 4096, 32, 32, 8, 128, 1e4),
    "TinyLlama": ("Llama", 32003, 2048, 22, 32, 4, 64, 1e4),
    "SmolLM2-135M": ("Llama", 49152, 576, 30, 9, 3, 64, 1e5),
}


def decoder(kind, vocabulary, width, depth, queries, keys, head, **more):
    """Shapes of a decoder with Llama's names, as far as recognition reads them."""
    layer = "model.layers.0."
    shapes = {
        "model.embed_tokens.weight": (vocabulary, width),
        f"{layer}self_attn.q_proj.weight": (queries * head, width),
        f"{layer}self_attn.k_proj.weight": (keys * head, width),
        f"{layer}mlp.gate_proj.weight": (4 * width, width),
        f"model.layers.{depth - 1}.input_layernorm.weight": (width,),
    }
    return shapes | ({f"{layer}self_attn.q_proj.bias": (queries * head,)} if kind == "Qwen2" else {})


@pytest.mark.parametrize("name", HEADS)
def test_heads_of_published_decoders_are_theirs(name):
    *own, base = HEADS[name]
    first = next(iter(transformers_decoders._families(decoder(*own))))
    assert f"({name})" in first.title
    found = first.settings
    assert (found["num_attention_heads"], found["num_key_value_heads"], found["head_dim"]) == tuple(own[4:])
    assert found["rope_theta"] == base


def test_heads_that_nobody_published_are_choices_with_reasons():
    """A width of keys of 192 leaves no 128; a wide network has 128 first; no key is shared by half a query."""
    found = list(recognise(decoder("Llama", 5000, 1152, 7, 18, 3, 64)))
    assert [one.id.rpartition("-")[2] for one in found] == ["64", "96", "32"]
    assert [one.reason for one in found[:2]] == [
        "Heads of 64: usual for a width of 1,152.",
        "Heads of 96: it divides queries and keys.",
    ]
    found = list(recognise(decoder("Qwen2", 151936, 8192, 80, 64, 8, 128)))
    assert found[0].id == "transformers/qwen2-qwen2-with-heads-of-128"
    assert not list(recognise(decoder("Llama", 5000, 1024, 7, 3, 2, 64)))


def test_one_head_is_one_head():
    shapes = shapes_of(
        on_meta("BertForSequenceClassification", "BertConfig", {**SIZES, "hidden_size": 10, "num_attention_heads": 1})
    )
    assert recognise(shapes)[0].reason.startswith("1 head: ")


def test_names_of_old_files_are_read(tmp_path):
    """TensorFlow's gamma and beta, DataParallel's prefix, and position ids as a buffer."""
    network = made("BertForSequenceClassification", "BertConfig", vocab_size=120, **{**SIZES, "hidden_size": 128})
    tensors = {"bert.embeddings.position_ids": torch.arange(512)[None]}
    for name, one in network.state_dict().items():
        tensors[name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")] = one
    path = saved({f"module.{name}": one for name, one in tensors.items()}, tmp_path)
    said = Facts(tokenizer=wordpiece().to_str(), architecture="bert-2-heads")
    model = open_file(ModelFile(path), said, trusted=CONTAINED)
    sample = model.sample(TEXT)
    network.config.num_attention_heads = 2
    again = type(network)(network.config).eval()
    again.load_state_dict(network.state_dict())
    with torch.no_grad():
        expected = again(input_ids=torch.from_numpy(sample.x)[None]).logits[0].numpy()
    np.testing.assert_allclose(model.predict(sample).raw, expected, atol=1e-5)


def test_a_language_model_names_its_tokens_and_takes_its_pad(tmp_path):
    own = gpt2_pairs()
    settings = {"vocab_size": own.get_vocab_size(), "n_embd": 64, "n_layer": 1, "n_head": 1}
    path = saved(made("GPT2LMHeadModel", "GPT2Config", **settings).state_dict(), tmp_path)
    model = open_file(ModelFile(path), Facts(tokenizer=own.to_str()), trusted=CONTAINED)
    assert " film" in model.card.labels
    assert model.network.pad == own.token_to_id("<|endoftext|>") == model.input.pad


@pytest.mark.parametrize(
    ("cls", "word"),
    [
        ("BertModel", "bare BERT"),
        ("BertForMaskedLM", "another kind (cls.predictions"),
        ("BertForTokenClassification", "another kind (classifier)"),
        ("RobertaModel", "bare"),
        ("MPNetForMaskedLM", "another kind"),
    ],
)
def test_weights_without_scores_say_so(tmp_path, cls, word):
    config = cls.split("For")[0].removesuffix("Model") + "Config"
    network = made(cls, config, vocab_size=100, **SIZES)
    with pytest.raises(UserError) as caught:
        open_file(ModelFile(saved(network.state_dict(), tmp_path)), Facts(modality="text"), trusted=CONTAINED)
    assert word in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", ["extra", "shape", "lacking"])
def test_weights_that_are_not_quite_its_own_say_what_differs(tmp_path, change):
    tensors = dict(made("BertForSequenceClassification", "BertConfig", vocab_size=100, **SIZES).state_dict())
    name = "bert.encoder.layer.1.output.dense.bias"
    if change == "extra":
        name = "bert.encoder.layer.1.gate.weight"
        tensors[name] = torch.ones(3)
    elif change == "shape":
        tensors[name] = torch.ones(5)
    else:
        tensors.pop(name)
    with pytest.raises(UserError) as caught:
        open_file(ModelFile(saved(tensors, tmp_path)), Facts(), trusted=CONTAINED)
    assert "BERT classifier of transformers" in str(caught.value)
    assert name in str(caught.value)


@pytest.mark.parametrize("name", ["minilm", "albert-base", "mpnet", "deberta-v3", "gpt2", "qwen2-0.5b", "vit-base"])
def test_shapes_that_contradict_their_names_are_no_network(name):
    """Finders answer for any names and shapes; whatever they propose is compared with the file afterwards."""
    cls, config, settings, _ = PUBLISHED[name]
    shapes = shapes_of(on_meta(cls, config, settings))
    random = np.random.default_rng(0)
    names = list(shapes)
    for key in [*names[:6], *random.choice(names, 6), names[-1]]:
        for shape in ((), (0,), (3,), (0, 0), (7, 5), (1, 2, 3, 4)):
            for finder in (transformers_encoders, transformers_decoders, transformers_pictures):
                tuple(finder.find({**shapes, key: shape}))


def test_a_tokenizer_is_asked_for(tmp_path):
    network = made("BertForSequenceClassification", "BertConfig", vocab_size=100, **SIZES)
    path = saved(network.state_dict(), tmp_path)
    assert read(ModelFile(path), trusted=CONTAINED).required == ("tokenizer",)
    with pytest.raises(UserError, match=r"tokenizer\.json"):
        open_file(ModelFile(path), trusted=CONTAINED)


def test_other_weights_are_left_to_others():
    assert not [one for one in recognise({"foo.weight": (3, 3)}) if one.id.startswith("transformers/")]
