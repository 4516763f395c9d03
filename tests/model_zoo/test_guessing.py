"""What shapes suggest of an input, against networks whose input is known."""

import pytest
import torch

from model_zoo import guessing, vision
from model_zoo.facts import Facts


@pytest.mark.parametrize(
    ("shape", "dtype", "expected"),
    [
        ((None, 3, 224, 224), "float32", Facts(modality="image", channels=3, size=(224, 224))),
        (("batch", 1, 28, 28), torch.float32, Facts(modality="image", channels=1, size=(28, 28))),
        ((1, 3, "height", "width"), "float32", Facts(modality="image", channels=3)),
        ((1, 96, 128, 3), "float32", Facts(modality="image", channels=3, size=(96, 128))),
        ((1, 224, 224, 3), "uint8", Facts(modality="image", channels=3, size=(224, 224), scale=255.0)),
        (("batch", "sequence"), "int64", Facts(modality="text")),
        ((1, 128), torch.int32, Facts(modality="text", limit=128)),
        ((1, 64, 8, 8), "float32", Facts()),
        ((1, 16000, 1), "float32", Facts()),
    ],
)
def test_a_declared_input_tells_its_modality(shape, dtype, expected):
    assert guessing.by_shape(shape, dtype) == expected


def test_a_table_has_a_column_for_each_declared_feature():
    found = guessing.by_shape((None, 4), "double")
    assert found.modality == "tabular"
    assert [one.name for one in found.columns] == ["feature 0", "feature 1", "feature 2", "feature 3"]
    assert guessing.by_shape((None, None), "float32") == Facts(modality="tabular")


def test_the_first_layer_tells_in_modules_and_in_their_state_dicts():
    names = vision.torchvision().models
    with torch.device("meta"):
        networks = {
            "image": names.resnet18(),
            "text": torch.nn.Sequential(torch.nn.Embedding(40, 8), torch.nn.Flatten(), torch.nn.Linear(8, 2)),
            "tabular": torch.nn.Sequential(torch.nn.Linear(7, 3), torch.nn.ReLU(), torch.nn.Linear(3, 2)),
        }
    networks["text"] = torch.nn.ModuleDict({"embedding": networks["text"][0], "out": networks["text"][2]})
    for modality, network in networks.items():
        shapes = {name: tuple(one.shape) for name, one in network.state_dict().items()}
        assert guessing.by_network(network) == guessing.by_weights(shapes)
        assert guessing.by_network(network).modality == modality
    assert len(guessing.by_network(networks["tabular"]).columns) == 7


def test_a_vision_transformer_says_its_picture_size():
    with torch.device("meta"):
        network = vision.torchvision().models.vit_b_16(image_size=160)
    assert guessing.by_network(network).size == (160, 160)


def test_scripted_layers_are_known_by_their_kind():
    for network, modality in (
        (torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.ReLU()), "image"),
        (torch.nn.Sequential(torch.nn.Embedding(9, 4)), "text"),
        (torch.nn.Sequential(torch.nn.Linear(5, 4)), "tabular"),
    ):
        assert guessing.by_network(torch.jit.script(network)).modality == modality


def test_the_size_of_a_picture_is_tried_where_only_one_fits():
    network = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3), torch.nn.Flatten(), torch.nn.Linear(2 * 30 * 30, 2))
    assert guessing.picture_size(lambda height, width: network(torch.zeros(1, 3, height, width))) == (32, 32)
