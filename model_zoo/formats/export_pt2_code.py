"""torch.export archives that could run code when they are read: pickled weights, opaque constants, odd expressions."""

from __future__ import annotations

from model_zoo.facts import Facts
from model_zoo.files import Format, ModelFile, Opened, Trust
from model_zoo.formats import _pt2, export_pt2


def _sniff(file: ModelFile) -> bool:
    return _pt2.archive(file) and not _pt2.libraries(file) and bool(_pt2.danger(file))


def _open(file: ModelFile, said: Facts) -> Opened:
    with file.open() as archive:
        return export_pt2.opened(file, archive, said)


FORMAT = Format(
    id="export_code",
    title="torch.export program with parts that run code",
    endings=(".pt2",),
    trust=Trust.CODE,
    sniff=_sniff,
    open=_open,
    summary="Exported programs with pickled weights, opaque constants or the layout of an older torch.",
    order=22,
    refusal=(
        "{name} is a torch.export archive with parts that can run code when they are read (pickled weights, opaque"
        " constants, or the layout of an older torch), so it stays closed; export it again from plain tensors:"
        " torch.export.save(torch.export.export(model, inputs), path)."
    ),
)
