"""Attempts to get out of the sandbox, in plain Python: each is denied if it raises, and allowed if it returns.

`probe(world)` runs in a confined child and says what became of each. The world is what the test has put around it: a
file outside, another worker's scratch, the workspace's database, a process that holds a secret, sockets that listen.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import platform
import resource
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

World = dict[str, Any]
ATTEMPTS: dict[str, Callable[[World], Any]] = {}
HARMLESS: set[str] = set()  # what succeeds without the sandbox, and may: the control of the test
NUMBERS = {  # x86-64, aarch64
    "ptrace": (101, 117),
    "mount": (165, 40),
    "process_vm_readv": (310, 270),
    "io_uring_setup": (425, 425),
    "bpf": (321, 280),
    "memfd_create": (319, 279),
    "userfaultfd": (323, 282),
    "keyctl": (250, 219),
    "shmget": (29, 194),
    "unshare": (272, 97),
    "setns": (308, 268),
    "pidfd_open": (434, 434),
    "perf_event_open": (298, 241),
    "name_to_handle_at": (303, 264),
    "clone3": (435, 435),
    "landlock_create_ruleset": (444, 444),
}
COLUMN = {"x86_64": 0, "aarch64": 1}.get(platform.machine(), 0)
libc = ctypes.CDLL(None, use_errno=True)


def attempt(harmless: bool = False) -> Callable[[Callable[[World], Any]], Callable[[World], Any]]:
    """An attempt, by its function's name."""

    def keep(function: Callable[[World], Any]) -> Callable[[World], Any]:
        ATTEMPTS[function.__name__] = function
        if harmless:
            HARMLESS.add(function.__name__)
        return function

    return keep


def call(name: str, *arguments: Any) -> int:
    """A system call; OSError if it is refused."""
    given = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    found = libc.syscall(ctypes.c_long(NUMBERS[name][COLUMN]), *given)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return int(found)


def probe(world: World, only: list[str] | None = None) -> dict[str, str]:
    """For each attempt "allowed", or how it was denied."""
    found = {}
    for name, act in ATTEMPTS.items():
        if only is None or name in only:
            try:
                act(world)
                found[name] = "allowed"
            except BaseException as error:
                found[name] = f"{type(error).__name__}: {error}"
    return found


# -- files -----------------------------------------------------------------------------------------------------------


@attempt(harmless=True)
def read_passwd(world):
    Path("/etc/passwd").read_text()


@attempt()
def read_shadow(world):
    Path("/etc/shadow").read_text()


@attempt()
def list_home(world):
    os.listdir(world["home"])


@attempt(harmless=True)
def read_a_file_beside_the_model(world):
    Path(world["secret"]).read_text()


@attempt(harmless=True)
def read_another_scratch(world):
    Path(world["other_scratch"], "upload.bin").read_bytes()


@attempt(harmless=True)
def read_the_workspace_database(world):
    Path(world["database"]).read_bytes()


@attempt(harmless=True)
def read_through_the_root_of_proc(world):
    Path(f"/proc/self/root{world['secret']}").read_text()


@attempt(harmless=True)
def read_through_a_symlink(world):
    os.symlink(world["secret"], "link")
    Path("link").read_text()


@attempt()
def read_through_a_hard_link(world):
    os.link(world["secret"], "hard")
    Path("hard").read_text()


@attempt()
def read_by_handle(world):
    handle = ctypes.create_string_buffer(struct.pack("Ii", 128, 0) + bytes(128))
    mount = ctypes.c_int()
    call("name_to_handle_at", -100, ctypes.c_char_p(world["secret"].encode()), handle, ctypes.byref(mount), 0)


@attempt(harmless=True)
def write_outside(world):
    Path(world["outside"], "written").write_text("x")


@attempt(harmless=True)
def write_into_installed_code(world):
    with open(world["code"], "r+b"):
        pass


@attempt(harmless=True)
def overwrite_its_own_model(world):
    with open(world["model"], "r+b") as file:
        file.write(b"x")


@attempt(harmless=True)
def rename_a_file_into_scratch(world):
    os.rename(world["movable"], "moved")


@attempt(harmless=True)
def rename_a_file_out_of_scratch(world):
    Path("own_file").write_text("x")
    os.rename("own_file", os.path.join(world["outside"], "sent"))


@attempt(harmless=True)
def truncate_outside(world):
    os.truncate(world["shortened"], 0)


@attempt(harmless=True)
def truncate_by_opening_to_read(world):
    os.close(os.open(world["shortened"], os.O_RDONLY | os.O_TRUNC))


@attempt(harmless=True)
def remove_outside(world):
    os.remove(world["removable"])


@attempt(harmless=True)
def make_a_folder_outside(world):
    os.mkdir(os.path.join(world["outside"], "made"))


@attempt()
def change_the_mode_of_a_file(world):
    os.chmod(world["model"], 0o644)


@attempt()
def change_the_owner_of_a_file(world):
    os.chown(world["model"], os.getuid(), os.getgid())


@attempt()
def change_the_times_of_a_file(world):
    os.utime(world["model"])


@attempt(harmless=True)
def make_a_fifo(world):
    os.mkfifo("fifo")


@attempt()
def make_a_device(world):
    os.mknod("memory", 0o600 | 0o020000, os.makedev(1, 1))


@attempt()
def open_the_memory_device(world):
    os.open("/dev/mem", os.O_RDWR)


@attempt()
def share_memory_by_a_file(world):
    with open(f"/dev/shm/assay_probe_{os.getpid()}", "w"):
        pass
    os.remove(f"/dev/shm/assay_probe_{os.getpid()}")


@attempt()
def fill_the_disk(world):
    with open("big", "wb") as file:
        for _ in range(2 * world["file_size"] >> 20):
            file.write(bytes(1 << 20))


@attempt()
def mount_a_file_system(world):
    os.mkdir("mounted")
    call("mount", b"none", b"mounted", b"tmpfs", 0, 0)


@attempt()
def change_the_root(world):
    os.chroot(".")


# -- other processes -------------------------------------------------------------------------------------------------


@attempt(harmless=True)
def read_the_environment_of_another_process(world):
    Path(f"/proc/{world['victim']}/environ").read_bytes()


@attempt(harmless=True)
def read_the_command_line_of_another_process(world):
    Path(f"/proc/{world['victim']}/cmdline").read_bytes()


@attempt(harmless=True)
def read_the_memory_of_another_process(world):
    with open(f"/proc/{world['victim']}/mem", "rb"):
        pass


@attempt(harmless=True)
def open_a_descriptor_of_another_process(world):
    Path(f"/proc/{world['victim']}/fd/{world['victim_descriptor']}").read_bytes()


@attempt(harmless=True)
def list_processes(world):
    os.listdir("/proc")


@attempt()
def read_the_environment_of_the_parent(world):
    Path(f"/proc/{os.getppid()}/environ").read_bytes()


@attempt()
def trace_another_process(world):
    call("ptrace", 16, world["victim"], 0, 0)  # PTRACE_ATTACH


@attempt()
def copy_the_memory_of_another_process(world):
    target = ctypes.create_string_buffer(8)
    vector = struct.pack("QQ", ctypes.addressof(target), 8)
    call("process_vm_readv", world["victim"], ctypes.c_char_p(vector), 1, ctypes.c_char_p(vector), 1, 0)


@attempt(harmless=True)
def signal_the_parent(world):
    os.kill(os.getppid(), 0)


@attempt(harmless=True)
def signal_everybody(world):
    os.kill(-1, 0)


@attempt(harmless=True)
def hold_another_process(world):
    call("pidfd_open", world["victim"], 0)


@attempt(harmless=True)
def send_signals_by_a_descriptor(world):
    reading, _ = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETOWN, world["victim"])


@attempt(harmless=True)
def fork(world):
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


@attempt(harmless=True)
def start_a_program(world):
    subprocess.run([sys.executable, "-c", ""], check=True)


@attempt(harmless=True)
def spawn_a_program(world):
    os.waitpid(os.posix_spawn("/bin/true", ["true"], {}), 0)


@attempt()
def become_another_program(world):
    os.execv("/bin/false", ["false"])


@attempt()
def become_a_program_in_memory(world):
    memory = call("memfd_create", b"program", 0)
    os.write(memory, b"#!/bin/false\n")
    os.execve(memory, ["false"], {})


@attempt(harmless=True)
def change_the_priority_of_another_process(world):
    os.setpriority(os.PRIO_PROCESS, world["victim"], os.getpriority(os.PRIO_PROCESS, world["victim"]) + 1)


@attempt(harmless=True)
def move_another_process_to_a_core(world):
    os.sched_setaffinity(world["victim"], os.sched_getaffinity(0))


# -- the network and sockets -----------------------------------------------------------------------------------------


@attempt(harmless=True)
def connect_by_ipv4(world):
    with socket.create_connection(("127.0.0.1", world["port"]), 1):
        pass


@attempt(harmless=True)
def send_a_datagram(world):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.sendto(b"x", ("127.0.0.1", world["port"]))


@attempt()
def make_an_ipv6_socket(world):
    socket.socket(socket.AF_INET6).close()


@attempt(harmless=True)
def connect_to_a_unix_socket(world):
    with socket.socket(socket.AF_UNIX) as one:
        one.connect(world["unix"])


@attempt(harmless=True)
def connect_to_an_abstract_socket(world):
    with socket.socket(socket.AF_UNIX) as one:
        one.connect("\0" + world["abstract"])


@attempt(harmless=True)
def send_to_an_abstract_socket_from_a_pair(world):
    one, _ = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    one.sendto(b"x", "\0" + world["abstract_datagram"])


@attempt(harmless=True)
def listen_on_a_port(world):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        one.listen()


@attempt(harmless=True)
def make_a_netlink_socket(world):
    socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close()


@attempt()
def make_a_raw_socket(world):
    socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP).close()


# -- the kernel ------------------------------------------------------------------------------------------------------


@attempt()
def unshare_namespaces(world):
    call("unshare", 0x10000000)  # CLONE_NEWUSER


@attempt()
def enter_the_namespace_of_another_process(world):
    with open(f"/proc/{world['victim']}/ns/net", "rb") as one:
        call("setns", one.fileno(), 0)


@attempt()
def set_up_io_uring(world):
    call("io_uring_setup", 4, ctypes.create_string_buffer(256))


@attempt()
def load_a_bpf_program(world):
    call("bpf", 0, ctypes.create_string_buffer(struct.pack("IIII", 2, 4, 4, 1) + bytes(112)), 128)  # an array's map


@attempt()
def handle_its_own_page_faults(world):
    call("userfaultfd", 1)


@attempt(harmless=True)
def make_a_file_in_memory(world):
    os.close(call("memfd_create", b"x", 0))


@attempt()
def use_the_keyring(world):
    call("keyctl", 0, -3, 1)  # the session's, made if it is not there


@attempt()
def share_memory_by_a_key(world):
    found = call("shmget", 0, 4096, 0o1600)
    libc.shmctl(found, 0, None)


@attempt()
def count_events(world):
    call("perf_event_open", ctypes.create_string_buffer(struct.pack("IIQ", 1, 128, 0) + bytes(112)), 0, -1, -1, 0)


@attempt(harmless=True)
def make_another_ruleset(world):
    call("landlock_create_ruleset", None, 0, 1)


@attempt()
def become_root(world):
    os.setuid(0)


@attempt()
def leave_root(world):
    os.setresuid(65533, 65533, 65533)


@attempt()
def raise_its_own_limits(world):
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


@attempt()
def take_more_memory(world):
    bytearray(2 * world["memory"])


@attempt(harmless=True)
def become_dumpable(world):
    if libc.prctl(4, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


@attempt()
def type_into_a_terminal(world):
    reading, _ = os.pipe()
    try:
        fcntl.ioctl(reading, 0x5412, b"x")  # TIOCSTI; ENOTTY says that the kernel would have taken it from a terminal
    except OSError as error:
        if error.errno == 25:
            return
        raise


# -- what a model may do ---------------------------------------------------------------------------------------------


@attempt(harmless=True)
def use_its_own_scratch(world):
    os.makedirs("a/b")
    Path("a/b/c").write_text("x")
    os.rename("a/b/c", "a/d")
    if Path("a/d").read_text() != "x":
        raise ValueError("not what was written")
    os.remove("a/d")


@attempt(harmless=True)
def read_its_own_model(world):
    Path(world["model"]).read_bytes()


@attempt(harmless=True)
def use_its_own_descriptors(world):
    os.listdir("/proc/self/fd")


@attempt(harmless=True)
def start_threads(world):
    done: list[int] = []
    threads = [threading.Thread(target=done.append, args=(one,)) for one in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    if len(done) != 8:
        raise ValueError("threads that did not run")


@attempt(harmless=True)
def see_that_a_path_exists(world):
    os.stat(world["secret"])


@attempt()
def read_its_own_environment(world):
    if "ASSAY_PROBE_SECRET" in Path("/proc/self/environ").read_text() or "ASSAY_PROBE_SECRET" in os.environ:
        return
    raise ValueError("nothing of its parent's is in it")
