"""What workers inherit: one thread, and everything that partition SHAP would compile."""

import json
import os
import sys
import time
from pathlib import Path

import pytest

from explainers.runtime.nursery import Nursery
from explainers.runtime.types import Source


@pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux alone")
def test_the_warm_process_grows_while_its_twin_answers_and_has_one_thread(tmp_path, toys):
    (tmp_path / "logs").mkdir()
    nursery = Nursery(tmp_path, "cpu", toys)
    first = nursery.start("run", 1, Source("quick"))
    first.greet()
    assert not nursery.stale(first)
    zygote, deadline = nursery._zygote, time.monotonic() + 200
    assert os.listdir(f"/proc/{zygote.pid}/task") == [str(zygote.pid)]
    while not nursery.stale(first):
        assert time.monotonic() < deadline, (tmp_path / "logs" / "zygote.log").read_text()
        time.sleep(0.05)
    assert os.listdir(f"/proc/{zygote.pid}/task") == [str(zygote.pid)]
    second = nursery.start("run", 1, Source("quick"))
    second.greet()
    assert not nursery.stale(second)
    for number, one in enumerate((first, second)):
        one.send("card", number, ())
        assert [one.receive()[0] for _ in range(2)] == ["loaded", "result"]
    third = nursery.start("run", 2, Source("inherited"))
    third.greet()
    third.send("card", 1, ())
    before, after = json.loads(third.receive()[2])
    assert any(before.values())
    assert after == before  # partition SHAP compiles nothing more
    third.close()
    twin = int(Path(f"/proc/{first.pid}/stat").read_text().rpartition(")")[2].split()[1])
    assert twin != zygote.pid
    first.close()
    deadline = time.monotonic() + 10
    while Path(f"/proc/{twin}").exists():  # it goes with its last worker
        assert time.monotonic() < deadline
        time.sleep(0.02)
    second.close()
    nursery.close()
    assert not list((tmp_path / "scratch").iterdir())
