"""What the config.json of a Hugging Face folder describes: the library's own class, and what it scores.

Code that a folder brings (auto_map) is never run, and settings that would fetch or compile something are dropped.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Literal

from model_zoo.types import Output, Task, UserError, quoted

Kind = Literal["text", "image", "next token"]
ENDINGS: dict[str, Kind] = {
    "ForSequenceClassification": "text",
    "ForImageClassification": "image",
    "ForImageClassificationWithTeacher": "image",
    "ForCausalLM": "next token",
    "GPT2LMHeadModel": "next token",
    "OpenAIGPTLMHeadModel": "next token",
    "CTRLLMHeadModel": "next token",
    "BertLMHeadModel": "next token",
}
ENTRANCE = {"text": "input_ids", "next token": "input_ids", "image": "pixel_values"}
OTHERS = {  # what cannot be explained as scores of one text or picture, and what it does
    "ForMaskedLM": "fills in masked words",
    "ForTokenClassification": "labels each token of a text",
    "ForQuestionAnswering": "finds an answer in a text",
    "ForConditionalGeneration": "writes a text from another input",
    "ForMultipleChoice": "chooses among several texts",
    "ForNextSentencePrediction": "takes pairs of texts",
    "ForPreTraining": "is a network for pre-training",
    "ForObjectDetection": "finds objects",
    "ForSemanticSegmentation": "labels each pixel",
    "ForAudioClassification": "takes sound",
    "ForCTC": "takes sound",
}
# Settings that choose code, devices or files rather than the network; none is needed to compute it.
DROPPED = {
    "architectures", "attn_implementation", "auto_map", "base_model_pp_plan", "base_model_tp_plan",
    "distributed_config", "dtype", "experts_implementation", "gradient_checkpointing", "kernel_config",
    "output_attentions", "output_hidden_states", "return_dict", "tokenizer_class", "torch_dtype", "torchscript",
    "transformers_version", "use_bfloat16", "use_pretrained_backbone",
}  # fmt: skip
COUNTS = ("num_hidden_layers", "n_layer", "n_layers", "num_layers", "encoder_layers", "decoder_layers", "depth")
UNNAMED = re.compile(r"LABEL_\d+")


@dataclass(frozen=True)
class Described:
    """The library's class and configuration, and what its scores are."""

    network: Any  # a class of transformers
    config: Any
    kind: Kind
    task: Task
    output: Output
    labels: tuple[str, ...]  # empty where they were never named
    unit: str = ""
    notes: tuple[str, ...] = ()


def cleaned(said: Any) -> Any:
    """A configuration without private settings and those of DROPPED, nested ones too."""
    if isinstance(said, dict):
        return {key: cleaned(one) for key, one in said.items() if key not in DROPPED and not key.startswith("_")}
    return [cleaned(one) for one in said] if isinstance(said, list) else said


def describe(said: dict[str, Any], tensors: int, name: str, transformers: Any) -> Described:
    """The class of a config.json and its configuration; UserError where it is unknown or has no scores to explain.

    tensors: how many the weights have; more layers than that contradict them.
    """
    own = said.get("model_type")
    known = transformers.models.auto.configuration_auto.CONFIG_MAPPING
    named = said.get("architectures")
    architecture = named[0] if isinstance(named, list) and named and isinstance(named[0], str) else ""
    remote = bool(said.get("auto_map"))
    if not isinstance(own, str) or own not in known:
        _refuse_unknown(own, remote, name, transformers.__version__)
    assert isinstance(own, str)
    deep = next((key for key in COUNTS if isinstance(said.get(key), int) and said[key] > tensors), None)
    if deep is not None:
        raise UserError(
            f"config.json in {name} says {deep} = {said[deep]:,}, and the weights have {tensors:,} tensors in all;"
            " give the config.json that belongs to these weights."
        )
    try:
        config = known[own].from_dict(cleaned(said))
    except Exception as error:  # each configuration checks its own settings in its own way
        raise UserError(
            f"config.json in {name} does not describe a model of type {own}: {quoted(error)}."
            " Give the config.json that was saved with the model."
        ) from error
    if not architecture:
        architecture = _guessed(own, transformers)
    network = getattr(transformers, architecture, None)
    kind = next((kind for ending, kind in ENDINGS.items() if architecture.endswith(ending)), None)
    if kind is None or getattr(network, "main_input_name", None) != ENTRANCE[kind]:
        if remote and network is None:
            _refuse_unknown(own, remote, name, transformers.__version__)
        raise UserError(_no_scores(name, architecture))
    notes = ("Its config asks for code of its own (auto_map), which was left out.",) if remote else ()
    if kind == "next token":
        told = "It is explained as a choice of the token that comes next after the text."
        return Described(network, config, kind, "classification", "logit", (), notes=(*notes, told))
    return _scores(network, config, kind, said, notes)


def _scores(network: Any, config: Any, kind: Kind, said: dict[str, Any], notes: tuple[str, ...]) -> Described:
    labels = tuple(str(config.id2label[key]) for key in sorted(config.id2label))
    named = () if all(UNNAMED.fullmatch(one) for one in labels) else labels
    problem = said.get("problem_type")
    if kind == "text" and (len(labels) == 1 or {"entailment", "ENTAILMENT"} & set(labels)):
        told = "A network like this is often trained on pairs of texts; a text given here is the first, alone."
        notes = (*notes, told)
    if problem == "multi_label_classification" and len(labels) == 1:
        one = labels[0]
        return Described(network, config, kind, "binary", "logit", (f"not {one}", one) if named else (), notes=notes)
    if problem == "multi_label_classification":
        told = "Its labels do not exclude one another, so the logit of each is explained as a value of its own."
        return Described(network, config, kind, "regression", "value", labels, "logit", (*notes, told))
    if problem == "regression" or len(labels) == 1:
        return Described(network, config, kind, "regression", "value", named, notes=notes)
    return Described(network, config, kind, "classification", "logit", named, notes=notes)


def _guessed(model_type: str, transformers: Any) -> str:
    """The classifier of a type, where the configuration does not name its class."""
    auto = transformers.models.auto.modeling_auto
    for names in (
        auto.MODEL_FOR_SEQUENCE_CLASSIFICATION_MAPPING_NAMES,
        auto.MODEL_FOR_IMAGE_CLASSIFICATION_MAPPING_NAMES,
    ):
        found = names.get(model_type)
        if found:
            return found if isinstance(found, str) else found[0]
    return ""


def _refuse_unknown(model_type: Any, remote: bool, name: str, version: str) -> None:
    if remote:
        raise UserError(
            f"config.json in {name} asks for code of its own (auto_map), which Assay never runs; export the model to"
            " ONNX or torch.export, or wrap it in your own process with model_zoo.wrap."
        )
    if not isinstance(model_type, str):
        raise UserError(
            f"config.json in {name} has no model_type, so it is not one that transformers wrote; save the model with"
            " model.save_pretrained(folder)."
        )
    raise UserError(
        f"config.json in {name} has the model_type {model_type[:60]!r}, which transformers {version} does not know;"
        " install the version that saved it, or give another model."
    )


def _no_scores(name: str, architecture: str) -> str:
    does = next((does for ending, does in OTHERS.items() if architecture.endswith(ending)), "")
    if architecture.endswith("Model") or not architecture:
        does = "is a bare encoder without a head"
    return (
        f"{name} is a {architecture or 'model'}, which {does or 'is of another kind'} and gives no scores of a text or"
        " picture to explain; give a classifier, a regression (ForSequenceClassification, ForImageClassification) or"
        " a causal language model."
    )


def contradiction(name: str, config: Any, found: str) -> UserError:
    """That the configuration and the weights do not belong together."""
    return UserError(
        f"config.json and the weights in {name} contradict each other: {found}; give the config.json that was saved"
        f" with these weights of type {config.model_type}."
    )
