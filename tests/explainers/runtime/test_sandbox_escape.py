"""What a stranger's model may try inside the sandbox, as root and as a user, and what each attempt comes to."""

import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import confined
import pytest
from escape_probe import ATTEMPTS, HARMLESS

from explainers.runtime.sandbox import host

pytestmark = pytest.mark.skipif(not host().contained, reason=host().sentence)

NOBODY = 65534
ALLOWED = {  # and nothing else; each is needed, or tells nothing
    "use_its_own_scratch",
    "read_its_own_model",
    "use_its_own_descriptors",
    "start_threads",
    "see_that_a_path_exists",
}
MEMORY, FILE_SIZE = 256 << 20, 4 << 20


@pytest.fixture(scope="module")
def warm():
    os.environ["ASSAY_PROBE_SECRET"] = "a secret of the operator"
    with confined.warm("escape_probe", paths=(str(Path(__file__).parent),)) as one:
        yield one
    del os.environ["ASSAY_PROBE_SECRET"]


@pytest.fixture
def world():
    """Files, sockets and a process around the sandbox, open to every user: only the sandbox is in the way."""
    with tempfile.TemporaryDirectory(prefix="world_") as folder:
        os.chmod(folder, 0o777)
        place = Path(folder)
        for name in ("secret", "database", "model", "movable", "shortened", "removable"):
            (place / name).write_text("canary")
            (place / name).chmod(0o666)
        for name in ("other_scratch", "outside"):
            (place / name).mkdir()
            (place / name).chmod(0o777)
        (place / "other_scratch" / "upload.bin").write_text("canary")
        listeners = [socket.socket(), *(socket.socket(socket.AF_UNIX) for _ in range(2))]
        listeners.append(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        tag = os.urandom(8).hex()
        listeners[0].bind(("127.0.0.1", 0))
        listeners[1].bind(str(place / "listens"))
        listeners[2].bind(f"\0assay-{tag}")
        listeners[3].bind(f"\0assay-datagram-{tag}")
        (place / "listens").chmod(0o777)
        for one in listeners[:3]:
            one.listen()
        reading, writing = os.pipe()
        with (place / "secret").open() as held:
            victim = subprocess.Popen(["/bin/cat"], stdin=reading, pass_fds=[held.fileno()], stdout=subprocess.DEVNULL)
            os.close(reading)
            yield {
                **{one.name: str(one) for one in place.iterdir()},
                "home": os.path.expanduser("~"),
                "code": os.__file__,
                "unix": str(place / "listens"),
                "abstract": f"assay-{tag}",
                "abstract_datagram": f"assay-datagram-{tag}",
                "port": listeners[0].getsockname()[1],
                "victim": victim.pid,
                "victim_descriptor": held.fileno(),
                "memory": MEMORY,
                "file_size": FILE_SIZE,
            }
        os.close(writing)
        victim.wait(10)
        for one in listeners:
            one.close()


def users():
    return [pytest.param(0, id="as-it-is"), pytest.param(NOBODY, id="nobody")] if os.getuid() == 0 else [0]


@pytest.mark.parametrize("uid", users())
def test_only_what_a_model_needs_is_allowed(warm, world, uid):
    limits = confined.Limits(seconds=30, memory=MEMORY, file_size=FILE_SIZE, uid=uid)
    outcome = warm.call("escape_probe:probe", world, readable=(world["model"],), limits=limits)
    assert outcome.kind == "answer", outcome
    allowed = {name for name, how in outcome.value.items() if how == "allowed"}
    assert allowed == ALLOWED
    assert len(ATTEMPTS) - len(ALLOWED) >= 28
    place = Path(world["secret"]).parent
    assert all((place / name).read_text() == "canary" for name in ("secret", "model", "movable", "shortened"))
    assert (place / "removable").exists()
    assert not list((place / "outside").iterdir())


def test_without_the_sandbox_the_attempts_succeed(world, tmp_path):
    """The control: what is denied above is denied by the sandbox, not by a slip of the probe."""
    code = "import json, sys, escape_probe; print(json.dumps(escape_probe.probe(json.load(sys.stdin), sys.argv[1:])))"
    found = subprocess.run(
        [sys.executable, "-c", code, *HARMLESS],
        input=json.dumps(world),
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        capture_output=True,
        text=True,
        check=True,
    )
    denied = {name: how for name, how in json.loads(found.stdout).items() if how != "allowed"}
    assert len(HARMLESS) - len(ALLOWED) >= 28
    assert len(denied) <= 8, denied  # a user who is not root may not do all of it
    if os.getuid() == 0:
        assert set(denied) <= {"read_the_memory_of_another_process", "connect_by_ipv4"}, denied


def test_the_document_has_the_figures():
    text = (Path(__file__).parents[3] / "docs" / "safety.md").read_text()
    denied = len(ATTEMPTS) - len(ALLOWED)
    assert f"{len(ATTEMPTS)} ways out of the sandbox, as root and as nobody: {denied} are denied" in " ".join(
        text.split()
    )
