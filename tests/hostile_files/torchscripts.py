"""TorchScript: its small language reads and writes files, loops and allocates."""

import warnings
import zipfile
from pathlib import Path

from hostile import Hostile, World
from hostile_files.pickled_code import call, dumped


def scripted(source: str):
    """A module whose methods are this source, with {secret} and {target} in it."""

    def build(folder: Path, world: World) -> Path:
        import torch

        class Hostile(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.weight = torch.nn.Parameter(torch.ones(4, 4))

        path = folder / "model.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.script(Hostile())
            module.define(source.format(secret=world.secret, target=world.target))
            module.save(str(path))
        return path

    return build


def stateful(*lines: str):
    """A module that runs these lines when it is loaded."""
    return scripted(
        "def __getstate__(self) -> Tensor:\n    return torch.ones([4, 4])\n"
        "def __setstate__(self, state: Tensor) -> None:\n"
        + "".join(f"    {line}\n" for line in lines)
        + "    self.training = False\n    self.weight = state\n"
        + "def forward(self, x: Tensor) -> Tensor:\n    return x @ self.weight\n"
    )


FORWARD = "def forward(self, x: Tensor) -> Tensor:\n"
END = "    return x @ self.weight + y.sum()\n"


def forward(*lines: str):
    return scripted(FORWARD + "".join(f"    {line}\n" for line in lines) + END)


def changed(change):
    """A sound archive with one member changed."""

    def build(folder: Path, world: World) -> Path:
        made = scripted(FORWARD + "    y = x\n" + END)(folder, world)
        path = folder / "changed.pt"
        with zipfile.ZipFile(made) as old, zipfile.ZipFile(path, "w") as new:
            for name, data in change({name: old.read(name) for name in old.namelist()}, world).items():
                new.writestr(name, data)
        made.unlink()
        return path

    return build


def with_code(source: str):
    def change(members, world):
        return {name: source.encode() if name.endswith(".py") else data for name, data in members.items()}

    return changed(change)


def gadget(members, world):
    code = dumped(call("builtins", "exec", world.code))
    return {name: code if name.endswith((".pkl",)) else data for name, data in members.items()}


def nested(depth):
    body = "(" * depth + "x" + ")" * depth
    return f"class Hostile(Module):\n  def forward(self, x: Tensor) -> Tensor:\n    return {body}\n"


TABLE = {"modality": "tabular", "task": "regression"}
CASES = {
    "reads_a_file": forward("y = torch.from_file('{secret}', False, 39, dtype=torch.uint8).to(torch.float)"),
    "overwrites_a_file": forward("y = torch.from_file('{target}', True, 9, dtype=torch.uint8)", "y.zero_()"),
    "makes_a_large_file": forward("y = torch.from_file('stolen', True, 1 << 40, dtype=torch.uint8)"),
    "saves": forward("y = x", "torch.save(y, '{target}')"),
    "endless": forward("y = x", "while bool(y.sum() < 1e30):", "    y = y * 0"),
    "prints_for_ever": forward("y = x", "while bool(y.sum() < 1e30):", "    print(torch.ones([64, 64]))"),
    "takes_all_memory": forward("y = torch.ones([1 << 30, 64])", "y = y + 1"),
    "takes_memory_slowly": forward(
        "l = [x]", "while len(l) < 1 << 30:", "    l.append(torch.ones([1 << 20]))", "y = l[0]"
    ),
    "grows_a_text": forward("s = 'x'", "while len(s) < (1 << 50):", "    s = s + s", "y = x"),
    "strides_outside": forward("y = torch.as_strided(x, [1 << 20], [1 << 10])"),
    "strides_far_outside": forward("y = torch.as_strided(x, [4], [1], 1 << 45)"),
    "resizes": forward("y = x.clone().resize_([1 << 40])"),
    "indexes_outside": forward("y = x.flatten()[torch.tensor([1 << 40])]"),
    "embeds_outside": forward("y = torch.embedding(self.weight, torch.tensor([1 << 40, -7]))"),
    "recursion": scripted(
        "def again(self, x: Tensor) -> Tensor:\n    return x + 1\n" + FORWARD + "    y = self.again(x)\n" + END
    ),
    "calls_itself": with_code(
        "class Hostile(Module):\n  def forward(self, x: Tensor) -> Tensor:\n    return (self).forward(x)\n"
    ),
    "threads": forward(
        "y = x", "for i in range(100000):", "    y = y + torch.rand([64, 64]).mm(torch.rand([64, 64])).sum()"
    ),
    "nested_expression": with_code(nested(200_000)),
    "not_a_program": with_code(
        "class Hostile(Module):\n  def forward(self, x: Tensor -> Tensor:\n    import os; os.system('id')\n"
    ),
    "imports_python": with_code(
        "import os\nclass Hostile(Module):\n  def forward(self, x: Tensor) -> Tensor:\n    os.system('id')\n    return x\n"
    ),
    "reads_by_an_operator": with_code(
        "class Hostile(Module):\n  __parameters__ = []\n  def forward(self, x: Tensor) -> Tensor:\n"
        "    return ops.image.read_file('/etc/passwd')\n"
    ),
    "calls_python": with_code(
        "class Hostile(Module):\n  def forward(self, x: Tensor) -> Tensor:\n    return ^__import__('os').system()(x)\n"
    ),
    "saves_on_load": stateful("torch.save(state, '{target}')"),
    "reads_on_load": stateful("print(torch.from_file('{secret}', False, 39, dtype=torch.uint8))"),
    "endless_on_load": stateful("n = 0", "while n < 1 << 60:", "    n = n * 1"),
    "pickled_code": changed(gadget),
    "no_code": changed(lambda members, world: {name: data for name, data in members.items() if ".py" not in name}),
    "constants_cut_off": changed(
        lambda members, world: {n: d[: len(d) // 2] if n.endswith("constants.pkl") else d for n, d in members.items()}
    ),
    "large_extra_member": changed(lambda members, world: {**members, "changed/extra/x": bytes(64 << 20)}),
}
ODD = (
    *("saves", "saves_on_load"),  # a file that cannot be written is passed over
    *(
        "recursion",
        "large_extra_member",
        "strides_far_outside",
        "threads",
        "resizes",
        "indexes_outside",
        "embeds_outside",
    ),
)
ENTRIES = tuple(
    Hostile(
        f"torchscript_{id}",
        "torchscript",
        f"a script that {id.replace('_', ' ')}",
        build,
        facts=TABLE,
        shape=(4,),
        may_open=id in ODD,
        seconds=4.0,
    )
    for id, build in CASES.items()
)
