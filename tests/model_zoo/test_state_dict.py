"""Bare state dicts are opened with nothing else said, or refused in one sentence that says what to do."""

import argparse

import numpy as np
import pytest
import torch
from corpus_files.state_dicts import lightning, mnist, of_timm, perceptron, published, stirred
from safetensors.torch import save_file
from torch import nn

from model_zoo.facts import Facts
from model_zoo.files import ModelFile
from model_zoo.opening import format_of, open_file, read
from model_zoo.types import UserError


def saved(tmp_path, held, name="model.pt", **how):
    path = tmp_path / name
    if path.suffix == ".safetensors":
        save_file(held, path)
    else:
        torch.save(held, path, **how)
    return ModelFile(path)


def opened(file, **said):
    return format_of(file).open(file, Facts(**said))


def same(network, reference, shape):
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(network(x), reference(x), atol=1e-5, rtol=1e-5)


class Branching(nn.Module):
    """Layers that could be a chain by their shapes and are none."""

    def __init__(self, **layers):
        super().__init__()
        for name, layer in layers.items():
            self.add_module(name, layer)


# -- what is no model, each one sentence


def with_nan():
    state = perceptron().state_dict()
    state["4.weight"][2, 3] = float("nan")
    return state


def quantised():
    return {"1.weight": torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8)}


@pytest.mark.parametrize(
    ("held", "said"),
    [
        ({}, r"holds nothing \(an empty dict\)"),
        ([], r"holds nothing \(an empty list\)"),
        ({"epoch": 3, "name": "x"}, "no tensors by name .* 'epoch', 'name' with values of type int, str"),
        (torch.ones(2, 3), r"a single tensor of shape \[2, 3\]"),
        ({"a.weight": torch.ones(2, 2, dtype=torch.int64)}, r"whole numbers alone \(int64\)"),
        ({"a.weight": torch.ones(2, 2, dtype=torch.complex64)}, r"a\.weight .* holds complex numbers \(complex64\)"),
        ({**perceptron().state_dict(), "6.weight": torch.ones(3, 8).long()}, r"6\.weight .* whole numbers \(int64\)"),
        ({"a.weight": np.ones((2, 2))}, "holds numpy arrays where tensors were expected"),
        ({"a.weight": np.ones((3000, 3000))}, r"\d\d MiB in its pickle, where the numbers of numpy arrays lie"),
        (
            {"generator": nn.Linear(3, 4).state_dict(), "discriminator": nn.Linear(40, 4).state_dict(), "epoch": 1},
            r"several networks \(discriminator, generator\).* torch\.save\(checkpoint\['discriminator'\]",
        ),
        (torch.optim.Adam([nn.Parameter(torch.ones(2))]).state_dict(), "the state of an optimiser"),
        (
            {f"base.q.lora_{one}.weight": torch.ones(4, 4) for one in "AB"},
            r"a LoRA adapter alone \(2 tensors\).*merge_and_unload",
        ),
        (with_nan(), "4.weight in model.pt holds NaN"),
        (quantised, "quantised.*torch.jit"),
    ],
    ids=[
        "empty",
        "list",
        "numbers",
        "tensor",
        "whole",
        "complex",
        "whole_head",
        "array",
        "large_array",
        "two",
        "optimiser",
        "adapter",
        "nan",
        "quantised",
    ],
)
@pytest.mark.filterwarnings("ignore:torch.quantize_per_tensor:UserWarning")  # deprecated, and files of it remain
@pytest.mark.filterwarnings("ignore:TypedStorage is deprecated:UserWarning")
def test_what_is_no_model_is_told_in_a_sentence(tmp_path, held, said):
    with pytest.raises(UserError, match=said) as caught:
        opened(saved(tmp_path, held() if callable(held) and not isinstance(held, torch.Tensor) else held))
    assert str(caught.value).endswith(".")
    assert "\n" not in str(caught.value)


def test_infinite_weights_in_safetensors_are_named(tmp_path):
    state = {name: one.clone() for name, one in perceptron().state_dict().items()}
    state["0.weight"][0, 0] = float("inf")
    with pytest.raises(UserError, match=r"0.weight in model.safetensors holds infinite"):
        opened(saved(tmp_path, state, "model.safetensors"))


def test_labels_that_do_not_match_are_told_with_both_numbers(tmp_path):
    file = saved(tmp_path, mnist().state_dict())
    with pytest.raises(UserError, match="has 10 outputs, so 10 class names are expected; 3 came"):
        open_file(file, Facts(labels=("a", "b", "c"), architecture=opened(file).choices[0].id))


def test_an_unknown_network_says_what_is_nearest_and_where_it_differs(tmp_path):
    state = published("resnet18").state_dict()
    state["layer2.0.conv1.weight"] = torch.ones(128, 64, 5, 5)
    state["layer5.scale"] = torch.ones(3)
    with pytest.raises(UserError) as caught:
        opened(saved(tmp_path, state))
    said = str(caught.value)
    assert "nearest is resnet18 of torchvision" in said
    assert "layer2.0.conv1.weight (128 × 64 × 5 × 5 in the file, 128 × 64 × 3 × 3 in the architecture)" in said
    assert "layer5.scale" in said
    assert "torch.jit.save" in said
    assert "wrap(model)" in said


def test_a_network_of_nobody_is_told_without_a_family(tmp_path):
    with pytest.raises(UserError, match="no family comes near"):
        opened(saved(tmp_path, {"strange.thing": torch.ones(2, 3, 4), "other.thing": torch.ones(2, 3, 5)}))


def test_two_heads_on_a_known_body_are_told_with_what_they_are(tmp_path):
    body = {f"backbone.{name}": one for name, one in published("resnet18").state_dict().items() if "fc." not in name}
    heads = {f"{name}.weight": torch.ones(count, 512) for name, count in (("age", 1), ("sex", 2))}
    with pytest.raises(UserError) as caught:
        opened(saved(tmp_path, body | heads))
    said = str(caught.value)
    assert "nearest to its part 'backbone.' is resnet18 of torchvision, which differs in fc.weight (absent" in said
    assert "beside it lie age.weight, sex.weight. Make a model that returns one of its outputs alone" in said


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (
            Branching(
                down1=nn.Conv2d(3, 8, 3),
                down2=nn.Conv2d(8, 16, 3),
                up1=nn.ConvTranspose2d(16, 8, 2),
                out=nn.Conv2d(8, 2, 1),
            ),
            "looks like a segmentation network",
        ),
        (
            Branching(embedding=nn.Embedding(9, 4), lstm=nn.LSTM(4, 5), fc=nn.Linear(5, 2)),
            "looks like an embedding with an LSTM",
        ),
        (Branching(rnn=nn.GRU(4, 5), fc=nn.Linear(5, 2)), "looks like a GRU"),
    ],
)
def test_what_a_network_is_made_of_is_told_where_its_names_show_it(tmp_path, network, said):
    with pytest.raises(UserError, match=rf"{said}.* torch\.jit\.save"):
        opened(saved(tmp_path, network.state_dict()))


def test_a_network_with_a_twin_of_another_padding_names_both(tmp_path):
    found = opened(saved(tmp_path, of_timm("efficientnet_b0", 3).state_dict()))
    note = next(one for one in found.notes if "pad their pictures differently" in one)
    assert "timm/efficientnet_b0" in note
    assert "timm/tf_efficientnet_b0" in note
    assert "timm/tf_efficientnet_b0" in [one.id for one in found.choices]


def test_five_channels_have_no_usual_colours(tmp_path):
    found = read(saved(tmp_path, of_timm("resnet18", 3, in_chans=5).state_dict()))
    assert (found.guess.channels, found.guess.mean, found.guess.std, found.problem) == (5, (), (), "")
    assert any("from 0 to 1" in note for note in found.notes)


def test_an_architecture_that_does_not_fit_is_told(tmp_path):
    with pytest.raises(UserError, match=r"do not fit torchvision/vgg11; they fit plain/mlp/relu"):
        opened(saved(tmp_path, perceptron().state_dict()), architecture="torchvision/vgg11")


# -- what is opened


def test_a_reading_for_the_form_has_guess_outputs_and_choices(tmp_path):
    found = read(saved(tmp_path, published("resnet18").state_dict()))
    assert (found.format, found.outputs, found.required) == ("state_dict", 7, ())
    assert found.parameters == 11_180_103
    assert found.guess.size == (224, 224)
    assert found.guess.mean == (0.485, 0.456, 0.406)
    assert "resnet18 of torchvision, 7 classes" in found.what


def test_a_thousand_classes_are_imagenets(tmp_path):
    found = opened(saved(tmp_path, published("squeezenet1_1", 1000).state_dict()))
    assert len(found.guess.labels) == 1000


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda state: {"state_dict": {f"model.{name}": one for name, one in state.items()}},
        lambda state: {f"module.{name}": one for name, one in state.items()},
        lambda state: {f"_orig_mod.{name}": one for name, one in state.items()},
        lambda state: {f"module._orig_mod.{name}": one for name, one in state.items()},
        lambda state: {f"net.backbone.{name}": one for name, one in state.items()},
        lambda state: {"model": state, "args": argparse.Namespace(lr=1), "optimizer": {"state": {0: torch.ones(1)}}},
        lambda state: {"module": state, "ds_version": "0.14", "optimizer": None},
        lambda state: {name: nn.Parameter(one) if one.is_floating_point() else one for name, one in state.items()},
        lambda state: {**state, "total_ops": torch.zeros(1)} if False else dict(state),
    ],
)
def test_wrappers_and_prefixes_are_undone(tmp_path, wrapped):
    reference = stirred(lambda: nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 3)))
    found = opened(saved(tmp_path, wrapped(dict(reference.state_dict()))))
    same(found.network, reference, (4,))


def test_what_was_undone_is_told(tmp_path):
    found = opened(saved(tmp_path, lightning(mnist().state_dict(), None)))
    said = " ".join(found.notes)
    assert "'state_dict' in the checkpoint" in said
    assert "The prefix 'model.' was taken off, and 1 tensor was left out beside it (criterion.weight)" in said


def test_a_weight_beside_the_prefix_that_may_matter_is_never_dropped(tmp_path):
    state = {f"model.{name}": one for name, one in mnist().state_dict().items()}
    with pytest.raises(UserError, match="not known"):
        opened(saved(tmp_path, {**state, "temperature": torch.ones(1)}))


def test_a_single_linear_layer_opens(tmp_path):
    layer = stirred(lambda: nn.Linear(4, 3))
    same(opened(saved(tmp_path, layer.state_dict())).network, layer, (4,))


def test_activations_are_a_choice_and_the_one_chosen_is_taken(tmp_path):
    reference = perceptron("Tanh")
    file = saved(tmp_path, reference.state_dict())
    first = opened(file)
    assert [one.id for one in first.choices][:3] == ["plain/mlp/relu", "plain/mlp/gelu", "plain/mlp/tanh"]
    assert all(one.reason for one in first.choices)
    assert any("ReLU is assumed" in note for note in first.notes)
    same(opened(file, architecture="plain/mlp/tanh").network, reference, (6,))


def three(**more):
    return {f"conv{i}": nn.Conv2d(3 if i == 1 else 8, 8, 3, padding=1) for i in (1, 2)} | more | {"fc": nn.Linear(8, 4)}


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Branching(**three(skip=nn.Conv2d(8, 8, 1))), r"beside one another \(skip\)"),
        (
            Branching(**three(block1=Branching(conv1=nn.Conv2d(8, 8, 3), conv2=nn.Conv2d(8, 8, 3)))),
            r"beside one another \(block1\)",
        ),
        (Branching(q=nn.Linear(8, 8), k=nn.Linear(8, 8), v=nn.Linear(8, 8), out=nn.Linear(8, 2)), r"\(q, k, v\)"),
        (Branching(up=nn.Linear(8, 8), gate=nn.Linear(8, 8), out=nn.Linear(8, 2)), r"\(gate\)"),
        (
            Branching(actor=nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2)), critic=nn.Linear(4, 1)),
            r"\(actor, critic\)",
        ),
    ],
)
def test_layers_beside_one_another_are_no_chain(tmp_path, network, said):
    with pytest.raises(UserError, match=rf"{said}.* torch\.jit\.save"):
        opened(saved(tmp_path, network.state_dict()))


def test_what_nothing_in_the_file_tells_is_asked_for(tmp_path):
    file = saved(tmp_path, perceptron().state_dict())
    found = read(file, Facts(modality="tabular"))
    assert (found.required, found.uncertain) == (("architecture",), True)
    assert read(file, Facts(modality="tabular", architecture="plain/mlp/relu")).required == ()
    with pytest.raises(UserError, match=r"choose one, or save it as TorchScript or ONNX. architecture is one of plain"):
        open_file(file, Facts(modality="tabular"))


@pytest.mark.parametrize(
    "beside",
    [
        {"class_to_idx": {"cat": 0, "eel": 2, "dog": 1}},
        {"classes": ["cat", "dog", "eel"]},
        {"idx_to_class": {2: "eel", 0: "cat", 1: "dog"}},
        {"hyper_parameters": {"id2label": {"1": "dog", "0": "cat", "2": "eel"}}},
        {"meta": {"label_map": {"cat": 0, "eel": 2, "dog": 1}}},
        {"label_names": ("cat", "dog", "eel")},
    ],
)
def test_names_of_classes_in_a_checkpoint_are_read(tmp_path, beside):
    found = opened(saved(tmp_path, {"model": perceptron().state_dict(), **beside}))
    assert found.guess.labels == ("cat", "dog", "eel")


@pytest.mark.parametrize(
    "beside",
    [
        {"classes": ["cat", "dog"]},  # of another number
        {"classes": ["cat", "dog", 3]},
        {"class_to_idx": {"cat": 1, "dog": 2, "eel": 3}},
        {"classes": 3},
        {"names": [["cat"], "dog", "eel"]},
    ],
)
def test_what_may_be_no_names_of_classes_is_left(tmp_path, beside):
    assert opened(saved(tmp_path, {"model": perceptron().state_dict(), **beside})).guess.labels == ()


@pytest.mark.parametrize("elsewhere", [False, True])
def test_where_the_activation_stands_beside_a_normalisation_is_a_choice(tmp_path, elsewhere):
    act, drop = nn.ReLU(), nn.Dropout(0.5)
    first, second = (drop, act) if elsewhere else (act, drop)
    reference = stirred(
        lambda: nn.Sequential(nn.Linear(6, 16), first, nn.BatchNorm1d(16), second, nn.Linear(16, 3)).eval()
    )
    file = saved(tmp_path, reference.state_dict())
    same(opened(file, architecture="plain/mlp/relu" + "/elsewhere" * elsewhere).network, reference, (6,))


def test_a_strided_convolutional_network_is_among_the_choices(tmp_path):
    def block(channels, out):
        return [nn.Conv2d(channels, out, 3, 2, 1), nn.BatchNorm2d(out), nn.ReLU()]

    for last in (nn.Flatten(), nn.AdaptiveAvgPool2d(8)):
        layers = [*block(3, 8), *block(8, 16), last, nn.Flatten()]
        reference = stirred(lambda layers=layers: nn.Sequential(*layers, nn.Linear(16 * 64, 5)))
        file = saved(tmp_path, reference.state_dict())
        assert read(file).required == ("architecture",)
        same(opened(file, architecture="plain/cnn/same-stride11-32/relu").network, reference, (3, 32, 32))


def test_double_precision_stays(tmp_path):
    reference = perceptron(double=True)
    model = open_file(saved(tmp_path, reference.state_dict()), Facts(modality="tabular", architecture="plain/mlp/relu"))
    row = np.arange(6.0)
    with torch.no_grad():
        expected = reference(torch.as_tensor(row)[None])[0].numpy()
    np.testing.assert_allclose(model.predict(model.sample(row)).raw, expected, rtol=1e-12)
