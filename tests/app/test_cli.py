"""The command line: real models through real workers, and one sentence for whatever a person gets wrong."""

import json
import os
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

import explainers
import model_zoo
from app import cli, config, given, terminal
from app.commands import explain
from explainers import registry
from model_zoo.types import UserError


@pytest.fixture(autouse=True)
def _workspace(tmp_path, monkeypatch):
    monkeypatch.setenv("ASSAY_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("COLUMNS", "100")


def run(capsys, *arguments):
    code = cli.main(list(arguments))
    out = capsys.readouterr()
    return code, out.out, out.err


def refused(capsys, *arguments):
    """The one sentence on stderr of a command that fails."""
    code, out, err = run(capsys, *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("assay: ")
    assert err.count("\n") == 1
    assert "Traceback" not in err
    return err


def test_models_and_methods_are_listed(capsys):
    code, out, _ = run(capsys, "models")
    assert code == 0
    assert all(card.id in out for card in model_zoo.cards())
    code, out, _ = run(capsys, "methods", "squeezenet")
    applies, _, others = out.partition("Not for this model:")
    assert code == 0
    assert "grad_cam" in applies
    assert "tree_shap" in others


def test_explain_prints_and_saves_what_python_finds(capsys, tmp_path):
    path = tmp_path / "run.assay"
    arguments = ["explain", "adult_mlp", "adult_manager", "-m", "integrated_gradients", "-m", "saliency"]
    code, out, err = run(capsys, *arguments, "--target", "1", "--set", "steps=32", "--device", "cpu", "-o", str(path))
    assert code == 0, err
    found = explainers.open_record(path).explanations
    assert [one.method for one in found] == ["integrated_gradients", "saliency"]
    assert found[0].provenance.parameters["steps"] == 32
    assert found[0].target.index == 1
    assert found[0].sentence() in " ".join(out.split())
    assert found[0].evidence[0].label in out
    model = model_zoo.load("adult_mlp")
    data = given.located(model.card, "adult_manager")[0]
    direct = explainers.explain(model, data, "integrated_gradients", target=1, steps=32)
    np.testing.assert_allclose(found[0].values, direct.values, rtol=1e-5, atol=1e-7)
    code, again, _ = run(capsys, "open", str(path))
    assert code == 0
    assert again.strip() == out.strip()


def test_all_tests_of_the_panel_are_printed_and_kept(capsys, tmp_path):
    path = tmp_path / "run.assay"
    arguments = ["explain", "adult_mlp", "adult_manager", "-m", "Integrated gradients", "-o", str(path)]
    code, out, err = run(capsys, *arguments, "--evidence", "all")
    assert code == 0, err
    found = explainers.open_record(path).only
    assert {one.id for one in found.evidence} == {one.id for one in registry.checks()}
    assert not [one for one in found.evidence if one.verdict is explainers.Verdict.NOT_RUN]
    said = " ".join(out.split())
    for one in (*found.evidence, found.overall):
        assert f"{one.label}: {' '.join(one.sentence.replace('**', '').split())}" in said
    code, out, _ = run(capsys, *arguments, "--evidence", "repeats, second_opinion")
    assert code == 0
    assert out.count("Not run: ") == 2
    assert tuple(one.id for one in registry.checks() if one.on_demand) == explain.ON_DEMAND


def test_why_this_rather_than_that(capsys, tmp_path):
    path = tmp_path / "run.assay"
    arguments = ["explain", "squeezenet", "coffee", "-m", "saliency", "-o", str(path)]
    for asked, other in (("runner_up", "consomme"), ("cup", "cup"), ("968", "cup")):
        code, out, err = run(capsys, *arguments, "--against", asked)
        assert code == 0, err
        assert out.startswith(f"Why espresso rather than {other}")
        target = explainers.open_record(path).only.target
        assert (target.label, target.unit) == (f"espresso rather than {other}", "log-odds")


def test_a_row_of_a_csv_and_a_report(capsys, tmp_path):
    card = {one.id: one for one in model_zoo.cards()}["adult_mlp"]
    row = json.loads(given.located(card, "adult_manager")[0])
    table = tmp_path / "people.csv"
    line = ",".join(f'"{value}"' for value in row.values())
    table.write_text("\n".join([",".join(row), line, line]))
    assert "people.csv has 2 rows; say which one is meant" in refused(capsys, "explain", "adult_mlp", str(table))
    assert "has rows 1 to 2; row 3 came" in refused(capsys, "explain", "adult_mlp", f"{table}:3")
    report, record = tmp_path / "report.html", tmp_path / "run.assay"
    code, _, err = run(
        capsys, "explain", "adult_mlp", f"{table}:2", "-m", "saliency", "-o", str(report), "-o", str(record)
    )
    assert code == 0, err
    assert "people.csv, row 2" in explainers.open_record(record).sample.name
    assert "Saliency" in report.read_text()
    code, _, _ = run(capsys, "report", str(record), "-o", str(tmp_path / "again.html"))
    assert code == 0
    assert (tmp_path / "again.html").stat().st_size > 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explain", "squeezenet"], "required: INPUT; see `assay explain --help`"),
        (["frobnicate"], "invalid choice: 'frobnicate'"),
        ([], "required: COMMAND"),
        (["explain", "squeezenut", "cat"], "no model 'squeezenut'"),
        (["explain", "squeezenet", "catt"], "no file 'catt', and no bundled example"),
        (["explain", "squeezenet", "cat", "-m", "magic"], "no method 'magic'"),
        (["explain", "squeezenet", "cat", "-m", "tree_shap"], "Tree SHAP explains tabular models"),
        (["explain", "squeezenet", "cat", "--target", "espreso"], "the nearest of its 1000 are 'espresso'"),
        (["explain", "squeezenet", "cat", "--target", "1000"], "classes 0 to 999; class 1000 came"),
        (["explain", "squeezenet", "cat", "-m", "occlusion", "--set", "stepz=3"], "occlusion has stride, window"),
        (["explain", "squeezenet", "cat", "-m", "occlusion", "--set", "window=900"], "window lies between"),
        (["explain", "squeezenet", "cat", "--against", "espreso"], "the nearest of its 1000 are 'espresso'"),
        (["explain", "squeezenet", "cat", "--evidence", "repeats,magic"], "no check 'magic'"),
        (["explain", "squeezenet", "cat", "--at", "8:3"], "a span START:STOP such as 3:8; '8:3' came"),
        (["explain", "squeezenet", "cat", "--at", "x"], "takes a position, or a span"),
        (["explain", "squeezenet", "cat", "--output", "magic"], "invalid choice"),
        (["explain", "squeezenet", "cat", "--seed", "x"], "invalid int value"),
        (["explain", "squeezenet", "cat", "-o", "report.doc"], "ends in .html, .pdf, .assay; 'report.doc' came"),
        (["explain", "squeezenet", "cat", "-o", "/nowhere/x.html"], "no folder /nowhere"),
        (["methods", "squeezenut"], "no model 'squeezenut'"),
        (["open", "/nowhere.assay"], "could not be read: No such file"),
        (["serve", "--port", "0x"], "invalid int value"),
        (["serve", "--port", "99999"], "between 1 and 65535"),
    ],
)
def test_a_mistake_is_one_sentence(capsys, arguments, message):
    assert message in refused(capsys, *arguments)


def test_an_input_that_the_worker_cannot_read_is_one_sentence(capsys, tmp_path):
    text = tmp_path / "text.png"
    text.write_text("this is no picture")
    assert "text.png" in refused(capsys, "explain", "squeezenet", str(text), "-m", "saliency")
    record = tmp_path / "bad.assay"
    record.write_text("no record")
    assert "not a record that Assay wrote" in refused(capsys, "open", str(record))


def test_where_an_input_comes_from(tmp_path, monkeypatch):
    cards = {one.id: one for one in model_zoo.cards()}
    text, table, image = cards["minilm_sentiment"], cards["adult_mlp"], cards["squeezenet"]
    monkeypatch.chdir(tmp_path)
    (tmp_path / "review.txt").write_text("from a file")
    assert given.located(text, "review.txt") == (b"from a file", "review.txt", None)
    assert given.located(text, "A fine film.") == (b"A fine film.", "typed text", None)
    assert given.located(text, "word " * 5000)[1] == "typed text"
    assert given.located(text, "film_praise")[1] == "film_praise.txt"
    assert given.located(table, '{"age": 3}') == (b'{"age": 3}', "typed row.json", None)
    (tmp_path / "rows.csv").write_text("age\n1\n2\n")
    assert given.located(table, "rows.csv:2") == (b"age\n1\n2\n", "rows.csv", 2)
    assert given.located(image, "cat")[1] == "cat.jpg"
    with pytest.raises(UserError, match="no bundled example"):
        given.located(image, "A fine film.")


def test_parameters_go_to_the_methods_that_have_them():
    found = given.parameters(
        ["occlusion", "integrated_gradients"], ["steps=16", "occlusion.window=0.2", "rule=trapezoid"]
    )
    assert found == {"occlusion": {"window": 0.2}, "integrated_gradients": {"steps": 16, "rule": "trapezoid"}}


def test_serve_becomes_streamlit_on_this_machine_only(capsys, monkeypatch, tmp_path):
    called = []
    monkeypatch.setattr(os, "execv", lambda path, arguments: called.append(arguments))
    monkeypatch.setenv(config.DEVICE, "auto")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert f"Port {port} is taken" in refused(capsys, "serve", "--port", str(port))
    cli.main(["serve", "--port", str(port), "--workspace", str(tmp_path), "--device", "cpu", "--no-browser"])
    (arguments,) = called
    assert arguments[:4] == [sys.executable, "-m", "streamlit", "run"]
    assert {"--server.address=127.0.0.1", "--browser.gatherUsageStats=false", f"--server.port={port}"} <= set(arguments)
    assert {"--client.showErrorDetails=none", "--server.fileWatcherType=none", "--server.headless=true"} <= set(
        arguments
    )
    assert os.environ[config.WORKSPACE] == str(tmp_path)
    assert os.environ[config.DEVICE] == "cpu"


def test_a_terminal_is_not_steered_by_names():
    assert terminal.clean("a\x1b]0;title\x07b\n\u202ec") == "a ]0;title b  c"


def test_control_c_cancels_and_says_nothing(tmp_path):
    request = ["explain", "squeezenet", "cat", "-m", "occlusion", "--set", "stride=0.05", "--set", "window=0.1"]
    command = [sys.executable, "-m", "app.cli", *request]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    log = tmp_path / "workspace" / "logs" / "worker-run.log"
    end = time.monotonic() + 60
    while not log.exists() and time.monotonic() < end:
        time.sleep(0.05)
    time.sleep(1)
    child.send_signal(signal.SIGINT)
    out, err = child.communicate(timeout=60)
    assert (child.returncode, out, err) == (130, "", "")


def test_the_command_never_loads_torch(tmp_path):
    script = (
        "import sys; from app import cli;"
        "command = ['explain', 'adult_mlp', 'adult_manager', '-m', 'saliency'];"
        f"assert cli.main([*command, '-o', {str(tmp_path / 'r.html')!r}]) == 0;"
        "heavy = {'torch', 'captum', 'shap', 'lime', 'sklearn', 'skimage', 'streamlit', 'xgboost'};"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert found.returncode == 0, found.stderr


def test_a_reader_that_leaves_early_costs_no_report(tmp_path):
    out = tmp_path / "r.assay"
    command = [
        sys.executable,
        "-m",
        "app.cli",
        "explain",
        "adult_mlp",
        "adult_manager",
        "-m",
        "saliency",
        "-o",
        str(out),
    ]
    child = subprocess.Popen([*command, "--workspace", str(tmp_path)], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    assert child.wait(timeout=60) == 0, child.stderr.read()
    child.stderr.close()
    assert out.is_file()
