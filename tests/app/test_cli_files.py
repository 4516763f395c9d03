"""Model files on the command line: what is guessed, what is said by options, and what is asked for in a sentence."""

from __future__ import annotations

import json
import os
import re

import pytest

from app import cli, config
from app.commands import naming, serve
from model_zoo import vision
from model_zoo.facts import Facts, parse

ROWS = "age,debt,granted\n31,2.5,0\n44,0.5,1\n28,7.5,0\n"


@pytest.fixture(autouse=True)
def _workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("COLUMNS", "110")
    for name in (config.SHARED, config.MODELS, config.ALLOW_CODE, config.MEMORY, config.QUOTA):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory):
    """A checkpoint as people have it: DataParallel's prefix, nested, seven classes."""
    import torch

    torch.manual_seed(0)
    network = vision.torchvision().models.resnet18(num_classes=7)
    path = tmp_path_factory.mktemp("files") / "flowers.pth"
    torch.save({"state_dict": {f"module.{name}": one for name, one in network.state_dict().items()}}, path)
    return path


@pytest.fixture(scope="module")
def perceptron(tmp_path_factory):
    import torch

    torch.manual_seed(0)
    network = torch.nn.Sequential(torch.nn.Linear(2, 4), torch.nn.ReLU(), torch.nn.Linear(4, 2)).eval()
    path = tmp_path_factory.mktemp("files") / "loans.pt"
    torch.jit.trace(network, torch.zeros(1, 2)).save(path)
    return path


def run(capsys, *arguments):
    code = cli.main([str(one) for one in arguments])
    out = capsys.readouterr()
    return code, out.out, out.err


def refused(capsys, *arguments):
    code, out, err = run(capsys, *arguments)
    assert code == 2, out
    assert err.startswith("assay: ")
    assert "Traceback" not in err
    return err


def test_a_checkpoint_from_card_to_explanation(capsys, tmp_path, resnet):
    card = tmp_path / "card.json"
    code, out, err = run(capsys, "card", resnet, "-o", card)
    assert (code, out) == (0, ""), err
    assert "resnet" in err.lower()
    assert "7 classes" in err
    begun = parse(card.read_bytes())
    assert (begun.modality, begun.size, len(begun.labels)) == ("image", (224, 224), 7)
    told = json.loads(card.read_text()) | {"labels": list("abcdefg"), "title": "Flowers"}
    card.write_text(json.dumps(told))
    code, out, err = run(capsys, "explain", resnet, "cat", "--card", card, "-m", "grad_cam", "--target", "c")
    assert code == 0, err
    first = out.splitlines()[0].casefold()
    assert re.search(r"\bc\b", first), "the class that was asked for, by the name that the card gave it"
    assert "Grad-CAM" in out
    code, out, _ = run(capsys, "models")
    assert "Your own:" in out
    own = next(line for line in out.partition("Your own:")[2].splitlines() if "Flowers" in line).split()[0]
    code, out, _ = run(capsys, "doctor", own, "--layers", "5")
    assert code == 0
    assert "11,180,103" in out
    assert "grad_cam" in out
    assert "more below these" in out
    code, out, err = run(capsys, "models", "--remove", own)
    assert (code, err.strip()) == (0, "Removed: Flowers")
    assert resnet.exists(), "an attached file stays"


def test_a_script_of_a_table_by_options(capsys, tmp_path, perceptron):
    rows = tmp_path / "rows.csv"
    rows.write_text(ROWS)
    arguments = [perceptron, "--modality", "tabular", "--labels", "declined,granted", "--background", rows]
    code, out, err = run(capsys, "methods", *arguments, "--columns", "age,debt")
    assert code == 0, err
    assert "kernel_shap" in out.partition("Not for this model")[0]
    code, out, err = run(capsys, "explain", perceptron, '{"age": 41, "debt": 0.3}', "-m", "integrated_gradients")
    assert code == 0, "what was said is remembered: " + err
    assert "age" in out
    assert "clined" in out or "ranted" in out


def test_one_s_own_is_added_by_its_path(capsys, perceptron):
    code, out, err = run(capsys, "models", "--add", perceptron, "--modality", "tabular", "--columns", "a,b")
    assert code == 0, err
    assert "loans" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", "squeezenet", "cat", "--labels", "a,b"], "squeezenet is a bundled model"),
        (["methods", "/nowhere/x.pt"], "there is no file of that name either"),
        (["explain", "{loans}", "x", "--size", "big"], "--size is a number of pixels"),
        (["explain", "{loans}", "x", "--mean", "a"], "--mean is expected to be 3 numbers"),
        (["explain", "{loans}", "x", "--card", "/nowhere.json"], "could not be read"),
        (["explain", "{loans}", "x", "--tokenizer", "{loans}"], "loans.pt is not a"),
        (["explain", "{loans}", "x", "--normalisation", "magic"], "invalid choice"),
        (["card", "squeezenet"], "squeezenet is bundled"),
        (["card", "{loans}", "-o", "/nowhere/card.json"], "no folder /nowhere"),
        (["models", "--remove", "nothing"], "There is no model 'nothing' of yours"),
        (["models", "--add", "/nowhere.pt"], "There is no file or folder '/nowhere.pt'"),
        (["doctor"], "Name a model to examine"),
        (["serve", "--models", "/nowhere"], "there is no folder /nowhere"),
        (["serve", "--memory", "0"], "--memory is a number of GiB above 0"),
        (["serve", "--quota", "much"], "invalid float value"),
    ],
)
def test_a_mistake_is_one_sentence(capsys, perceptron, arguments, message):
    err = refused(capsys, *(one.format(loans=perceptron) for one in arguments))
    assert message in err
    assert err.count("\n") == 1


def test_a_file_that_is_no_model_is_one_sentence(capsys, tmp_path):
    path = tmp_path / "notes.pth"
    path.write_text("no model at all")
    assert "notes.pth is none of the model files" in refused(capsys, "doctor", path)


def test_the_machine_says_what_holds(capsys):
    code, out, _ = run(capsys, "doctor", "--host")
    assert code == 0
    assert "Landlock" in out
    assert "seccomp" in out


def test_options_become_facts(tmp_path):
    rows = tmp_path / "rows.csv"
    rows.write_text(ROWS)
    names = tmp_path / "names.txt"
    names.write_text("cat\ndog\n")
    card = tmp_path / "card.json"
    card.write_text(Facts(title="Mine", size=(64, 64), labels=("a", "b")).dump())
    chosen = cli.parser().parse_args(
        ["methods", "x", "--card", str(card), "--labels", str(names), "--normalisation", "bytes", "--channels", "1"]
    )
    said = naming.said(chosen)
    assert (said.title, said.size, said.labels) == ("Mine", (64, 64), ("cat", "dog"))
    assert (said.scale, said.mean, said.std) == (255.0, (0.0,), (1.0,))
    chosen = cli.parser().parse_args(
        ["methods", "x", "--columns", "debt,age", "--background", str(rows), "--size", "224x320"]
    )
    said = naming.said(chosen)
    assert [one.name for one in said.columns] == ["debt", "age"]
    assert said.columns[0].high == 7.5
    assert said.background.startswith("debt,age\n2.5,31\n")
    assert said.size == (224, 320)


def test_serve_passes_on_what_the_operator_says(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr(os, "execv", lambda path, arguments: None)
    monkeypatch.setattr(serve, "free", lambda port: True)
    monkeypatch.setenv(config.WORKSPACE, str(tmp_path))
    for name in (config.SHARED, config.MODELS, config.MEMORY, config.QUOTA, config.ALLOW_CODE):
        monkeypatch.setenv(name, "")  # so that what the command sets ends with this test
    arguments = ["serve", "--shared", "--models", str(tmp_path), "--memory", "6", "--quota", "2.5", "--no-browser"]
    code, _, err = run(capsys, *arguments, "--allow-pickles-that-run-code")
    assert code == 0
    assert "runs any code that it holds" in err
    given = {name: os.environ[name] for name in (config.SHARED, config.MODELS, config.MEMORY, config.QUOTA)}
    assert given == {config.SHARED: "1", config.MODELS: str(tmp_path), config.MEMORY: "6", config.QUOTA: "2.5"}
    assert os.environ[config.ALLOW_CODE] == "1"
