"""Screens under AppTest, with a runtime that computes nothing: what is chosen, what is asked, what is said."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest
from visiting import ME, html, open_screen, pick, picked

from app import backend, broken, config
from app.commands import doctor
from app.components import export, headline, picking, seen, standing
from app.components.markup import escape, plain
from app.screens import screens
from app.state import Selection
from explainers import record, registry, words
from explainers.diagnosis import Suited
from explainers.runtime.types import Job, Request
from explainers.types import Check, Verdict
from model_zoo import catalogue, opening
from model_zoo.discovery import Broken
from model_zoo.modalities.text import TextView
from model_zoo.types import Players, Prediction, Sample, UserError

MODALITIES = {card.modality: card.id for card in reversed(catalogue.cards())}


def test_screens_are_found_in_order_and_documented() -> None:
    found = screens()
    assert [one.page.title for one in found] == ["Explain", "Compare", "Your own model", "Models", "Check-up", "Runs"]
    assert len({one.page.url_path for one in found}) == len(found)


def test_first_visit_shows_a_prediction(runtime) -> None:
    at = open_screen()
    assert "75 %" in html(at)
    assert at.button(key="run").disabled is False
    assert at.query_params["model"]
    assert at.query_params["input"]


@pytest.mark.parametrize("modality", MODALITIES)
def test_choose_run_and_see_results(runtime, modality: str) -> None:
    model = MODALITIES[modality]
    data, name = catalogue.read_example(catalogue.examples(model)[0].id)
    at = open_screen(model=model, input=runtime.put(data, name))
    at.button(key="run").click().run()
    assert runtime.known, "nothing was submitted"
    assert {job.request.model for job in runtime.known.values()} == {model}
    assert len({job.request.group for job in runtime.known.values()}) == 1
    assert at.button(key="cancel")
    runtime.change(status="done", done=10, total=10)
    at.run()
    assert not at.exception
    said = html(at)
    assert any(escape(runtime.result(id, ME).sentence()) in said for id in runtime.known)
    assert "It misses &lt;half&gt; of it." in said
    listed = ["Report (HTML)", "Report (PDF)", "Record (.assay)", "Values (CSV)"]
    assert [one.label for one in at.get("download_button")] == listed


def test_what_was_chosen_outlives_a_prediction_that_takes_its_time(runtime) -> None:
    """Ticking LIME previews segments: until they come, the form for class and baseline is not on the screen."""
    model = MODALITIES["image"]
    data, name = catalogue.read_example("coffee")
    input = runtime.put(data, name)
    at = open_screen(model=model, input=input)
    at.selectbox(key=f"target/{model}/{input}").set_value(3).run()
    at.selectbox(key=f"baseline/{model}").set_value("mean").run()
    runtime.ready.clear()
    pick(at, model, "lime", "occlusion")
    assert f"Loading {catalogue.card(model).title}" in html(at)
    runtime.ready.set()
    at.run()
    at.button(key="run").click().run()
    assert not at.exception
    asked = {job.request.method: job.request for job in runtime.known.values()}
    assert {one.target for one in asked.values()} == {3}
    assert asked["occlusion"].baseline == "mean"


def test_the_same_record_can_be_opened_again(runtime) -> None:
    job = runtime.submit(Request(MODALITIES["tabular"], "", "occlusion"), ME)
    data = record.dump((runtime.result(job, ME),))
    at = open_screen("runs")
    for _ in range(2):
        at.file_uploader(key="upload-record").upload("run.assay", data).run()
        assert "run.assay · " in html(at)
        next(one for one in at.button if one.label == "All runs").click().run()
    at.file_uploader(key="upload-record").upload("bad.assay", b"PK no record").run()
    assert "not a record that Assay wrote" in html(at)


def test_runs_survive_a_refresh(runtime) -> None:
    at = open_screen()
    at.button(key="run").click().run()
    again = open_screen(**{key: "".join(value) for key, value in at.query_params.items()})
    assert again.button(key="cancel")


def test_a_refresh_shows_the_methods_that_run(runtime) -> None:
    model = MODALITIES["image"]
    data, name = catalogue.read_example("coffee")
    at = open_screen(model=model, input=runtime.put(data, name))
    pick(at, model, "smoothgrad")
    at.number_input(key="knob/image/smoothgrad/samples").set_value(9).run()
    at.button(key="run").click().run()
    again = open_screen(**{key: "".join(value) for key, value in at.query_params.items()})
    assert picked(again) == ["smoothgrad"]
    assert again.number_input(key="knob/image/smoothgrad/samples").value == 9


def test_a_stopped_and_a_failed_job_are_sentences(runtime) -> None:
    at = open_screen()
    at.button(key="run").click().run()
    at.button(key="cancel").click().run()
    assert "Stopped before it was finished." in html(at)
    runtime.change(status="failed", message="The worker died <here>.")
    at.run()
    assert "The worker died &lt;here&gt;." in html(at)


def test_bad_input_is_one_sentence_and_the_sidebar_stays(runtime) -> None:
    runtime.refuse = "cat.png is not a picture; give a PNG or a JPEG."
    at = open_screen()
    assert "cat.png is not a picture" in html(at)
    assert not [one for one in at.button if one.label == "Try again"], "the same file would fail again"


def test_what_a_worker_failed_at_can_be_tried_again(runtime) -> None:
    runtime.refuse, runtime.cause = "The worker stopped while reading the input.", OSError("it died")
    at = open_screen()
    assert "The worker stopped" in html(at)
    runtime.refuse = ""
    next(one for one in at.button if one.label == "Try again").click().run()
    assert "75 %" in html(at)


def test_choices_outlive_a_bad_upload_another_modality_and_another_screen(runtime) -> None:
    model = MODALITIES["image"]
    data, name = catalogue.read_example("coffee")
    input = runtime.put(data, name)
    at = open_screen(model=model, input=input)
    pick(at, model, "lime", "saliency")
    at.number_input(key="knob/image/lime/num_samples").set_value(300).run()
    runtime.refuse = "notes.png is not a picture."
    at.file_uploader(key="upload-image").upload("notes.png", b"no picture", "image/png").run()
    assert "notes.png is not a picture." in html(at)
    runtime.refuse = ""
    at.file_uploader(key="upload-image").upload("cup.jpg", data, "image/jpeg").run()
    at.button_group(key="modality").set_value("text").run()
    at.button_group(key="modality").set_value("image").run()
    assert picked(at) == ["lime", "saliency"]
    at.button(key="run").click().run()
    assert {job.request.method for job in runtime.known.values()} == {"lime", "saliency"}
    assert {"num_samples": 300} in [job.request.parameters for job in runtime.known.values()]


def test_an_empty_text_is_a_sentence_and_the_input_stays(runtime) -> None:
    model = MODALITIES["text"]
    data, name = catalogue.read_example(catalogue.examples(model)[0].id)
    at = open_screen(model=model, input=runtime.put(data, name))
    at.text_area[0].set_value("  ").run()
    at.button(key="read-text").click().run()
    assert "There is no text to read yet" in html(at)
    assert "75 %" in html(at)


def test_a_click_that_is_partly_refused_shows_what_runs(runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    at = open_screen()
    submit = type(runtime).submit

    def once(self, request: Request, owner: str) -> str:
        if runtime.known:
            raise UserError("50 of your runs are waiting already.")
        return submit(self, request, owner)

    monkeypatch.setattr(type(runtime), "submit", once)
    at.button(key="run").click().run()
    assert "50 of your runs are waiting already." in html(at)
    assert "".join(at.query_params["runs"]) == next(iter(runtime.known))
    assert at.button(key="cancel")


def test_a_job_deleted_elsewhere_has_ended(runtime) -> None:
    at = open_screen()
    at.button(key="run").click().run()
    runtime.known.clear()
    at.run()
    assert not at.exception
    assert "no longer in the workspace" not in html(at)
    assert at.button(key="run")


def test_segments_can_be_chosen_where_pixels_are_usual(runtime) -> None:
    model = MODALITIES["image"]
    data, name = catalogue.read_example("coffee")
    at = open_screen(model=model, input=runtime.put(data, name))
    pick(at, model, "occlusion", "lime")
    assert at.selectbox(key=f"players/{model}/occlusion").options == ["pixels", "segments"]
    assert not [one for one in at.selectbox if one.key == f"players/{model}/lime"]
    assert not [one for one in at.toggle if one.label == "Intervals"], "that is for tables"


def test_an_unknown_failure_is_a_sentence_too(runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(runtime), "cards", lambda self: 1 / 0)
    assert "Something went wrong" in html(open_screen())


def test_an_address_from_elsewhere_falls_back_to_an_example(runtime) -> None:
    at = open_screen(model="no_such_model", input="sha256:0", runs="nobody")
    assert "75 %" in html(at)


@pytest.mark.parametrize("card", catalogue.cards(), ids=lambda card: card.id)
def test_every_model_has_its_card_with_reasons(runtime, card) -> None:
    said = html(open_screen("models"))
    assert escape(card.title) in said
    for method in registry.methods():
        reason = method.why_not(card)
        assert escape(method.title if reason is None else reason) in said


def test_runs_lists_reopens_and_deletes(runtime) -> None:
    assert "Nothing was run" in html(open_screen("runs"))
    at = open_screen()
    at.button(key="run").click().run()
    runtime.change(status="done", done=1, total=1)
    group = next(iter(runtime.known.values())).request.group
    owner = next(iter(runtime.known.values())).owner

    listed = open_screen("runs")
    listed.session_state["owner"] = owner
    listed.run()
    assert "02 Jan 2026" in html(listed)
    listed.button(key=f"open/{group}").click().run()
    assert "made up" in html(listed)
    next(one for one in listed.button if one.label == "All runs").click().run()
    listed.button(key=f"delete/{group}").click().run()
    assert not runtime.known


def test_a_reopened_run_and_a_record_show_their_input_and_prediction(runtime) -> None:
    model = MODALITIES["text"]
    input = runtime.put(b"Good <b>film</b>, " + b"which goes on and on " * 9, "typed text")
    at = open_screen("runs")
    for method in ("saliency", "integrated_gradients"):
        runtime.submit(Request(model, input, method, group="a"), at.session_state["owner"])
    runtime.change(status="done")
    at.run()
    assert "75 % · “Good &lt;b&gt;film&lt;/b&gt;, which goes on" in html(at)
    at.button(key="open/a").click().run()
    for said in ('<div class="as-text">Good<span', "75 %", "According to Saliency"):
        assert said in html(at)
    data = record.dump(tuple(runtime.result(id, ME) for id in runtime.known))
    at = open_screen("runs")
    at.file_uploader(key="upload-record").upload("run.assay", data).run()
    assert '<div class="as-text">Good<span' in html(at)
    assert "According to Saliency" in html(at)


def test_the_best_founded_method_speaks_first(runtime) -> None:
    model = MODALITIES["image"]
    ids = {one: runtime.submit(Request(model, "", one), ME) for one in ("lime", "grad_cam", "occlusion")}
    made = {one: runtime.result(id, ME) for one, id in ids.items()}
    good = {one: replace(found, evidence=()) for one, found in made.items()}
    positive = replace(good["grad_cam"], values=abs(good["grad_cam"].values))
    assert headline.leading((made["lime"], positive)) is positive, "bad evidence stands back"
    assert headline.leading((positive, good["occlusion"])) is good["occlusion"], "sensitivity stands back"
    assert headline.source((made["lime"],)) == ""
    assert headline.source((made["lime"], positive)) == "According to Grad-CAM"


def test_what_did_not_settle_can_run_longer(runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    model = MODALITIES["image"]
    data, name = catalogue.read_example("coffee")
    at = open_screen(model=model, input=runtime.put(data, name))
    pick(at, model, "smoothgrad")
    at.button(key="run").click().run()
    noisy = (Check("settled", "Settled", Verdict.DOUBTFUL, "Noisy."), Check("x", "Y", Verdict.NOT_APPLICABLE, "No."))
    first = next(iter(runtime.known))
    found = runtime.result(first, ME)
    used = replace(found.provenance, parameters={"samples": 400})
    monkeypatch.setattr(
        type(runtime), "result", lambda self, id, owner: replace(found, evidence=noisy, provenance=used)
    )
    runtime.change(status="done")
    at.run()
    assert '<span class="as-name">Y</span><span class="as-word">does not apply</span>' in html(at)
    assert at.button(key=f"longer/{first}").label == "Run 2.5× longer, about 2 s", "the knob ends at 1,000"
    at.button(key=f"longer/{first}").click().run()
    assert list(runtime.known.values())[-1].request.parameters == {"samples": 1000}
    assert "".join(at.query_params["runs"]) == list(runtime.known)[-1]


def test_the_forecast_learns_from_what_ran_before(runtime) -> None:
    model = MODALITIES["image"]
    data, name = catalogue.read_example("coffee")
    input = runtime.put(data, name)
    at = open_screen(model=model, input=input)
    pick(at, model, "smoothgrad")
    assert "About 50 evaluations</div>" in html(at)
    runtime.submit(Request(model, input, "smoothgrad"), "somebody else")
    runtime.change(status="done", total=25, seconds=3.0)
    at.run()
    assert "About 50 evaluations, about 6 s</div>" in html(at)


def run_and_finish(runtime, *methods: str, model: str = MODALITIES["tabular"]) -> tuple[AppTest, str]:
    """The screen with explanations that are done, and the id of the first job."""
    data, name = catalogue.read_example(catalogue.examples(model)[0].id)
    at = open_screen(model=model, input=runtime.put(data, name))
    pick(at, model, *methods)
    at.button(key="run").click().run()
    runtime.change(status="done", done=10, total=10)
    at.run()
    return at, next(iter(runtime.known))


def again(at: AppTest) -> AppTest:
    """The same address in a fresh browser tab."""
    return open_screen(**{key: "".join(value) for key, value in at.query_params.items()})


def test_the_panel_has_six_lines_with_their_questions_and_what_they_cost(runtime) -> None:
    at, first = run_and_finish(runtime, "integrated_gradients")
    said = html(at)
    for one in registry.checks():
        if one.on_demand:
            assert f'<span class="as-name">{one.label}</span>' in said
            assert escape(one.question) in said
            button = at.button(key=f"test/{first}/{one.id}")
            assert button.label.startswith("Test, ")
            assert one.question in button.help
    assert "Do not rely on this explanation" in said, "the made up explanation does not add up"
    assert "Do not rely on this picture: the values do not add up." in said
    costs = sum(one.cost(runtime.result(first, ME)) for one in registry.checks() if one.on_demand)
    about = words.duration(costs * 1.0 / 10)  # ten evaluations took a second
    assert at.button(key=f"test/{first}/all").label == f"Test it fully, {about}"


def test_testing_fully_takes_the_place_of_the_run_and_outlives_a_refresh(runtime) -> None:
    at, first = run_and_finish(runtime, "integrated_gradients", "occlusion")
    second = list(runtime.known)[1]
    at.button(key=f"test/{first}/all").click().run()
    job = list(runtime.known.values())[-1]
    assert job.request.of == first
    assert set(job.request.evidence) == {one.id for one in registry.checks() if one.on_demand}
    assert job.request.group == runtime.known[first].request.group
    assert "".join(at.query_params["runs"]) == f"{job.id},{second}"
    for shown in (at, again(at)):
        assert "It misses &lt;half&gt; of it." in html(shown), "what was found stays in view"
        assert '<span class="as-word">under way</span>' in html(shown)
        assert shown.button(key="cancel")
        assert not [one for one in shown.button if str(one.key).startswith(f"test/{first}")]
        assert shown.button(key=f"test/{second}/all"), "the other one can be tested as well"
    runtime.change(status="done")
    for shown in (at.run(), again(at)):
        assert "&lt;repeats&gt; is fine." in html(shown)
        assert not [one for one in shown.button if str(one.key).startswith(f"test/{first}")]


def test_a_test_that_is_stopped_or_fails_leaves_what_was_known(runtime) -> None:
    at, first = run_and_finish(runtime, "integrated_gradients")
    at.button(key=f"test/{first}/repeats").click().run()
    at.button(key="cancel").click().run()
    assert "Testing was stopped; what was known before stays." in html(at)
    assert "It misses &lt;half&gt; of it." in html(at)
    at.button(key=f"test/{first}/beats_chance").click().run()
    job = list(runtime.known.values())[-1]
    assert (job.request.of, job.request.evidence) == (first, ("beats_chance",)), "of the one that is done"
    runtime.known[job.id] = replace(job, status="failed", message="The worker died <here>.")
    at.run()
    assert "The worker died &lt;here&gt;." in html(at)
    assert at.button(key=f"test/{first}/beats_chance")


def test_tests_go_on_from_what_was_tested(runtime) -> None:
    at, first = run_and_finish(runtime, "integrated_gradients")
    for line in ("repeats", "second_opinion"):
        at.button(key=f"test/{first}/{line}").click().run()
        runtime.change(status="done", seconds=0.9)
        at.run()
    assert all(f"&lt;{line}&gt; is fine." in html(at) for line in ("repeats", "second_opinion"))
    left = [one.key for one in at.button if str(one.key).startswith(f"test/{first}/")]
    assert left == [f"test/{first}/{one}" for one in ("beats_chance", "reads_the_model", "all")]


def test_an_explanation_that_runs_longer_is_made_anew(runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    at, first = run_and_finish(runtime, "smoothgrad", model=MODALITIES["image"])
    at.button(key=f"test/{first}/repeats").click().run()
    runtime.change(status="done")
    noisy = (Check("settled", "Settled", Verdict.DOUBTFUL, "Noisy."),)
    found = runtime.result(first, ME)
    monkeypatch.setattr(type(runtime), "result", lambda self, id, owner: replace(found, evidence=noisy))
    at.run()
    next(one for one in at.button if str(one.key).startswith("longer/")).click().run()
    job = list(runtime.known.values())[-1]
    assert (job.request.of, job.request.evidence) == ("", ())


def test_runs_show_a_tested_explanation_once(runtime) -> None:
    at, first = run_and_finish(runtime, "integrated_gradients")
    at.button(key=f"test/{first}/all").click().run()
    runtime.change(status="done")
    group = runtime.known[first].request.group
    listed = open_screen("runs")
    assert html(listed).count('class="as-run"') == 1
    assert html(listed).count("Integrated gradients") == 1
    listed.button(key=f"open/{group}").click().run()
    assert html(listed).count('<h3 class="as-title">') == 1
    assert "&lt;repeats&gt; is fine." in html(listed)
    next(one for one in listed.button if one.label == "All runs").click().run()
    listed.button(key=f"delete/{group}").click().run()
    assert not runtime.known


def test_jobs_that_stand_for_one_explanation(runtime) -> None:
    def job(id: str, of: str = "", status: str = "done") -> Job:
        return Job(id, Request("m", "", "occlusion", of=of), ME, status)  # type: ignore[arg-type]

    def ids(*jobs: Job) -> list[str]:
        return [one.id for one in standing.latest(list(jobs))]

    assert ids(job("a"), job("b"), job("c", "a")) == ["c", "b"]
    assert ids(job("a"), job("c", "a"), job("d", "c", "running")) == ["d"]
    assert ids(job("a"), job("c", "a", "failed"), job("d", "a", "cancelled")) == ["a"]
    assert ids(job("c", "gone")) == ["c"]


def test_why_this_rather_than_that(runtime) -> None:
    model = MODALITIES["image"]
    data, name = catalogue.read_example("coffee")
    input = runtime.put(data, name)
    at = open_screen(model=model, input=input)
    other = at.selectbox(key=f"against/{model}/{input}")
    assert other.value is None
    assert other.options[0].endswith("· the runner-up")
    assert len(other.options) == len(catalogue.card(model).labels) - 1, "not the class itself"
    other.set_value(7).run()
    at.button(key="run").click().run()
    assert {job.request.against for job in runtime.known.values()} == {7}
    fresh = again(at)
    assert fresh.selectbox(key=f"against/{model}/{input}").value == 7
    fresh.selectbox(key=f"target/{model}/{input}").set_value(7).run()
    assert fresh.selectbox(key=f"against/{model}/{input}").value is None, "no class rather than itself"
    assert not [one for one in run_and_finish(runtime, "occlusion")[0].selectbox if str(one.key).startswith("against/")]


def test_methods_are_picked_in_a_dialog(runtime) -> None:
    model = MODALITIES["image"]
    data, name = catalogue.read_example("coffee")
    at = open_screen(model=model, input=runtime.put(data, name))
    assert not [one for one in at.checkbox if str(one.key).startswith("pick/")], "the wall is not on the screen"
    before = picked(at)
    at.button(key="add-methods").click().run()
    offered = {one.key.removeprefix("pick/"): one.value for one in at.checkbox}
    assert {id for id, value in offered.items() if value} == set(before)
    fitting = {one.id for one in registry.methods() if one.why_not(catalogue.card(model)) is None}
    assert set(offered) == fitting
    said = html(at)
    assert escape(registry.method("rise").summary) in said
    assert escape(registry.method("tree_shap").why_not(catalogue.card(model))) in said, "with the reason"
    at.checkbox(key="pick/rise").check().run()
    at.checkbox(key=f"pick/{before[0]}").uncheck().run()
    at.text_input(key="picking/search").set_value("region tried <b>").run()
    assert "No method that explains this model is called so." in html(at)
    at.button(key="picked").click().run()
    assert picked(at) == [*before[1:], "rise"]
    at.button(key="drop/rise").click().run()
    assert picked(at) == before[1:]
    for id in picked(at):
        at.button(key=f"drop/{id}").click().run()
    assert at.button(key="run").disabled
    assert "Choose at least one method." in html(at)


def test_what_the_check_up_refuses_is_not_offered(runtime) -> None:
    model = MODALITIES["image"]
    data, name = catalogue.read_example("coffee")
    at = open_screen(model=model, input=runtime.put(data, name))
    diagnosis = backend.shared().doctor(ME, model, None).result()
    wrong = Suited("lrp", "LRP", "It has <GELU>, which no rule covers.")
    runtime.doctor = lambda model, digest, owner: replace(diagnosis, methods=(wrong,))
    backend.shared().doctor(ME, model, "another").result()
    at.button(key="add-methods").click().run()
    assert "pick/lrp" not in {one.key for one in at.checkbox}
    assert "It has &lt;GELU&gt;, which no rule covers." in html(at)


def test_methods_are_found_by_all_their_names() -> None:
    known = registry.methods()
    assert {one.id for one in picking.matching(known, "shap kernel")} >= {"kernel_shap", "captum_kernel_shap"}
    assert picking.matching(known, "") == list(known)
    assert all(one.family == "attention" for one in picking.matching(known, "attention flow"))
    assert set(picking.FAMILIES) == set(registry.ORDER)


def test_rows_of_a_table_are_picked_in_the_main_part(runtime) -> None:
    model = MODALITIES["tabular"]
    data, name = catalogue.read_example(catalogue.examples(model)[0].id)
    at = open_screen(model=model, input=runtime.put(data, name))
    at.file_uploader(key="upload-csv").upload("people.csv", b"Age\n30\n", "text/csv").run()
    assert [one.label for one in at.main.number_input if one.key == "csv-row"] == ["Row, 1 to 1"]
    at.button(key="use-row").click().run()
    assert "people.csv, row 1" in html(at)
    assert "were missing and filled in" in html(at)
    at.button(key="csv-close").click().run()
    assert not [one for one in at.number_input if one.key == "csv-row"]


def test_words_in_a_preview_are_as_written() -> None:
    view = TextView("“Good”, film.", ((0, 7), (8, 13)), 2, ("good", "film"), ((1, 5), (8, 12)), (0, 1))
    sample = Sample("text", "typed text", np.zeros(2, np.int64), view)
    said = seen.picture(sample, Players("words", np.arange(2), 2, ("Good", "film")))
    assert "<span>“Good”,</span><span>film.</span>" in said


def test_text_shows_what_was_not_read(runtime) -> None:
    sample = runtime.look(MODALITIES["text"], "").sample
    said = seen.picture(sample)
    assert '<span class="as-unread" title="not read by the model"> &lt;b&gt;film&lt;/b&gt;</span>' in said


def test_a_model_removed_in_another_tab_is_said_until_another_is_chosen(runtime) -> None:
    at = open_screen(state={"selection": Selection("u-gone", "x", "photo.jpg")})
    assert "This model was removed" in html(at)
    at.run()
    assert "This model was removed" in html(at), "the screen is drawn again as soon as the prediction is there"
    at.radio(key="model").set_value("squeezenet").run()
    assert "This model was removed" not in html(at)


def test_few_classes_all_have_a_bar(runtime) -> None:
    card = replace(catalogue.card(MODALITIES["image"]), labels=tuple("abcdefg"))
    shares = np.full(7, 1 / 7)

    def script(found: object) -> None:
        from app.components import prediction

        prediction.bars(found)

    at = AppTest.from_function(script, args=(Prediction(np.log(shares), shares, card.labels),)).run()
    assert html(at).count('class="as-bar"') == 7
    assert "further classes" not in html(at)


def test_downloads_are_called_after_the_model_and_the_input(runtime) -> None:
    found = runtime.result(runtime.submit(Request(MODALITIES["image"], "", "occlusion"), ME), ME)
    named = replace(
        found, card=replace(found.card, title="skin_lesions"), sample=replace(found.sample, name="a/b é.jpg")
    )
    assert export.file_name((named,)) == "skin_lesions – a-b é"
    assert export.safe("../..", "model") == "model"


def test_words_of_others_are_shown_and_not_obeyed() -> None:
    assert escape('<img src=x onerror="1">') == "&lt;img src=x onerror=&quot;1&quot;&gt;"
    assert plain("![x](http://e/x.png) **b** :red[r] $x$").count("\\") >= 12
    assert "[" not in plain("[a](b)").replace("\\[", "")


def test_server_is_told_to_stay_here_and_silent(monkeypatch) -> None:
    monkeypatch.setenv(config.HOSTS, "assay.example.org, ")
    flags = config.flags(server_port=1234)
    for wanted in (
        "--server.address=127.0.0.1",
        "--browser.gatherUsageStats=false",
        "--client.toolbarMode=minimal",
        "--server.port=1234",
    ):
        assert wanted in flags
    named = [one.partition("=")[2] for one in flags if one.startswith("--server.allowedHosts=")]
    assert named == ["localhost", "127.0.0.1", "::1", "assay.example.org"]


def test_no_heavy_library_in_the_process_of_the_app() -> None:
    code = (
        "import sys; from app.screens import screens; screens(); from explainers import registry, figures;"
        "registry.methods(); registry.checks(); from model_zoo import catalogue; catalogue.cards();"
        "from app.reports import report; from model_zoo import opening; opening.formats();"
        "heavy = 'torch captum shap lime onnx keras transformers timm skops h5py'.split();"
        "print([one for one in heavy if one in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_the_screen_does_not_read_the_whole_input_again_to_know_that_it_is_there(runtime, monkeypatch) -> None:
    at = open_screen("explain")
    monkeypatch.setattr(runtime, "read", None)
    assert not at.run().exception
    assert "75 %" in html(at)


def test_what_did_not_load_is_told_among_the_models(monkeypatch: pytest.MonkeyPatch, runtime) -> None:
    monkeypatch.setattr(opening, "broken", lambda: (Broken("coreml", "ImportError: no <coreml>"),))
    monkeypatch.setattr(registry, "broken", lambda: (Broken("magic", "SyntaxError: line 3"),))
    said = html(open_screen("models"))
    assert "The reader of model files coreml did not load: ImportError: no &lt;coreml&gt;" in said
    assert "The method or check magic did not load: SyntaxError: line 3" in said
    assert broken.sentences()[0] in doctor._host(runtime.host())
