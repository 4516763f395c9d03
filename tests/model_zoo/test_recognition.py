"""Bare weights are recognised by names and shapes alone; what is built computes what their owner's network did."""

import subprocess
import sys

import pytest
import torch
from corpus_files.state_dicts import of_timm, published, stirred
from torch import nn

from model_zoo import discovery, recognition, vision
from model_zoo.facts import Facts
from model_zoo.formats._checkpoints import Weights
from model_zoo.formats._torchfile import Claim
from model_zoo.formats._weights import blank, network_of
from model_zoo.recognition import Architecture, _build, _index, _layers


def opened(state, **said):
    """The network of a state dict, as from a file."""
    claims = {
        name: Claim(tuple(one.shape), str(one.dtype)[6:], lambda one=one: one.clone()) for name, one in state.items()
    }
    return network_of(Weights(claims), Facts(**said), "model.pt")


def same(found, reference, shape):
    x = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        torch.testing.assert_close(found.network(x), reference(x), atol=1e-4, rtol=1e-4)


# -- published architectures

PUBLISHED = (
    *("torchvision/alexnet", "torchvision/resnext50_32x4d", "torchvision/wide_resnet50_2", "torchvision/mnasnet1_3"),
    *("torchvision/efficientnet_v2_s", "torchvision/swin_v2_t", "torchvision/maxvit_t", "torchvision/convnext_tiny"),
    *("torchvision/googlenet", "torchvision/inception_v3", "torchvision/vgg16_bn", "torchvision/vit_b_32"),
    *("timm/resnetv2_50", "timm/seresnet50", "timm/regnety_032", "timm/nfnet_l0", "timm/tf_efficientnetv2_s"),
    *(
        "timm/convnextv2_nano",
        "timm/mobilenetv4_conv_small",
        "timm/deit3_small_patch16_224",
        "timm/beit_base_patch16_224",
    ),
    *("timm/swin_tiny_patch4_window7_224", "timm/mixer_s16_224", "timm/coatnet_0_rw_224", "timm/edgenext_small"),
    *("timm/deit_tiny_distilled_patch16_224", "timm/vit_small_patch14_dinov2", "timm/eva02_tiny_patch14_224"),
    *("assay/squeezenet", "assay/efficientnet_lite0"),
)


@pytest.mark.parametrize("identity", PUBLISHED)
def test_a_published_architecture_is_found_with_its_number_of_classes(identity):
    found = recognition.recognise(_build.shapes(identity, classes=11))
    entries = {one.id: one for one in _index.index().entries}
    wanted = {identity, entries[identity].twin} - {""}
    assert wanted & {one.id for one in found}, [one.id for one in found]
    best = found[0]
    assert best.score > 0.9
    assert "11 classes" in best.title
    assert best.facts.modality == "image"
    assert best.facts.size == entries[best.id.partition("+")[0]].size


def test_the_index_has_most_of_what_the_libraries_have():
    libraries = [one.id.partition("/")[0] for one in _index.index().entries]
    assert libraries.count("torchvision") >= 80
    assert libraries.count("timm") >= 1_000
    assert libraries.count("assay") == 2
    assert _index.FILE.stat().st_size < 1.5e6


def test_recognising_imports_no_torch():
    code = (
        "import sys; from model_zoo import recognition; recognition.recognise({'fc.weight': (3, 4)});"
        " print([one for one in ('torch', 'torchvision', 'timm', 'transformers') if one in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_a_vision_transformer_for_other_pictures_says_their_size():
    found = recognition.recognise(_build.shapes("timm/vit_tiny_patch16_224", classes=5, size=(320, 320), channels=1))
    assert found[0].facts.size == (320, 320)
    assert found[0].facts.channels == 1
    assert found[0].facts.mean == ()
    assert "320 × 320 pixels" in found[0].title


def test_names_that_two_libraries_share_are_one_where_the_function_is_one():
    found = recognition.recognise(_build.shapes("timm/resnet50", classes=7))
    assert found[0].id == "torchvision/resnet50"
    assert "the same function as timm/resnet50" in found[0].reason
    assert "timm/resnet50" not in [one.id for one in found]
    assert "timm/resnetblur50" in [one.id for one in found]  # blurs before it pools, without a weight


def test_names_that_two_functions_share_are_a_choice_with_reasons():
    found = recognition.recognise(_build.shapes("timm/efficientnet_b0", classes=7))
    assert [one.id for one in found][:2] == ["timm/efficientnet_b0", "timm/tf_efficientnet_b0"]
    assert (
        "timm/tf_efficientnet_b0, timm/efficientnet_blur_b0 fit as well, with other colours, padding" in found[0].reason
    )


def test_the_usual_vision_transformer_comes_before_its_relatives():
    found = recognition.recognise(_build.shapes("timm/vit_base_patch16_224", classes=7, size=(384, 384)))
    assert found[0].id == "timm/vit_base_patch16_384"
    assert "timm/vit_base_patch16_224" not in [one.id for one in found]
    assert any("deit_base" in one.id for one in found)  # the same function of photos with other means


def test_the_architecture_that_was_chosen_is_the_one_that_runs():
    reference = of_timm("tf_mobilenetv3_small_minimal_100")
    found = opened(reference.state_dict(), architecture="timm/tf_mobilenetv3_small_minimal_100")
    same(found, reference, (3, 64, 64))


# -- what a file lacks or has besides


@pytest.mark.parametrize("lacking", ["num_batches_tracked", "relative_position_index"])
def test_buffers_that_a_file_lacks_are_made_as_the_constructor_makes_them(lacking):
    reference = published("swin_t") if lacking.startswith("relative") else published("mobilenet_v2")
    state = {name: one for name, one in reference.state_dict().items() if not name.endswith(lacking)}
    assert len(state) < len(reference.state_dict())
    same(opened(state), reference, (3, 64, 64))


def test_a_network_made_blank_draws_no_numbers():
    before = torch.random.get_rng_state()
    with blank():
        vision.torchvision().models.resnet18(weights=None)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_a_network_made_blank_draws_its_buffers():
    """They are not in the file where they are not persistent: whoever skips them leaves what the memory held."""

    class Noise(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.full((4,), 7.0))
            nn.init.normal_(self.weight)
            self.register_buffer("noise", torch.full((1000,), 7.0).normal_(), persistent=False)
            self.register_buffer("inside", nn.init.trunc_normal_(torch.full((1000,), 7.0)), persistent=False)

    with blank():
        network = Noise()
    assert torch.equal(network.weight, torch.full((4,), 7.0))
    for one in (network.noise, network.inside):
        assert abs(float(one.mean())) < 0.2
        assert 0.7 < float(one.std()) < 1.2


def test_a_network_made_blank_has_its_buffers():
    with blank():
        network = vision.torchvision().models.swin_t(weights=None)
    reference = vision.torchvision().models.swin_t(weights=None)
    for name, one in reference.named_buffers():
        assert torch.equal(network.get_buffer(name), one), name


@pytest.mark.parametrize("index", range(3))
def test_a_head_of_several_layers_is_built_with_the_activation_as_a_choice(index):
    width, head = (
        (512, nn.Sequential(nn.Linear(512, 16), nn.ReLU(), nn.Dropout(), nn.Linear(16, 3))),
        (512, nn.Sequential(nn.Dropout(0.3), nn.Linear(512, 3))),
        (512, nn.Sequential(nn.Linear(512, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3))),
    )[index]
    assert width == 512

    def make():
        network = vision.torchvision().models.resnet18(weights=None)
        network.fc = head
        return network

    reference = stirred(make)
    found = opened(reference.state_dict())
    same(found, reference, (3, 64, 64))
    assert any("+" in one.id for one in found.choices) == (index != 1)


WHOLE = {
    "mobilenet_v2": lambda: nn.Sequential(nn.Dropout(0.2), nn.Linear(1280, 16), nn.ReLU(), nn.Linear(16, 3)),
    "mobilenet_v3_small": lambda: nn.Sequential(nn.Linear(576, 16), nn.ReLU(), nn.Dropout(0.2), nn.Linear(16, 3)),
    "efficientnet_b0": lambda: nn.Linear(1280, 3),
    "convnext_tiny": lambda: nn.Sequential(nn.Flatten(1), nn.LayerNorm(768), nn.Linear(768, 3)),
}


@pytest.mark.parametrize("name", WHOLE)
def test_a_whole_classifier_that_was_replaced_is_built(name):
    def make():
        network = vision.torchvision().models.get_model(name, weights=None)
        network.classifier = WHOLE[name]()
        return network

    reference = stirred(make)
    same(opened(reference.state_dict()), reference, (3, 64, 64))


@pytest.mark.parametrize("transformed", [True, False])
def test_whether_inception_changes_colours_inside_is_a_choice(transformed):
    reference = published("googlenet", aux_logits=False, init_weights=False)
    reference.transform_input = transformed
    found = opened(reference.state_dict(), architecture="" if transformed else "torchvision/googlenet:plain")
    assert len(found.choices) == 2
    same(found, reference, (3, 64, 64))


class Own(nn.Module):
    """A body without its head, and a head beside it, as people write it."""

    def __init__(self, body, head):
        super().__init__()
        self.backbone, self.classifier = body, head

    def forward(self, x):
        return self.classifier(self.backbone(x).flatten(1))


def headless():
    network = vision.torchvision().models.resnet18(weights=None)
    network.fc = nn.Identity()
    return network


BODIES = {
    "identity": headless,
    "children": lambda: nn.Sequential(*list(vision.torchvision().models.resnet18(weights=None).children())[:-1]),
    "timm": lambda: of_timm("resnet18", 0),
}


@pytest.mark.parametrize("body", BODIES)
@pytest.mark.parametrize("layers", [1, 2])
def test_a_body_and_a_head_in_a_class_of_ones_own_are_found(body, layers):
    head = nn.Linear(512, 3) if layers == 1 else nn.Sequential(nn.Linear(512, 8), nn.ReLU(), nn.Linear(8, 3))
    reference = stirred(lambda: Own(BODIES[body](), head))
    found = opened(reference.state_dict())
    same(found, reference, (3, 64, 64))
    assert any("pooled features" in note for note in found.notes)


# -- families


def resnet(**settings):
    models = vision.torchvision().models.resnet
    block = settings.pop("block")
    return models.ResNet(getattr(models, block), **settings)


def vit(**settings):
    return vision.torchvision().models.vision_transformer.VisionTransformer(**settings)


def timm_vit(**settings):
    vision.ready()
    from timm.models.vision_transformer import VisionTransformer

    return VisionTransformer(**settings)


def timm_convnext(**settings):
    vision.ready()
    from timm.models.convnext import ConvNeXt

    return ConvNeXt(**settings)


def densenet(**settings):
    return vision.torchvision().models.densenet.DenseNet(**settings)


def named(name, **settings):
    return getattr(vision.torchvision().models, name)(weights=None, **settings)


FAMILIES = {
    "resnet_deep": (lambda: resnet(block="BasicBlock", layers=[1, 2, 3, 1], num_classes=4), (3, 64, 64)),
    "resnext": (
        lambda: resnet(block="Bottleneck", layers=[1, 1, 1, 1], num_classes=4, groups=4, width_per_group=8),
        (3, 64, 64),
    ),
    "densenet": (
        lambda: densenet(growth_rate=8, block_config=(2, 3), num_init_features=16, num_classes=4),
        (3, 64, 64),
    ),
    "mobilenet_v2_narrow": (lambda: named("mobilenet_v2", width_mult=0.35, num_classes=4), (3, 64, 64)),
    "vit": (
        lambda: vit(image_size=32, patch_size=8, num_layers=2, num_heads=3, hidden_dim=192, mlp_dim=64, num_classes=4),
        (3, 32, 32),
    ),
    "timm_vit": (
        lambda: timm_vit(img_size=32, patch_size=8, embed_dim=192, depth=2, num_heads=3, num_classes=4),
        (3, 32, 32),
    ),
    "timm_vit_averaged": (
        lambda: timm_vit(
            img_size=32,
            patch_size=8,
            embed_dim=128,
            depth=2,
            num_heads=8,
            num_classes=4,
            class_token=False,
            global_pool="avg",
            init_values=0.1,
            mlp_ratio=2,
        ),
        (3, 32, 32),
    ),
    "timm_convnext": (lambda: timm_convnext(depths=(1, 2, 1, 1), dims=(8, 16, 24, 32), num_classes=4), (3, 64, 64)),
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_member_of_a_family_with_settings_of_its_own_is_built(family):
    make, shape = FAMILIES[family]
    reference = stirred(make)
    for name, one in reference.state_dict().items():
        if "head" in name:  # some begin as zeros
            one.normal_(0, 0.1)
    found = opened(reference.state_dict())
    same(found, reference, shape)


def test_the_usual_cifar_code_is_a_resnet_by_other_names():
    network = vision.torchvision().models.resnet18(weights=None, num_classes=10)
    network.conv1, network.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    reference = stirred(lambda: network)
    state = {
        name.replace("downsample", "shortcut").replace("fc.", "linear."): one
        for name, one in reference.state_dict().items()
    }
    found = opened(state)
    assert found.guess.size == (32, 32)
    same(found, reference, (3, 32, 32))


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_a_learner_of_fastai_is_its_body_and_its_head(name):
    """Written from fastai's create_body and create_head, AdaptiveConcatPool2d first."""

    class AdaptiveConcatPool2d(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.ap, self.mp = nn.AdaptiveAvgPool2d(1), nn.AdaptiveMaxPool2d(1)

        def forward(self, x):
            return torch.cat([self.mp(x), self.ap(x)], 1)

    def make():
        model = vision.torchvision().models.get_model(name, weights=None)
        wide = 2 * model.fc.in_features
        return nn.Sequential(
            nn.Sequential(*list(model.children())[:-2]),
            nn.Sequential(
                *(AdaptiveConcatPool2d(), nn.Flatten(), nn.BatchNorm1d(wide), nn.Dropout(0.25)),
                *(nn.Linear(wide, 512, bias=False), nn.ReLU(), nn.BatchNorm1d(512), nn.Dropout(0.5)),
                nn.Linear(512, 5, bias=False),
            ),
        )

    reference = stirred(make)
    found = opened(reference.state_dict())
    assert not found.uncertain
    same(found, reference, (3, 64, 64))


# -- plain layers


@pytest.mark.parametrize(
    ("network", "shape"),
    [
        (nn.Sequential(nn.Flatten(), nn.Linear(784, 32), nn.ReLU(), nn.Linear(32, 10)), (1, 28, 28)),
        (nn.Sequential(nn.Linear(5, 8), nn.PReLU(), nn.Linear(8, 2)), (5,)),
        (nn.Sequential(nn.Linear(5, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 2)), (5,)),
        (nn.Sequential(nn.Linear(5, 8, bias=False), nn.ReLU(), nn.Linear(8, 2, bias=False)), (5,)),
        (
            nn.Sequential(nn.Conv2d(3, 6, 5), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Conv2d(6, 16, 5), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Flatten(), nn.Linear(400, 12), nn.ReLU(), nn.Linear(12, 3)),
            (3, 32, 32),
        ),
        (
            nn.Sequential(nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
                          nn.Conv2d(8, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2),
                          nn.Flatten(), nn.Linear(8 * 256, 3)),
            (3, 32, 32),
        ),
    ],
    ids=["flat_picture", "prelu", "layer_norm", "no_bias", "lenet", "two_before_pooling"],
)  # fmt: skip
def test_a_numbered_chain_is_built_as_its_numbers_say(network, shape):
    reference = stirred(lambda: network)
    found = opened(reference.state_dict())
    same(found, reference, shape)
    assert found.guess.modality == ("tabular" if len(shape) == 1 else "image")


def test_what_a_perceptron_takes_may_be_a_picture_and_is_a_choice():
    found = recognition.recognise(
        {"fc1.weight": (32, 784), "fc1.bias": (32,), "fc2.weight": (10, 32), "fc2.bias": (10,)}
    )
    assert [one.id for one in found][:2] == ["plain/mlp_picture_1x28x28/relu", "plain/mlp/relu"]


@pytest.mark.parametrize(
    "shapes",
    [
        {"a.weight": (3, 4), "b.weight": (3, 5)},  # the second does not take what the first gives
        {"a.weight": (3, 4), "b.odd": (3,)},
        {"conv.weight": (8, 3, 3, 3), "fc.weight": (10, 77)},  # no picture leaves 77 features
        {"embedding.weight": (100, 8), "lstm.weight_ih_l0": (32, 8), "fc.weight": (2, 8)},
        {},
    ],
)
def test_what_is_no_chain_is_not_guessed(shapes):
    assert recognition.recognise(shapes) == ()


def test_every_architecture_that_is_proposed_is_whole():
    found = recognition.recognise({"0.weight": (8, 4), "0.bias": (8,), "2.weight": (2, 8), "2.bias": (2,)})
    for one in found:
        assert isinstance(one, Architecture)
        assert one.title
        assert one.reason
        assert {n: tuple(t.shape) for n, t in one.build().state_dict().items()} == {
            "0.weight": (8, 4),
            "0.bias": (8,),
            "2.weight": (2, 8),
            "2.bias": (2,),
        }
    assert [one.id.rpartition("/")[2] for one in found] == [name.lower() for name in _layers.ACTIVATIONS]


def test_the_nearest_family_is_told():
    shapes = _build.shapes("timm/convnext_tiny", classes=3)
    shapes["stages.0.blocks.0.conv_dw.weight"] = (96, 1, 9, 9)
    near = recognition.nearest(shapes)
    assert near[0].likeness > 0.9
    assert "convnext" in near[0].id


def test_a_family_that_does_not_import_is_listed_and_leaves_the_others_to_answer(monkeypatch) -> None:
    whole = discovery.importlib.import_module

    def importing(name: str):
        if name.endswith("recognition.plain"):
            raise SyntaxError("somebody's slip")
        return whole(name)

    monkeypatch.setattr(discovery.importlib, "import_module", importing)
    discovery.discover.cache_clear()
    try:
        shapes = {name: tuple(one.shape) for name, one in vision.torchvision().models.resnet18().state_dict().items()}
        assert recognition.recognise(shapes)[0].id == "torchvision/resnet18"
        (found,) = recognition.broken()
        assert (found.name, found.reason) == ("plain", "SyntaxError: somebody's slip")
    finally:
        discovery.discover.cache_clear()
