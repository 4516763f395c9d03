"""What an owner says of a model, from what was typed or what a small file holds, to Facts.

The form in the browser and the command line read it alike: names.py class names, pixels.py how pictures become numbers,
rows.py the columns of a table, tokens.py a tokenizer.
"""

from __future__ import annotations

from app.saying.names import imagenet, labels
from app.saying.pixels import NORMALISATIONS, normalisation, numbers
from app.saying.rows import Table, columns, first_row, middle, narrowed, table
from app.saying.tokens import tokenizer

__all__ = [
    "NORMALISATIONS",
    "Table",
    "columns",
    "first_row",
    "imagenet",
    "labels",
    "middle",
    "narrowed",
    "normalisation",
    "numbers",
    "table",
    "tokenizer",
]
