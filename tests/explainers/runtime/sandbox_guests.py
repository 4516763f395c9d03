"""What the tests of the sandbox run inside it."""

import ctypes
import mmap
import os
import threading

from explainers.runtime import sandbox


def with_threads():
    threading.Thread(target=threading.Event().wait, daemon=True).start()
    try:
        sandbox.confine(sandbox.Confinement(os.getcwd(), (), 1 << 30, 1 << 20))
    except RuntimeError as error:
        return str(error)


def leave():
    os._exit(3)


def abort():
    os.abort()


def take():
    shared = mmap.mmap(-1, 1 << 30)
    for start in range(0, 1 << 30, 1 << 20):
        shared[start : start + (1 << 20)] = bytes(1 << 20)


def loop():
    while True:
        pass


def old_call():
    """A 32-bit system call, which would go round a filter of 64-bit numbers."""
    code = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    code.write(bytes.fromhex("b814000000cd80c3"))  # mov eax, 20 (getpid); int 0x80; ret
    ctypes.CFUNCTYPE(ctypes.c_int)(ctypes.addressof(ctypes.c_char.from_buffer(code)))()


def said(layers):
    """What confine() says holds, in a child of this one; run without a sandbox around it."""
    os.environ[sandbox.WITHOUT] = layers
    return list(sandbox.confine(sandbox.Confinement(os.getcwd(), (), 1 << 30, 1 << 20)))
