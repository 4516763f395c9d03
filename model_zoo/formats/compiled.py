"""Compiled libraries: AOTInductor packages, ExecuTorch programs and shared objects. Never opened.

Their code runs when they are loaded, outside of anything that could look inside them.
"""

from __future__ import annotations

from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.formats import _pt2
from model_zoo.types import UserError

ELF, MACH, WINDOWS = b"\x7fELF", (b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xcf"), b"MZ"


def _sniff(file: ModelFile) -> bool:
    head = file.head
    if head.startswith((ELF, *MACH, WINDOWS)) or head[4:8] in (b"ET12", b"eh00"):
        return True
    return _pt2.archive(file) and bool(_pt2.libraries(file))


def _open(file: ModelFile, said: Facts) -> Opened:
    raise UserError(FORMAT.refused(file))


FORMAT = Format(
    id="compiled",
    title="compiled library",
    endings=(".so", ".pte", ".pt2"),
    trust=Trust.REFUSED,
    sniff=_sniff,
    open=_open,
    summary="AOTInductor packages and ExecuTorch programs: machine code that runs when it is loaded, so never opened.",
    order=19,
    refusal=(
        "{name} holds a compiled library (AOTInductor, ExecuTorch or a shared object), which runs when it is loaded and"
        " has no gradients; save the model itself: torch.export.save(torch.export.export(model, inputs), path)."
    ),
)
