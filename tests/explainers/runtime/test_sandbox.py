"""The layers of the sandbox one by one, and the host's report."""

import errno
import json
import os
import platform
import re
import struct
import subprocess
import sys
from pathlib import Path

import confined
import pytest

from explainers.runtime import attached, sandbox
from explainers.runtime.sandbox import bpf, landlock, reach, seccomp
from explainers.runtime.sandbox import report as report_module
from explainers.runtime.sandbox import trial as trial_module
from explainers.runtime.sandbox.syscalls import ALLOWED, LIMITED, MACHINES, NEWEST, OF_A_GPU

CONTAINED = sandbox.host().contained
needs_all = pytest.mark.skipif(not CONTAINED, reason=sandbox.host().sentence)
HERE = str(Path(__file__).parent)
PROCESS = 4321
ALLOW, EPERM, ENOSYS, KILL = bpf.ALLOW, bpf.ERROR | errno.EPERM, bpf.ERROR | errno.ENOSYS, bpf.KILL


def verdict(program, number, *arguments, machine="x86_64"):
    """What the kernel would say: an interpreter of the few instructions, from the specification of classic BPF."""
    args = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<IIQ6Q", number, MACHINES[machine][1], 0, *(one & (1 << 64) - 1 for one in args))
    lines = list(struct.iter_unpack("<HBBI", program))
    here, word = 0, 0
    while True:
        code, yes, no, value = lines[here]
        here += 1
        match code:
            case 0x20:
                word = struct.unpack_from("<I", data, value)[0]
            case 0x54:
                word &= value
            case 0x15:
                here += yes if word == value else no
            case 0x35:
                here += yes if word >= value else no
            case 0x45:
                here += yes if word & value else no
            case 0x06:
                return value
            case _:
                raise AssertionError(f"unknown instruction {code:#x}")


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("gpu", [False, True])
def test_every_number_is_allowed_or_refused_as_the_tables_say(machine, gpu):
    program = seccomp.program(machine, PROCESS, gpu)
    column = MACHINES[machine][0]
    allowed = {one[column] for one in (ALLOWED | OF_A_GPU if gpu else ALLOWED).values()}
    limited = {one[column] for one in LIMITED.values()}
    for number in range(NEWEST):
        if number not in limited:
            assert verdict(program, number, machine=machine) == (ALLOW if number in allowed else EPERM), number
    assert {verdict(program, one, machine=machine) for one in (NEWEST, NEWEST + 7, 0x3FFFFFFF)} == {ENOSYS}


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("openat", (0, 0, os.O_RDONLY), ALLOW),
        ("openat", (0, 0, os.O_WRONLY | os.O_TRUNC | os.O_CREAT), ALLOW),
        ("openat", (0, 0, os.O_RDWR | os.O_TRUNC), ALLOW),
        ("openat", (0, 0, os.O_RDONLY | os.O_TRUNC), EPERM),
        ("openat", (0, 0, 3 | os.O_TRUNC), EPERM),
        ("clone", (0x3D0F00,), ALLOW),  # what glibc and musl start a thread with
        ("clone", (0x7D0F00,), ALLOW),
        ("clone", (0x1200011,), EPERM),  # a fork
        ("clone", (0x4111,), EPERM),  # a vfork
        ("clone", (0x3D0F00 | 0x40000000,), EPERM),  # a network of its own
        ("clone3", (), ENOSYS),
        ("kill", (PROCESS, 9), ALLOW),
        ("kill", (PROCESS + 1, 0), EPERM),
        ("kill", (0, 9), EPERM),
        ("kill", (-1, 9), EPERM),
        ("kill", (-PROCESS, 9), EPERM),
        ("tgkill", (PROCESS, 77, 6), ALLOW),
        ("tgkill", (1, 1, 6), EPERM),
        ("prlimit64", (0, 7, 0, 99), ALLOW),
        ("prlimit64", (0, 7, 99, 0), EPERM),
        ("prlimit64", (0, 7, 1 << 32, 0), EPERM),  # an address whose low word is nought
        ("prctl", (15,), ALLOW),
        ("prctl", (4, 1), EPERM),
        ("prctl", (22, 2), EPERM),
        ("ioctl", (0, 0x5401), ALLOW),
        ("ioctl", (0, 0x5412), EPERM),
        ("fcntl", (0, 1030), ALLOW),
        ("fcntl", (0, 8, 1), EPERM),
        ("fcntl", (0, 15), EPERM),
        ("sendto", (3, 99, 1, 0, 0, 0), ALLOW),
        ("sendto", (3, 99, 1, 0, 99, 8), EPERM),
        ("sched_setaffinity", (0,), ALLOW),
        ("sched_setaffinity", (1,), EPERM),
    ],
)
def test_a_call_is_limited_by_its_arguments(machine, name, arguments, expected):
    program = seccomp.program(machine, PROCESS)
    assert verdict(program, LIMITED[name][MACHINES[machine][0]], *arguments, machine=machine) == expected


def test_a_call_of_another_architecture_ends_the_process():
    program = seccomp.program("x86_64", PROCESS)
    assert verdict(program, 0, machine="aarch64") == KILL
    assert verdict(program, 0x40000000, machine="x86_64") == KILL  # x32
    assert verdict(seccomp.program("aarch64", PROCESS), 63, machine="x86_64") == KILL


@pytest.mark.parametrize(
    ("column", "header"),
    [(0, "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"), (1, "/usr/include/asm-generic/unistd.h")],
)
def test_the_numbers_are_the_kernels(column, header):
    if not Path(header).exists():
        pytest.skip(f"there is no {header} here")
    known = {
        name: int(number) for name, number in re.findall(r"#define __NR_(\w+)\s+(\d+)\b", Path(header).read_text())
    }
    known |= {
        name: int(number) for name, number in re.findall(r"#define __NR3264_(\w+)\s+(\d+)\b", Path(header).read_text())
    }
    known["newfstatat"] = known.get("newfstatat", known.get("fstatat", 0))
    for name, numbers in (ALLOWED | LIMITED | OF_A_GPU).items():
        assert numbers[column] == known.get(name), name


def test_a_jump_goes_forward_and_not_too_far():
    far = bpf.Assembler()
    far.equal(1, yes="end")
    for _ in range(256):
        far.load(0)
    far.label("end")
    far.verdict(ALLOW)
    with pytest.raises(ValueError, match="cannot jump"):
        far.assemble()
    back = bpf.Assembler()
    back.label("start")
    back.equal(1, yes="start")
    with pytest.raises(ValueError, match="cannot jump"):
        back.assemble()
    with pytest.raises(ValueError, match="two lines"):
        back.label("start")


def test_a_newer_landlock_refuses_more():
    files, network, scopes = zip(*(landlock.handled(version) for version in range(1, 12)), strict=True)
    assert files[:5] == (0x1FFF, 0x3FFF, 0x7FFF, 0x7FFF, 0xFFFF)  # from the kernel's documentation
    assert set(files[5:]) == {0xFFFF}
    assert network == (0, 0, 0, *[3] * 8)
    assert scopes == (0, 0, 0, 0, 0, *[3] * 6)


def test_what_may_be_read_is_code_and_never_a_home(monkeypatch):
    home = os.path.realpath(os.path.expanduser("~"))
    monkeypatch.setenv("HOME", "/nowhere")  # as in a child, where it is the scratch
    monkeypatch.setattr(sys, "path", [*sys.path, home, "/", ""])
    found = reach.code()
    assert os.path.dirname(os.path.realpath(os.__file__)) in found
    assert not {"/", home, *reach.around()} & set(found)
    assert not any(home.startswith(one + "/") for one in found)


def test_the_environment_keeps_nothing_of_the_operators(monkeypatch):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    found = sandbox.environment("/scratch")
    assert "secret" not in found.values()
    assert found["OMP_NUM_THREADS"] == "2"
    assert found["HOME"] == found["TMPDIR"] == found["NUMBA_CACHE_DIR"] == "/scratch"


# -- the host's report -----------------------------------------------------------------------------------------------


def test_the_report_says_of_every_barrier_whether_it_holds():
    found = sandbox.host()
    assert {one.id for one in found.barriers} == {"fork", *sandbox.REQUIRED}
    assert all(one.label and one.sentence.endswith(".") for one in found.barriers)
    assert found.contained == all(one.holds for one in found.barriers)
    assert platform.machine() in found.system


def test_a_layer_that_is_switched_off_counts_as_missing(monkeypatch):
    for id in sandbox.REQUIRED:
        monkeypatch.setenv(sandbox.WITHOUT, id)
        found = sandbox.host()
        assert not found.contained
        assert not next(one for one in found.barriers if one.id == id).holds
        assert "safetensors" in found.sentence
    assert not sandbox.contained(("limits", "no_new_privs", "seccomp"))


@pytest.mark.parametrize(
    ("outcomes", "words"),
    [
        ({"landlock": "this kernel is too old for it, or was built without it"}, "Landlock is missing"),
        ({"landlock": "x", "seccomp": "y"}, "Landlock and seccomp are missing"),
        ({"all": "a thread does not work"}, "a thread does not work"),
    ],
)
def test_a_machine_that_lacks_something_is_told_so(monkeypatch, outcomes, words):
    monkeypatch.setattr(report_module, "_outcomes", lambda: dict.fromkeys(report_module.BARRIERS, "") | outcomes)
    found = report_module.tried.__wrapped__(())
    assert not found.contained
    assert words in found.sentence


def test_a_machine_without_fork_has_none_of_it(monkeypatch):
    monkeypatch.delattr(os, "fork")
    found = report_module.tried.__wrapped__(())
    assert not found.contained
    assert not any(one.holds for one in found.barriers)


def test_a_trial_that_cannot_be_run_is_no_barrier(monkeypatch):
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    assert not report_module.tried.__wrapped__(()).contained


def test_a_processor_that_the_tables_do_not_know_is_no_barrier():
    code = (
        "import platform; platform.machine = lambda: 'riscv64';"
        "from explainers.runtime.sandbox import trial; import json;"
        "print(json.dumps({id: trial.outcome(one) for id, one in trial.TRIALS.items()}))"
    )
    found = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert "x86_64 and aarch64" in found["seccomp"]
    assert "x86_64 and aarch64" in found["no_new_privs"]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork")
def test_a_barrier_that_leaks_is_not_believed(monkeypatch):
    code = (
        "from explainers.runtime.sandbox import trial, seccomp, landlock; import json;"
        "seccomp.filter_calls = lambda gpu=False: None; landlock.restrict = lambda **given: 7;"
        "print(json.dumps({id: trial.outcome(trial.TRIALS[id]) for id in ('seccomp', 'landlock')}))"
    )
    found = json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout)
    assert "did not refuse" in found["landlock"]
    assert found["seccomp"]


def test_a_refusing_kernel_is_told_in_words():
    assert "too old" in trial_module.REASONS[errno.ENOSYS]
    assert "container" in trial_module.REASONS[errno.EPERM]


# -- confined ----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def warm():
    with confined.warm("sandbox_guests", paths=(HERE,)) as one:
        yield one


@needs_all
def test_a_process_with_threads_is_not_confined(warm):
    assert "threads" in warm.call("sandbox_guests:with_threads").value


@needs_all
@pytest.mark.parametrize(
    ("function", "words"),
    [("leave", "exited with 3"), ("abort", "SIGABRT"), ("take", "MiB"), ("loop", "stopped after 1 s")],
)
def test_a_death_is_contained_and_told(warm, function, words):
    limits = confined.Limits(seconds=1 if function == "loop" else 20, memory=128 << 20)
    outcome = warm.call(f"sandbox_guests:{function}", limits=limits)
    assert outcome.kind == "died"
    assert words in outcome.text
    assert outcome.seconds < limits.seconds + 2


@needs_all
@pytest.mark.skipif(platform.machine() != "x86_64", reason="x86-64 has 32-bit calls")
def test_a_32_bit_call_ends_the_process(warm):
    assert "SIG" in warm.call("sandbox_guests:old_call").text


@pytest.mark.skipif(platform.system() != "Linux", reason="Linux only")
@pytest.mark.parametrize("off", sandbox.REQUIRED)
def test_a_missing_layer_is_left_out_of_the_answer(off, tmp_path):
    code = f"import json, sandbox_guests; print(json.dumps(sandbox_guests.said({off!r})))"
    path = os.pathsep.join([str(confined.ROOT), HERE])
    found = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1"},  # numpy starts threads when imported
    )
    held = json.loads(found.stdout)
    assert off not in held
    assert not sandbox.contained(tuple(held))


def test_a_link_out_of_a_models_folder_opens_nothing(tmp_path, monkeypatch):
    """The links of Hugging Face's cache lead to its blobs; one to anywhere else is not for the worker to read."""
    monkeypatch.delenv(attached.FOLDERS, raising=False)
    secret = tmp_path / "secret"
    secret.write_text("canary")
    cache = tmp_path / "models--someone--model"
    snapshot = cache / "snapshots" / "1"
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    blob = cache / "blobs" / "abc"
    blob.write_text("weights")
    (snapshot / "model.safetensors").symlink_to("../../blobs/abc")
    (snapshot / "config.json").symlink_to(secret)
    assert attached.linked(snapshot) == (blob,)
    monkeypatch.setenv(attached.FOLDERS, str(tmp_path))
    assert set(attached.linked(snapshot)) == {blob, secret}
