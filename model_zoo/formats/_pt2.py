"""What a torch.export archive (.pt2) holds, told from its bytes, and an archive made anew of the harmless part alone.

Loading such an archive can run code in many ways: sample inputs, weights and constants that are pickled, opaque
constants, expressions given to sympy, libraries of AOTInductor, guards, and besides operators looked up by their dotted
path, names that go into generated Python, metadata and the descriptions of nested inputs. Here the JSON is read and
every string in it is held against what torch itself writes there; weights have to be raw numbers. Sample inputs, guards
and metadata are not needed, so they are left out of the archive that is made anew, and torch reads that one: what was
checked is what is loaded. Seen in torch 2.13 (torch/export/pt2_archive, torch/_export/serde).
"""

from __future__ import annotations

import ast
import functools
import io
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from model_zoo.files import ModelFile
from model_zoo.types import UserError

MODEL = "models/model.json"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
SAMPLE = "data/sample_inputs/model.pt"
KEPT = ("archive_format", "archive_version", "byteorder", ".data/version", "version")
LARGEST_JSON = 64 << 20  # bytes
LIBRARIES = (".so", ".dylib", ".dll", ".o", ".cubin", ".ptx", ".cpp", ".pte", ".wrapper.so")

NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
PATH = re.compile(r"[A-Za-z0-9_.]*", re.ASCII)
OPERATOR = re.compile(
    r"torch\.ops\.(aten|prims|quantized_decomposed)\.[a-z_0-9A-Z]+(\.[a-z_0-9A-Z]+)?"
    r"|torch\.ops\.higher_order\.(cond|map_impl|scan|while_loop|associative_scan|wrap_with_set_grad_enabled"
    r"|wrap_with_autocast)"
    r"|torch\.sym_(int|float|max|min|not|ite|sum|sqrt)"
    r"|_operator\.(add|sub|mul|floordiv|truediv|mod|neg|pos|pow|eq|ne|lt|le|gt|ge|and_|or_|getitem|not_)"
    r"|math\.(ceil|floor|trunc|sqrt)",
    re.ASCII,
)
FILES = re.compile(r"from_file|save|load", re.ASCII)  # operators that touch files, whatever their spelling
SYMPY = re.compile(
    r"Symbol|Integer|Float|Rational|Add|Mul|Pow|Max|Min|Abs|Mod|PythonMod|FloorDiv|ModularIndexing|Where"
    r"|CleanDiv|CeilToInt|FloorToInt|CeilDiv|LShift|RShift|PowByNatural|FloatPow|FloatTrueDiv|IntTrueDiv"
    r"|TruncToFloat|TruncToInt|RoundToInt|RoundDecimal|ToFloat|Identity|Equality|Eq|Ne|Unequality"
    r"|StrictLessThan|LessThan|StrictGreaterThan|GreaterThan|Lt|Le|Gt|Ge|And|Or|Not|ceiling|floor|true"
    r"|false|oo"
)
TREES = frozenset(
    [
        *("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict", None),
        "torch.fx.immutable_collections.immutable_list",
        "torch.fx.immutable_collections.immutable_dict",
    ]
)


def archive(file: ModelFile) -> bool:
    """Whether it is an archive that torch.export.save or torch._inductor.aoti_compile_and_package writes."""
    names = _inside(file)
    return "archive_format" in names or "serialized_exported_program.json" in file.entries


def libraries(file: ModelFile) -> tuple[str, ...]:
    """Compiled libraries in the archive."""
    return tuple(one for one in file.entries if one.endswith(LIBRARIES) or "/aotinductor/" in f"/{one}")


def danger(file: ModelFile) -> str:
    """The first thing in an archive that could run code; empty where there is none."""
    found = file.path.stat()
    return _danger(file.path, file.name, found.st_size, found.st_mtime_ns)


@functools.lru_cache(maxsize=16)
def _danger(path: Path, name: str, size: int, changed: int) -> str:
    """As above, once for each file as it is: several formats ask."""
    try:
        _checked(ModelFile(path, name))
    except _Danger as found:
        return str(found)
    return ""


def made_anew(file: ModelFile) -> io.BytesIO:
    """An archive of the checked part alone, for torch.export.load; UserError where something could run code."""
    try:
        checked = _checked(file)
    except _Danger as found:
        raise UserError(
            f"{file.name} is a torch.export archive with {found}, which can run code; it stays closed."
        ) from found
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as target, zipfile.ZipFile(file.path) as source:
        for name, text in checked.texts.items():
            target.writestr(f"model/{name}", text)
        for name in checked.payloads:
            with (
                source.open(f"{checked.prefix}{name}") as one,
                target.open(f"model/{name}", "w", force_zip64=True) as to,
            ):
                while part := one.read(1 << 20):
                    to.write(part)
    made.seek(0)
    return made


def _checked(file: ModelFile) -> _Checked:
    """The checked part of an archive; _Danger too where it is not laid out as torch lays it out."""
    try:
        return _Checked(file)
    except (TypeError, KeyError, AttributeError, ValueError, RecursionError) as error:
        if isinstance(error, UserError):
            raise
        raise _Danger("a layout of an unknown kind") from error


class _Danger(Exception):
    """What could run code, as the end of a sentence: "pickled weights"."""


def _inside(file: ModelFile) -> set[str]:
    """Names below the one folder of the archive."""
    return {one.partition("/")[2] for one in file.entries}


class _Checked:
    """The checked texts of an archive, and names of the raw numbers that belong to it."""

    def __init__(self, file: ModelFile) -> None:
        entries = file.entries
        if len(set(entries)) != len(entries):
            raise _Danger("two members of one name")
        prefixes = {one.partition("/")[0] for one in entries}
        if len(prefixes) != 1 or MODEL not in _inside(file):
            raise _Danger("the layout of an older torch, whose parts are pickled")
        self.file = file
        self.prefix = f"{prefixes.pop()}/"
        if libraries(file):
            raise _Danger("a compiled library")
        others = [one for one in _inside(file) if one.startswith("models/") and one != MODEL]
        if others:
            raise _Danger("more than one program")
        self.payloads: list[str] = []
        self.texts: dict[str, bytes] = {
            name: file.member(f"{self.prefix}{name}", 4096) for name in KEPT if name in _inside(file)
        }
        self.texts[SAMPLE] = b""
        self.texts[MODEL] = json.dumps(_program(self._json(MODEL))).encode()
        for name, start in ((WEIGHTS, "weight_"), (CONSTANTS, "tensor_")):
            self._payloads(name, start)

    def _json(self, name: str) -> Any:
        if f"{self.prefix}{name}" not in self.file.entries:
            raise _Danger("the layout of an older torch, whose parts are pickled")
        try:
            return json.loads(self.file.member(f"{self.prefix}{name}", LARGEST_JSON))
        except (ValueError, RecursionError) as error:
            raise UserError(
                f"{self.file.name} is damaged: {name} in it cannot be read. Save or upload it again."
            ) from error

    def _payloads(self, name: str, start: str) -> None:
        """Each weight or constant is raw numbers with sizes; nothing is pickled."""
        found = self._json(name)
        folder = name.rpartition("/")[0]
        config = found.get("config") if isinstance(found, dict) else None
        if not isinstance(config, dict):
            raise _Danger("weights of an unknown kind")
        for one in config.values():
            path = one.get("path_name") if isinstance(one, dict) else None
            if not isinstance(path, str) or one.get("use_pickle") is not False or not PATH.fullmatch(path):
                raise _Danger("pickled weights")
            if not path.startswith(start) or not isinstance(one.get("tensor_meta"), dict):
                raise _Danger("opaque constants")
            _strings(one["tensor_meta"])
            if f"{folder}/{path}" not in self.payloads:
                self.payloads.append(f"{folder}/{path}")
        self.texts[name] = json.dumps(found).encode()


def _program(found: Any) -> Any:
    """The program without its guards and metadata; _Danger where a string in it is not what torch writes there."""
    if not isinstance(found, dict) or not isinstance(found.get("graph_module"), dict):
        raise _Danger("a program of an unknown kind")
    found["guards_code"] = []
    module = found["graph_module"]
    module["metadata"] = {}
    module["treespec_namedtuple_fields"] = {}
    calls = module.get("module_call_graph")
    module["module_call_graph"] = [one for one in calls if isinstance(one, dict) and one.get("fqn") == ""]
    found.pop("torch_version", None)
    kept = {"torch_version": "2.0.0"}
    _strings(found)
    return found | kept


def _strings(root: Any) -> None:
    """Hold each string against what belongs under its key; metadata of nodes is emptied."""
    for key, parent, value in _walk(root):
        if key == "metadata" and isinstance(parent, dict):
            parent[key] = {}
        elif key in ("as_custom_obj", "class_fqn", "custom_obj_values") and value:
            raise _Danger("opaque constants")
        elif not isinstance(value, str):
            continue
        elif key == "expr_str":
            _expression(value)
        elif key in ("target", "as_operator"):
            if not OPERATOR.fullmatch(value) or FILES.search(value):
                raise _Danger(f"the operator {value[:60]!r}")
        elif key in ("in_spec", "out_spec"):
            _tree(value)
        elif key in ("name", "forward_arg_names"):
            if value and not NAME.fullmatch(value):
                raise _Danger("a name that is none")
        elif key != "as_string" and not PATH.fullmatch(value):
            raise _Danger("a text where a name belongs")


def _walk(root: Any) -> Iterator[tuple[str, Any, Any]]:
    """(key, parent, value) of everything below; items of a list come under the key of the list."""
    waiting: list[tuple[str, Any]] = [("", root)]
    while waiting:
        key, one = waiting.pop()
        pairs = one.items() if isinstance(one, dict) else ((key, item) for item in one)
        for inner, value in list(pairs):
            if isinstance(one, dict) and not PATH.fullmatch(inner):
                raise _Danger("a name that is none")
            yield inner, one, value
            if inner != "metadata" and isinstance(value, (dict, list)):
                waiting.append((inner, value))


def _expression(text: str) -> None:
    """A call of known functions on numbers, symbols and other such calls, and nothing else."""
    try:
        tree = ast.parse(text, mode="eval") if len(text) < 10_000 else None
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise _Danger("an expression that is none") from error
    for one in ast.walk(tree) if tree is not None else [None]:
        if isinstance(one, ast.Call):
            good = isinstance(one.func, ast.Name) and SYMPY.fullmatch(one.func.id) is not None
        elif isinstance(one, ast.Name):
            good = SYMPY.fullmatch(one.id) is not None or re.fullmatch(r"[suzf]+\d+", one.id) is not None
        elif isinstance(one, ast.Constant):
            number = isinstance(one.value, (bool, int, float))
            good = number or (isinstance(one.value, str) and NAME.fullmatch(one.value) is not None)
        else:
            good = isinstance(
                one,
                (
                    *(ast.Expression, ast.keyword, ast.Load, ast.UnaryOp, ast.USub, ast.BinOp, ast.Add, ast.Sub),
                    *(ast.Mult, ast.Div, ast.Compare, ast.Lt, ast.LtE, ast.Gt, ast.GtE, ast.Eq, ast.NotEq),
                ),
            )
        if not good:
            raise _Danger("an expression that is more than arithmetic")


def _tree(text: str) -> None:
    """How inputs are nested: in tuples, lists and dictionaries alone."""
    if not text:
        return
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise _Danger("nested inputs of an unknown kind") from error
    for key, _, value in _walk_any(found):
        if key == "type" and value not in TREES:
            raise _Danger(f"inputs or outputs of the class {str(value)[:60]!r}")
        if isinstance(value, str) and key != "type" and not re.fullmatch(r"[\w\s\[\]\",.:-]*", value, re.ASCII):
            raise _Danger("nested inputs of an unknown kind")


def _walk_any(root: Any) -> Iterator[tuple[str, Any, Any]]:
    waiting: list[tuple[str, Any]] = [("", root)]
    while waiting:
        key, one = waiting.pop()
        for inner, value in one.items() if isinstance(one, dict) else ((key, item) for item in one):
            yield inner, one, value
            if isinstance(value, (dict, list)):
                waiting.append((inner, value))
