"""The screen Compare under AppTest, with a runtime that computes nothing; and the command on real models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from visiting import ME, html, open_screen

from app import cli
from app.components.comparing import work
from app.components.markup import escape
from explainers.runtime.types import Request
from explainers.types import Explanation
from model_zoo import catalogue
from model_zoo.types import Target, UserError

IMAGE, TEXT, TREES = "efficientnet_lite0", "minilm_sentiment", "adult_trees"


@pytest.fixture(autouse=True)
def _results(monkeypatch: pytest.MonkeyPatch) -> None:
    """Results that explain what they were asked, and of which occlusion says the opposite."""
    from fake_runtime import FakeRuntime

    plain = FakeRuntime.result

    def result(self: Any, id: str, owner: str | None = None) -> Explanation:
        found, asked = plain(self, id, owner), self.known[id].request
        index = found.target.index if asked.target is None else asked.target
        label = found.card.labels[index]
        if asked.against is not None:
            label = f"{label} rather than {found.card.labels[asked.against]}"
        values = -found.values if asked.method == "occlusion" else found.values
        return replace(found, target=Target(index, label, "logit", against=asked.against), values=values)

    monkeypatch.setattr(FakeRuntime, "result", result)


def visit(runtime: Any, model: str = IMAGE, **query: str) -> Any:
    data, name = catalogue.read_example(catalogue.examples(model)[0].id)
    return open_screen("compare", model=model, input=runtime.put(data, name), **query)


def asked(runtime: Any) -> set[tuple[str, int | None, int | None]]:
    return {(job.request.method, job.request.target, job.request.against) for job in runtime.known.values()}


def again(at: Any, **more: str) -> Any:
    """The same address in a fresh session."""
    return open_screen("compare", **({key: "".join(value) for key, value in at.query_params.items()} | more))


@pytest.mark.parametrize("model", [IMAGE, TEXT, TREES])
def test_methods_by_targets_fill_and_are_compared(runtime, model: str) -> None:
    at = visit(runtime, model)
    assert "75 %" in html(at)
    assert "Not run yet" in html(at)
    assert at.button(key="compare-run").disabled is False
    at.button(key="compare-run").click().run()
    methods = at.multiselect(key=f"compare/methods/{model}").value
    card = catalogue.card(model)
    rows = 2 if card.task == "classification" else 1
    assert len(asked(runtime)) == rows * len(methods)
    assert len({job.request.group for job in runtime.known.values()}) == 1
    assert at.button(key="compare-cancel")
    runtime.change(status="done", done=10, total=10)
    at.run()
    assert not at.exception
    assert not [one for one in at.button if one.key == "compare-cancel"]
    for said in ("How far they agree", "Consensus", "Disagreement", "Two of three methods"):
        assert said in html(at)
    assert at.button(key="compare-run").disabled
    assert [one.label for one in at.get("download_button")][:1] == ["Report (HTML)"]


def test_a_refresh_loses_nothing(runtime) -> None:
    at = visit(runtime)
    at.multiselect(key=f"compare/methods/{IMAGE}").set_value(["saliency", "grad_cam"]).run()
    target = f"compare/targets/{IMAGE}/{''.join(at.query_params['input'])}"
    at.multiselect(key=target).set_value([3, 5]).run()
    at.toggle(key=target.replace("targets", "margin")).set_value(True).run()
    at.button(key="compare-run").click().run()
    assert asked(runtime) == {(one, *aim) for one in ("saliency", "grad_cam") for aim in ((3, None), (5, None), (3, 5))}
    fresh = again(at)
    assert set(fresh.multiselect(key=f"compare/methods/{IMAGE}").value) == {"saliency", "grad_cam"}
    assert fresh.multiselect(key=target).value == [3, 5]
    assert fresh.button(key="compare-cancel"), "it found its jobs"
    runtime.change(status="done")
    fresh.run()
    names = catalogue.card(IMAGE).labels
    assert escape(f"{names[3]} rather than {names[5]}") in html(fresh)


def test_a_method_that_is_added_runs_alone(runtime) -> None:
    at = visit(runtime)
    at.multiselect(key=f"compare/methods/{IMAGE}").set_value(["saliency", "grad_cam"]).run()
    at.button(key="compare-run").click().run()
    runtime.change(status="done")
    at.run()
    before = set(runtime.known)
    at.multiselect(key=f"compare/methods/{IMAGE}").set_value(["saliency", "grad_cam", "occlusion"]).run()
    at.button(key="compare-run").click().run()
    added = [job.request for id, job in runtime.known.items() if id not in before]
    assert {one.method for one in added} == {"occlusion"}
    assert {one.group for one in added} == {runtime.known[next(iter(before))].request.group}


def test_who_says_otherwise_is_the_headline(runtime) -> None:
    at = visit(runtime, TREES)
    at.multiselect(key=f"compare/methods/{TREES}").set_value(["tree_shap", "kernel_shap", "occlusion"]).run()
    at.button(key="compare-run").click().run()
    runtime.change(status="done")
    at.run()
    assert "Two of three methods name" in html(at)
    assert "Occlusion" in html(at)


def test_cancelled_failed_and_deleted_jobs_are_said(runtime) -> None:
    at = visit(runtime)
    at.button(key="compare-run").click().run()
    at.button(key="compare-cancel").click().run()
    assert "Stopped before it was finished." in html(at)
    assert at.button(key="compare-run").disabled is False
    runtime.change(status="failed", message="The worker died <here>.")
    at.run()
    assert "The worker died &lt;here&gt;." in html(at)
    runtime.known.clear()
    at.run()
    assert not at.exception
    assert "Not run yet" in html(at)


def test_what_is_partly_refused_is_said_and_the_rest_is_seen(runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    at = visit(runtime)
    submit = type(runtime).submit

    def once(self: Any, request: Request, owner: str) -> str:
        if runtime.known:
            raise UserError("50 of your runs are waiting already.")
        return submit(self, request, owner)

    monkeypatch.setattr(type(runtime), "submit", once)
    at.button(key="compare-run").click().run()
    assert "50 of your runs are waiting already." in html(at)
    assert at.button(key="compare-cancel")


def test_one_method_under_every_baseline_and_another_at_once(runtime) -> None:
    at = visit(runtime)
    at.button_group(key="compare/view").set_value("baselines").run()
    at.button(key="compare-vary").click().run()
    requests = [job.request for job in runtime.known.values()]
    assert [one.baseline for one in requests] == ["zero", "mean"]
    assert {one.method for one in requests} == {"integrated_gradients"}
    runtime.change(status="done")
    at.run()
    assert "The baseline hardly changes this answer" in html(at)
    assert "(default)" in html(at)
    at.selectbox(key=f"compare/under/{IMAGE}").set_value("occlusion").run()
    assert [job.request.method for job in runtime.known.values()][-2:] == ["occlusion", "occlusion"]
    assert again(at).selectbox(key=f"compare/under/{IMAGE}").value == "occlusion"


def test_a_good_set_runs_and_gives_its_reasons(runtime) -> None:
    at = visit(runtime)
    at.button_group(key="compare-good/budget").set_value(120).run()
    at.button(key="compare-good").click().run()
    assert not at.exception
    said = html(at)
    assert "A good set for 2 min" in said
    assert "It looks from inside the network" in said
    assert "It needs an ensemble of decision &lt;trees&gt;." in said or "Why not the other" in said
    ticked = at.multiselect(key=f"compare/methods/{IMAGE}").value
    assert "hires_cam" in ticked
    assert {one[0] for one in asked(runtime)} == set(ticked)
    assert "A good set for 2 min" in html(again(at)), "a refresh keeps the reasons"


def test_a_good_set_waits_for_the_model_to_be_timed(runtime) -> None:
    at = visit(runtime)
    runtime.ready.clear()
    at.button(key="compare-good").click().run()
    assert "Timing EfficientNet-Lite0" in html(at)
    assert not runtime.known
    runtime.ready.set()
    at.run()
    at.run()
    assert runtime.known


def test_the_shown_agreement_is_of_the_chosen_target(runtime) -> None:
    at = visit(runtime)
    at.button(key="compare-run").click().run()
    runtime.change(status="done")
    at.run()
    key = f"compare/told/{IMAGE}/{''.join(at.query_params['input'])}"
    at.button_group(key=key).set_value(1).run()
    assert "".join(at.query_params["told"]) == "1"
    second = at.multiselect(key=key.replace("told", "targets")).value[1]
    assert escape(f"About {catalogue.card(IMAGE).labels[second]}") in html(at)


def test_an_address_from_elsewhere_is_no_error(runtime) -> None:
    at = visit(
        runtime, methods="no_such,grad_cam,grad_cam", targets="99999,x,2", output="nonsense", told="77", view="x"
    )
    assert at.multiselect(key=f"compare/methods/{IMAGE}").value == ["grad_cam"]
    assert not at.exception
    assert at.button(key="compare-run")
    assert "Something went wrong" not in html(at)


def test_nothing_chosen_is_a_sentence(runtime) -> None:
    at = visit(runtime)
    at.multiselect(key=f"compare/methods/{IMAGE}").set_value([]).run()
    assert "Choose at least one method and one class." in html(at)
    assert at.button(key="compare-run").disabled


def test_bad_input_is_a_sentence(runtime) -> None:
    runtime.refuse = "cat.png is not a picture; give a PNG or a JPEG."
    at = open_screen("compare")
    assert "cat.png is not a picture" in html(at)


def test_the_newest_job_of_a_question_answers_it(runtime) -> None:
    ids = [runtime.submit(Request(IMAGE, "", "saliency", target=1, output="logit", group="g"), ME) for _ in range(2)]
    import streamlit as st

    st.session_state["owner"] = ME
    from app import backend

    backend.shared()
    assert work.known("g")[work.Cell("saliency", 1, None, "logit")].id == ids[-1]
    assert work.known("") == {}


# -- the command ---------------------------------------------------------------------------------------------------


@pytest.fixture
def _workspace(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_WORKSPACE", str(tmp_path / "workspace"))
    monkeypatch.setenv("COLUMNS", "100")


@pytest.mark.usefixtures("_workspace")
def test_the_command_prints_the_matrices_and_writes_a_report(capsys, tmp_path) -> None:
    path = tmp_path / "report.html"
    arguments = ["compare", TREES, "adult_manager", "-m", "tree_shap", "-m", "occlusion", "--device", "cpu"]
    code = cli.main([*arguments, "--targets", "0,> 50K", "-o", str(path)])
    out = capsys.readouterr().out
    assert code == 0
    assert out.count("Rank correlation ") == 2
    assert "1  Tree SHAP" in out
    assert "Overlap of the 4 strongest" in out
    text = path.read_text(encoding="utf-8")
    assert text.count("How far they agree") >= 2
    assert "Consensus" in text


@pytest.mark.usefixtures("_workspace")
def test_the_command_says_what_is_wrong(capsys) -> None:
    for more, said in (
        (["-m", "tree_shap"], "Two methods or more are compared"),
        (["-m", "tree_shap", "--good-set", "5"], "either methods with -m or a time"),
        (["--good-set", "-1"], "a number of seconds above 0"),
        (["-m", "tree_shap", "-m", "lime", "-o", "x.txt"], "A report ends in"),
    ):
        assert cli.main(["compare", TREES, "adult_manager", *more]) == 2
        assert said in capsys.readouterr().err


@pytest.mark.usefixtures("_workspace")
def test_the_command_runs_a_good_set(capsys) -> None:
    assert cli.main(["compare", TREES, "adult_manager", "--good-set", "60", "--device", "cpu"]) == 0
    out = capsys.readouterr().out
    assert "+ Tree SHAP: It looks from outside" in out
    assert "Rank correlation" in out
