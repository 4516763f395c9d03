"""Frames between the app and a worker: a JSON header and raw arrays over a socket; never pickle.

    frame = header length (4 bytes) | payload length (8 bytes) | header (JSON) | payload (arrays, one after another)
    header = {"value": codec's header, "arrays": [[dtype, [shape]], ...]}

Both ends distrust each other: lengths are capped, and shapes must add up to the payload, before memory is taken.
"""

from __future__ import annotations

import json
import math
import os
import socket
import struct
from typing import Any

import numpy as np

from explainers import codec
from model_zoo.types import UserError

PREFIX = struct.Struct("<IQ")
HEADER = 32 << 20  # bytes
PAYLOAD = 1 << 30  # bytes
ARRAYS = 10_000
PARTS = 4 << 20  # values in a header: an empty one takes three bytes of it, and a hundred of the memory it is read into
DIMENSIONS = 8
CHUNK = 1 << 20


class Broken(Exception):
    """The other end closed, or sent what is not a frame; nothing more can be read."""


class Closed(Broken):
    """The other end is gone, or closed."""


def pack(value: Any) -> tuple[bytes, list[np.ndarray]]:
    """A value as the frame's head and its arrays; TypeError if it cannot travel, UserError if it is too large."""
    header, arrays = codec.encode(value)
    arrays = [one.astype(one.dtype.newbyteorder("<"), copy=False) for one in arrays]
    claims = [[one.dtype.str, list(one.shape)] for one in arrays]
    text = json.dumps({"value": header, "arrays": claims}, separators=(",", ":")).encode("ascii")
    size = sum(one.nbytes for one in arrays)
    if len(text) > HEADER or size > PAYLOAD or len(arrays) > ARRAYS:
        raise UserError(
            f"A result of {size / 2**20:,.0f} MiB is too large; at most {PAYLOAD >> 20:,} MiB can be shown."
        )
    return PREFIX.pack(len(text), size) + text, arrays


def send(sock: socket.socket, value: Any) -> None:
    """Send one value; Broken if the other end is gone."""
    head, arrays = pack(value)  # all of it, so that what cannot be sent leaves no half frame
    try:
        _write(sock, memoryview(head))
        for array in arrays:
            if array.size:
                _write(sock, array.reshape(-1).data.cast("B"))
    except OSError as error:
        raise Closed("the other end is gone") from error


def receive(sock: socket.socket) -> Any:
    """The next value; Broken at the end, or if what comes is not a frame."""
    length, size = PREFIX.unpack(_exactly(sock, PREFIX.size))
    if length > HEADER or size > PAYLOAD:
        raise Broken(f"a frame of {length} + {size} bytes is too large")
    text = _exactly(sock, length)
    if sum(map(text.count, b",[{")) > PARTS:
        raise Broken("a header of too many parts")
    try:
        top = json.loads(text)
        claims = [_claim(*one) for one in top["arrays"][: ARRAYS + 1]]
        value = top["value"]
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Broken("a header that is not one") from error
    if len(claims) > ARRAYS or sum(dtype.itemsize * math.prod(shape) for dtype, shape in claims) != size:
        raise Broken("arrays that do not fill the payload")
    arrays = []
    for dtype, shape in claims:
        array = np.empty(shape, dtype)
        if array.size:
            _fill(sock, array.reshape(-1).data.cast("B"))
        arrays.append(array)
    try:
        return codec.decode(value, arrays)
    except UserError as error:
        raise Broken(f"a value that does not decode ({error.__cause__})") from error


def _claim(name: Any, shape: Any) -> tuple[np.dtype, tuple[int, ...]]:
    dtype = np.dtype(str(name))
    sizes = [one for one in shape if type(one) is int and 0 <= one <= PAYLOAD]
    size = dtype.itemsize * math.prod(filter(None, sizes))  # NumPy multiplies those beside a nought too
    if dtype.kind not in codec.KINDS or len(sizes) != len(shape) or len(shape) > DIMENSIONS or size > PAYLOAD:
        raise ValueError("not an array that travels")
    return dtype, tuple(sizes)


def _write(sock: socket.socket, view: memoryview) -> None:
    """All of it; by write(2), since a confined worker may not call what can also name another address."""
    while len(view):
        view = view[os.write(sock.fileno(), view) :]


def _exactly(sock: socket.socket, count: int) -> bytes:
    found = bytearray(count)
    _fill(sock, memoryview(found))
    return bytes(found)


def _fill(sock: socket.socket, view: memoryview) -> None:
    while len(view):
        try:
            got = sock.recv_into(view[:CHUNK])
        except OSError as error:
            raise Closed("the other end is gone") from error
        if not got:
            raise Closed("the other end closed")
        view = view[got:]
