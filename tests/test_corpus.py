"""Every file of the corpus opens, predicts as its own library does, and is explained."""

import numpy as np
import pytest
from corpus import entries

from explainers import explain
from model_zoo.files import ModelFile
from model_zoo.opening import CONTAINED, format_of, open_file


def test_no_two_entries_share_a_name():
    names = [one.id for one in entries()]
    assert sorted(set(names)) == sorted(names)


@pytest.mark.parametrize("entry", entries(), ids=lambda one: one.id)
def test_a_real_file_opens_predicts_and_is_explained(entry, tmp_path):
    built = entry.build(tmp_path)
    file = ModelFile(built.path)
    assert format_of(file).id == entry.format
    model = open_file(file, entry.facts, trusted=CONTAINED)
    sample = model.sample(built.raw)
    expected = np.asarray(built.scores(sample.x), dtype=np.float64).reshape(-1)
    found = model.predict(sample).raw
    np.testing.assert_allclose(found, expected, atol=1e-4 * max(1.0, np.abs(expected).max()))
    for method, parameters in ((entry.gradient, {}), (entry.perturbation, entry.parameters)):
        if method:
            explanation = explain(model, sample, method, **parameters)
            assert np.isfinite(explanation.values).all()
            assert np.abs(explanation.values).max() > 0
