"""Each library that opens models, at work inside the sandbox: it is imported there, computes, writes and reads a file.

Each function returns a number that must be nought, or nothing.
"""

import importlib

import numpy as np


def table():
    """(200, 4) numbers and which side of a half the first is on."""
    numbers = np.random.default_rng(0).random((200, 4))
    return numbers, (numbers[:, 0] > 0.5).astype(int)


def torch_with_threads():
    import torch

    torch.set_num_threads(2)
    network = torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(128, 2)
    )
    inputs = torch.randn(64, 3, 6, 6, requires_grad=True)
    scores = network(inputs)
    scores.sum().backward()
    _ = torch.randn(512, 512) @ torch.randn(512, 512)
    torch.jit.script(network).save("network.pt")
    return float((torch.jit.load("network.pt")(inputs) - scores).abs().max().detach())


def transformers():
    from model_zoo import vision

    vision.ready()
    from transformers import BertConfig, BertModel

    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
    network = BertModel(BertConfig(vocab_size=50, **sizes)).eval()
    network.save_pretrained("bert")
    import torch

    ids = torch.zeros(1, 4, dtype=torch.long)
    again = BertModel.from_pretrained("bert").eval()
    return float((again(ids).last_hidden_state - network(ids).last_hidden_state).abs().max().detach())


def keras():
    import os

    os.environ["KERAS_BACKEND"] = "torch"
    keras = importlib.import_module("keras")
    network = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    network.save("network.keras")
    again = keras.saving.load_model("network.keras", safe_mode=True)
    return float(abs(network(np.ones((1, 4))) - again(np.ones((1, 4)))).max().detach())


def onnxruntime():
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3]) for name in "xy"]
    graph = helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "graph", ends[:1], ends[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.checker.check_model(model)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return float(session.run(None, {"x": -np.ones((1, 3), np.float32)})[0].max())


def xgboost():
    from xgboost import XGBClassifier

    numbers, sides = table()
    one = XGBClassifier(n_estimators=3).fit(numbers, sides)
    one.save_model("trees.ubj")
    again = XGBClassifier()
    again.load_model("trees.ubj")
    return float(abs(again.predict_proba(numbers) - one.predict_proba(numbers)).max())


def lightgbm():
    import lightgbm

    numbers, sides = table()
    one = lightgbm.train({"verbose": -1, "objective": "binary"}, lightgbm.Dataset(numbers, sides), 3)
    one.save_model("trees.txt")
    return float(abs(lightgbm.Booster(model_file="trees.txt").predict(numbers) - one.predict(numbers)).max())


def catboost():
    from catboost import CatBoostClassifier

    numbers, sides = table()
    one = CatBoostClassifier(iterations=3, verbose=False, allow_writing_files=False).fit(numbers, sides)
    one.save_model("trees.cbm")
    again = CatBoostClassifier()
    again.load_model("trees.cbm")
    return float(abs(again.predict_proba(numbers) - one.predict_proba(numbers)).max())


def h5py():
    import h5py

    with h5py.File("numbers.h5", "w") as file:
        file["numbers"] = np.arange(5)
    with h5py.File("numbers.h5") as file:
        return float(abs(file["numbers"][:] - np.arange(5)).max())


def skops():
    import skops.io
    from sklearn.ensemble import RandomForestClassifier

    numbers, sides = table()
    one = RandomForestClassifier(n_estimators=3, n_jobs=2, random_state=0).fit(numbers, sides)
    skops.io.dump(one, "forest.skops")
    again = skops.io.load("forest.skops", trusted=skops.io.get_untrusted_types(file="forest.skops"))
    return float(abs(again.predict_proba(numbers) - one.predict_proba(numbers)).max())


def our_own_models():
    from model_zoo import catalogue

    return float(len([catalogue.load(card.id, "cpu") for card in catalogue.cards()]) - len(catalogue.cards()))
