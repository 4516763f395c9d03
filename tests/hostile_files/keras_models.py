"""Keras: configurations that name code, archives that unpack anywhere, HDF5 that points elsewhere."""

import base64
import io
import json
import marshal
import stat
import zipfile
from pathlib import Path

from hostile import Hostile, World


def layer(name, module="keras.layers", registered=None, /, **config):
    return {
        "module": module,
        "class_name": name,
        "config": {"name": name.lower(), **config},
        "registered_name": registered,
    }


FIRST = layer("InputLayer", batch_shape=[None, 4], dtype="float32")
DENSE = layer("Dense", units=3, activation="linear", use_bias=True)


def sequential(*layers):
    inside = {"name": "sequential", "layers": [FIRST, *layers]}
    return {"module": "keras", "class_name": "Sequential", "config": inside, "registered_name": None,
            "build_config": {"input_shape": [None, 4]}}  # fmt: skip


def weights(**more) -> bytes:
    """A model.weights.h5 of one Dense."""
    import h5py
    import numpy as np

    held = io.BytesIO()
    with h5py.File(held, "w") as file:
        place = file.create_group("layers/dense/vars")
        place["0"], place["1"] = np.ones((4, 3), "f4"), np.zeros(3, "f4")
        for name, add in more.items():
            add(file, name)
    return held.getvalue()


def archive(config, data=None, members=None, **more):
    """A .keras of a config; members: name -> bytes, added as they are."""

    def build(folder: Path, world: World) -> Path:
        path = folder / "model.keras"
        made = config(world) if callable(config) else config
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
            file.writestr("metadata.json", json.dumps({"keras_version": "3.13.2", "date_saved": "2026-01-01@00:00:00"}))
            file.writestr("config.json", made if isinstance(made, (bytes, str)) else json.dumps(made))
            file.writestr("model.weights.h5", weights(**more) if data is None else data(world))
            for name, content in (members(world) if members else {}).items():
                file.writestr(name, content)
        return path

    return build


def function_of(world):
    """A Lambda's code, as Keras writes it."""
    code = compile(f"lambda x: exec({world.code!r}) or x", "x", "eval").co_consts[0]
    return base64.b64encode(marshal.dumps(code)).decode()


def lambda_layer(world):
    inside = {"class_name": "__lambda__", "config": {"code": function_of(world), "defaults": None, "closure": None}}
    return sequential(layer("Lambda", function=inside, arguments={}))


def old_lambda(world):
    return sequential(layer("Lambda", function=[function_of(world), None, None], function_type="lambda", arguments={}))


def named_function(module, name, /, **arguments):
    return lambda world: sequential(
        layer("Lambda", function={"module": module, "class_name": "function", "config": name, "registered_name": name},
              arguments={key: value.format(secret=world.secret, target=world.target) for key, value in arguments.items()})
    )  # fmt: skip


def custom(module, name, /, **config):
    return lambda world: sequential(
        layer(
            name,
            module,
            None,
            **{
                key: value.format(secret=world.secret, target=world.target) if isinstance(value, str) else value
                for key, value in config.items()
            },
        )
    )


def h5(change):
    """A .h5 of Keras 2, changed."""

    def build(folder: Path, world: World) -> Path:
        import h5py
        import numpy as np

        path = folder / "model.h5"
        with h5py.File(path, "w") as file:
            file.attrs["keras_version"], file.attrs["backend"] = "2.15.0", "tensorflow"
            config = {"name": "sequential", "layers": [
                {"class_name": "InputLayer", "config": {"batch_input_shape": [None, 4], "dtype": "float32", "name": "input"}},
                {"class_name": "Dense", "config": {"name": "dense", "units": 3, "activation": "linear"}}]}  # fmt: skip
            file.attrs["model_config"] = json.dumps({"class_name": "Sequential", "config": config})
            held = file.create_group("model_weights")
            held.attrs["layer_names"] = np.array([b"dense"])
            dense = held.create_group("dense")
            dense.attrs["weight_names"] = np.array([b"dense/kernel:0", b"dense/bias:0"])
            dense["dense/kernel:0"], dense["dense/bias:0"] = np.ones((4, 3), "f4"), np.zeros(3, "f4")
            change(file, world)
        return path

    return build


def configured(make):
    def change(file, world):
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1] = make(world)
        file.attrs["model_config"] = json.dumps(config)

    return h5(change)


def relink(make):
    def change(file, world):
        del file["model_weights/dense/dense/kernel:0"]
        make(file, "model_weights/dense/dense/kernel:0", world)

    return h5(change)


def linked_outside(file, name, world):
    import h5py

    file[name] = h5py.ExternalLink(str(world.secret), "/")


def stored_outside(file, name, world):
    file.create_dataset(name, (4, 3), "f4", external=[(str(world.secret), 0, 48)])


def virtual(file, name, world):
    import h5py

    layout = h5py.VirtualLayout((4, 3), "f4")
    layout[:] = h5py.VirtualSource(str(world.secret), "x", (4, 3))
    file.create_virtual_dataset(name, layout)


def bomb(file, name, world):
    file.create_dataset(name, (1 << 16, 1 << 14), "f4", compression="gzip", chunks=(1 << 10, 1 << 10))


def soft_loop(file, name, world):
    import h5py

    file[name] = h5py.SoftLink(f"/{name}")


def link_in_zip(world):
    link = zipfile.ZipInfo("assets/link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    return {link: str(world.secret)}


def cut(folder: Path, world: World) -> Path:
    path = h5(lambda file, world: None)(folder, world)
    path.write_bytes(path.read_bytes()[:1500])
    return path


def huge(folder: Path, world: World) -> Path:
    return archive(sequential(layer("Dense", units=10**12)))(folder, world)


SOUND = sequential(DENSE)
CASES = {
    "lambda": archive(lambda_layer),
    "lambda_of_keras_2": archive(old_lambda),
    "lambda_h5": configured(
        lambda w: {
            "class_name": "Lambda",
            "config": {"name": "l", "function": [function_of(w), None, None], "function_type": "lambda"},
        }
    ),
    "lambda_nested": archive(lambda w: sequential({**lambda_layer(w)})),
    "function_os_system": archive(named_function("os", "system", command="id")),
    "function_builtins_exec": archive(named_function("builtins", "exec")),
    "function_get_file": archive(
        named_function("keras.src.utils.file_utils", "get_file", fname="x", origin="file://{secret}")
    ),
    "function_load_model": archive(named_function("keras.models", "load_model", filepath="{target}")),
    "function_h5_reader": archive(named_function("h5py", "File", name="{target}", mode="w")),
    "class_subprocess": archive(custom("subprocess", "Popen", args="id")),
    "class_os": archive(custom("os", "system")),
    "class_socket": archive(custom("socket", "socket")),
    "class_unknown": archive(custom("evil.package", "Layer")),
    "class_pathlib": archive(custom("pathlib", "Path")),
    "class_zipfile": archive(custom("zipfile", "ZipFile", file="{target}", mode="w")),
    "class_registered": archive(sequential(layer("Layer", None, "os>system"))),
    "tfsm_layer": archive(custom("keras.layers", "TFSMLayer", filepath="{secret}")),
    "torch_module": archive(custom("keras.layers", "TorchModuleWrapper", module="gASVAAAA")),
    "vocabulary_of_a_file": archive(custom("keras.layers", "StringLookup", vocabulary="{secret}")),
    "text_vocabulary": archive(custom("keras.layers", "TextVectorization", vocabulary="{secret}")),
    "integer_vocabulary": archive(custom("keras.layers", "IntegerLookup", vocabulary="{secret}")),
    "initializer_code": archive(
        sequential(
            layer(
                "Dense",
                units=3,
                kernel_initializer={"module": "os", "class_name": "system", "config": "id", "registered_name": None},
            )
        )
    ),
    "activation_code": archive(
        sequential(
            layer(
                "Dense",
                units=3,
                activation={
                    "module": "builtins",
                    "class_name": "function",
                    "config": "eval",
                    "registered_name": "eval",
                },
            )
        )
    ),
    "huge_layer": huge,
    "many_layers": archive(lambda w: sequential(*(layer("Dropout", rate=0.1) for _ in range(20_000)))),
    "deep_config": archive(
        lambda w: (
            b'{"module":"keras","class_name":"Sequential","config":' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"}"
        )
    ),
    "config_bomb": archive(lambda w: b'{"a":"' + b"x" * (128 << 20) + b'"}'),
    "members_upwards": archive(
        SOUND, members=lambda w: {f"../../../..{w.target}": "x", str(w.target): "x", "assets/../../x": "x"}
    ),
    "member_a_link": archive(SOUND, members=link_in_zip),
    "weights_a_link": archive(SOUND, data=lambda w: str(w.secret).encode()),
    "weights_cut_off": archive(SOUND, data=lambda w: weights()[:700]),
    "weights_linked": archive(SOUND, data=lambda w: weights(stolen=lambda file, name: linked_outside(file, name, w))),
    "weights_external": archive(SOUND, data=lambda w: weights(stolen=lambda file, name: stored_outside(file, name, w))),
    "weights_bomb": archive(SOUND, data=lambda w: weights(large=lambda file, name: bomb(file, name, w))),
    "archive_bomb": archive(SOUND, members=lambda w: {"assets/x": b"\0" * (512 << 20)}),
    "h5_linked": relink(linked_outside),
    "h5_external": relink(stored_outside),
    "h5_virtual": relink(virtual),
    "h5_bomb": relink(bomb),
    "h5_loop": relink(soft_loop),
    "h5_cut_off": cut,
    "h5_config_a_number": h5(lambda file, world: file.attrs.__setitem__("model_config", 7)),
}
TABLE = {"modality": "tabular", "task": "regression"}
ENTRIES = tuple(
    Hostile(
        f"keras_{id}",
        "keras_h5" if "h5" in id else "keras",
        f"a Keras model with {id.replace('_', ' ')}",
        build,
        facts=TABLE,
        shape=(4,),
        may_open=id in ("members_upwards", "member_a_link"),
        slow=id in ("archive_bomb", "many_layers"),
    )
    for id, build in CASES.items()
)
