"""Bare weights as torch.save writes them (.pt, .pth, .bin, .ckpt), alone or in a training script's checkpoint.

Nothing that the file names is called: see _torchfile. A pickle whose weights only its own classes could give back (a
whole network saved with torch.save(model)) is no state dict: that is the format pickled.
"""

from __future__ import annotations

from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.formats import _checkpoints, _torchfile
from model_zoo.types import UserError


def sniff(file: ModelFile) -> bool:
    """Whether torch.save wrote it and its weights are plain tensors in dictionaries."""
    if file.folder or not _torchfile.is_torch(file):
        return False
    try:
        found = _torchfile.contents(file)
    except UserError:
        return True  # cut off, or claims too much: open() says so
    return not found.foreign or _checkpoints.has_weights(found.tree) or _checkpoints.holds_arrays(found.foreign)


def open_state_dict(file: ModelFile, said: Facts) -> Opened:
    """The network that the weights belong to."""
    from model_zoo.formats._weights import network_of

    found = _torchfile.contents(file)
    return network_of(_checkpoints.weights(found.tree, file.name, found.foreign), said, file.name)


FORMAT = Format(
    id="state_dict",
    title="PyTorch state dict",
    endings=(".pt", ".pth", ".bin", ".ckpt"),
    trust=Trust.DATA,
    sniff=sniff,
    open=open_state_dict,
    summary=(
        "Weights without their code: the architecture is recognised from names and shapes (torchvision, timm,"
        " transformers, plain layers), and explained with gradients. Checkpoints of Lightning, timm and DataParallel"
        " are unwrapped."
    ),
    order=30,
)
