"""The codec: what goes in comes out, and a hostile header builds nothing else."""

import enum
import json
import math
from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from explainers import codec
from explainers.types import Check, Cost, Verdict
from model_zoo.types import Capability, Column, Players, UserError


def there_and_back(value):
    header, arrays = codec.encode(value)
    return codec.decode(json.loads(json.dumps(header)), arrays)


plain = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary()
values = st.recursive(
    plain,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_plain_values_come_back_as_they_were(value):
    found = there_and_back(value)
    assert found == value
    assert type(found) is type(value)


@given(arrays_of.arrays(st.sampled_from(["f4", "f8", "i8", "u1", "?"]), arrays_of.array_shapes(min_dims=0, min_side=0)))
def test_arrays_keep_their_bytes_shape_and_kind(array):
    found = there_and_back(array)
    assert (found.dtype, found.shape, found.tobytes()) == (array.dtype, array.shape, array.tobytes())


def test_dataclasses_enums_and_odd_numbers():
    check = Check("a", "A", Verdict.BY_CONSTRUCTION, "Fine.", 0.5)
    column = Column("age", default=None, low=-math.inf, high=math.inf)
    assert there_and_back((check, column)) == (check, column)
    assert there_and_back(check).verdict is Verdict.BY_CONSTRUCTION
    both = Capability.GRADIENTS | Capability.ATTENTION
    assert there_and_back(both) is both
    assert math.isnan(there_and_back(math.nan))
    assert there_and_back(np.float64(0.1)) == 0.1
    assert there_and_back(np.bool_(True)) is True


def test_a_long_text_travels_beside_the_header():
    text = "ä\udcff" * codec.LONG
    header, arrays = codec.encode((text, "short"))
    assert len(json.dumps(header)) < 100
    assert codec.decode(header, arrays) == (text.replace("\udcff", "?"), "short")
    with pytest.raises(UserError, match="not a record"):
        codec.decode({"text": 0}, [np.array([255, 254], np.uint8)])


def test_an_array_that_is_a_view_is_copied_whole():
    array = np.arange(12).reshape(3, 4)[:, ::2]
    np.testing.assert_array_equal(there_and_back(array), array)


class Colour(enum.Enum):
    RED = 1


@dataclass(frozen=True)
class Stranger:
    name: str


@pytest.mark.parametrize("value", [Stranger("x"), Colour.RED, object(), {1, 2}, np.array(["text"]), np.array([None])])
def test_what_is_not_ours_is_not_recorded(value):
    with pytest.raises(TypeError, match="cannot be recorded"):
        codec.encode(value)


@pytest.mark.parametrize(
    "header",
    [
        {"is": "os:system", "fields": {}},
        {"is": "subprocess:Popen", "fields": {"args": "true"}},
        {"is": "model_zoo.types:hashlib", "fields": {}},
        {"is": "model_zoo.types:digest", "fields": {}},
        {"is": "model_zoo.types:UserError", "fields": {}},
        {"is": "explainers.types:Cost.__class__", "fields": {}},
        {"is": "explainers.types:Cost", "fields": {"forward": 1}},
        {"is": "explainers.types:Cost", "fields": {"forward": 1, "backward": 1, "seconds": 1.0, "more": 1}},
        {"is": "explainers.types:Cost", "fields": {"forward": "many", "backward": 1, "seconds": 1.0}},
        {"is": "explainers.types:Cost", "fields": {"forward": True, "backward": 1, "seconds": 1.0}},
        {"is": "model_zoo.types:Target", "fields": {"index": 0, "label": "x", "output": "magic"}},
        {"is": "model_zoo.types:Players", "fields": {"kind": "words", "owner": [0, 1], "count": 2}},
        {"enum": "explainers.types:Verdict", "value": "superb"},
        {"enum": "explainers.types:Cost", "value": 1},
        {"array": 3},
        {"bytes": 0},
        {"float": "one"},
        {"tuple": 3},
        {"dict": [["a"]]},
        {"unknown": 1},
        {},
    ],
)
def test_a_hostile_header_builds_nothing(header):
    with pytest.raises(UserError, match="not a record that Assay wrote"):
        codec.decode(header, [])


def test_a_header_of_great_depth_is_refused():
    header = None
    for _ in range(100_000):
        header = [header]
    with pytest.raises(UserError):
        codec.decode(header, [])


def test_fields_are_checked_all_the_way_down():
    names = {"tuple": ["a", 5]}
    header = {"is": "model_zoo.types:Players", "fields": {"kind": "words", "owner": {"array": 0}, "count": 2}}
    assert isinstance(codec.decode(header, [np.arange(2)]), Players)
    with pytest.raises(UserError):
        codec.decode({**header, "fields": {**header["fields"], "names": names}}, [np.arange(2)])


def test_whole_numbers_may_stand_for_real_ones():
    assert there_and_back(Cost(1, 2, 3)) == Cost(1, 2, 3)


def test_text_that_no_file_can_hold_gets_a_question_mark():
    header, arrays = codec.encode({"a\udcff": "b\ud800c", "ü": "…"})
    assert codec.decode(header, arrays) == {"a?": "b?c", "ü": "…"}
    assert codec.decode({"tuple": ["\udcff"]}, []) == ("?",)


def test_a_whole_number_too_large_for_a_float_is_none():
    check = Check("id", "label", Verdict.GOOD, "Said.", 3)
    header, _ = codec.encode(check)
    assert codec.decode(header, []) == check
    header["fields"]["value"] = 10**400
    with pytest.raises(UserError):
        codec.decode(header, [])
