"""What is kept in memory has an end, in number and in bytes."""

import numpy as np

from explainers.runtime.recent import Recent, weight


def test_the_newest_stay_and_what_is_used_is_new():
    kept = Recent(2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert [kept.get(one) for one in "abc"] == [1, None, 3]
    kept.drop(lambda key: key == "a")
    assert [kept.get(one) for one in "abc"] == [None, None, 3]


def test_bytes_are_counted():
    kept = Recent(100, room=1_000_000)
    for number in range(10):
        kept.put(number, np.zeros(300_000, np.uint8))
    assert [number for number in range(10) if kept.get(number) is not None] == [7, 8, 9]
    kept.put("words", ("x" * 900_000,))
    assert kept.get(9) is None
    assert kept.get("words") is not None
    kept.put("large", np.zeros(1_000_001, np.uint8))
    assert kept.get("large") is None
    assert 1_000_000 <= weight((b"x" * 1_000_000,)) < 1_000_200
