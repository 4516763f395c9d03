"""One's own models and inputs on the Models screen: listed, renamed, taken away, removed."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from visiting import ME, html, open_screen

from app import saying
from app.components import inputs
from model_zoo.facts import Facts, parse
from model_zoo.types import Column

COLUMNS = Facts(modality="tabular")


def own(runtime: Any, name: str = "flowers.pth", owner: str = ME) -> str:
    upload = runtime._keep(name, owner, name.encode())
    runtime.inspect(upload.id, owner)
    runtime.describe(upload.id, owner, Facts(modality="image", labels=tuple("abcdefg")))
    return upload.id


def test_nothing_yet_is_an_invitation(runtime) -> None:
    at = open_screen("models")
    assert "You have not brought a model yet" in html(at)
    assert [one.label for one in at.button] == ["Add your own model"]


def test_own_models_stand_first_with_what_they_are(runtime) -> None:
    own(runtime, "<b>flowers.pth")
    own(runtime, "theirs.pth", "somebody else")
    said = html(open_screen("models"))
    assert "&lt;b&gt;flowers" in said
    assert "<b><b>flowers" not in said
    assert "ResNet-18 of torchvision, 11.2 million parameters, 7 classes · 14 bytes · 02 Jan 2026" in said
    assert "theirs" not in said
    assert said.index("Your models") < said.index("Image, bundled")
    assert "14 bytes of 10 GiB used" in said


def test_rename_card_and_removal_that_asks_once(runtime) -> None:
    id = own(runtime)
    at = open_screen("models")
    at.text_input(key=f"rename/{id}").set_value("  Garden   flowers ").run()
    assert runtime.kept[id].title == "Garden flowers"
    (card,) = at.get("download_button")
    assert card.label == "Save its card"
    assert parse(runtime.kept[id].facts.dump()).labels == tuple("abcdefg")
    at.button(key=f"act/remove/{id}").click().run()
    assert "Remove the model Garden flowers from the workspace?" in html(at)
    at.button(key=f"act/kept/{id}").click().run()
    assert id in runtime.kept
    at.button(key=f"act/remove/{id}").click().run()
    at.button(key=f"act/removed/{id}").click().run()
    assert not runtime.kept
    assert "You have not brought a model yet" in html(at)


def test_explain_edit_and_check_up_from_the_list(runtime) -> None:
    id = own(runtime)
    at = open_screen("models")
    at.button(key=f"act/explain/{id}").click().run()
    assert at.session_state["selection"].model == id
    at.button(key=f"act/edit/{id}").click().run()
    assert at.session_state["adding"] == id
    at.button(key=f"act/doctor/{id}").click().run()
    assert at.session_state["examined"] == id
    form = open_screen("add", state={"adding": id})
    assert form.text_area(key=f"facts/{id}/labels").value == "\n".join("abcdefg"), "what was said is there again"


def test_a_shared_workspace_says_so_and_leaves_others_theirs(runtime) -> None:
    runtime.shared = True
    theirs = own(runtime, "theirs.pth", "somebody else")
    at = open_screen("models")
    assert "This workspace is shared" in html(at)
    assert at.button(key=f"act/explain/{theirs}")
    assert not [one for one in at.button if one.key == f"act/remove/{theirs}"]


def test_an_unfinished_one_goes_on(runtime) -> None:
    upload = runtime._keep("half.pth", ME, b"half")
    at = open_screen("models")
    assert "not described yet" in html(at)
    at.button(key=f"act/go-on/{upload.id}").click().run()
    assert at.session_state["adding"] == upload.id
    assert "half" not in html(open_screen("explain")), "it cannot be chosen yet"


def test_inputs_are_opened_renamed_and_removed(runtime) -> None:
    photo = runtime.put(b"photo", "<i>me.png", ME)
    rows = runtime.put(b"Age\n3\n", "rows.csv", ME)
    record = runtime.put(b"PK", "run.assay", ME)
    runtime.put(b"photo of theirs", "theirs.png", "somebody else")
    at = open_screen("models")
    said = html(at)
    assert "&lt;i&gt;me.png" in said
    assert "theirs.png" not in said
    at.button(key=f"act/use/{photo}").click().run()
    assert at.session_state["selection"].input == photo
    at.button(key=f"act/use/{rows}").click().run()
    assert at.session_state["csv"] == (rows, "rows.csv")
    assert runtime.card(at.session_state["selection"].model).modality == "tabular"
    at.button(key=f"act/use/{record}").click().run()
    assert at.session_state["runs-open"] == ("record", record)
    at.text_input(key=f"rename/{photo}").set_value("portrait.png").run()
    assert runtime.inputs[photo].name == "portrait.png"
    at.button(key=f"act/remove/{photo}").click().run()
    at.button(key=f"act/removed/{photo}").click().run()
    assert photo not in runtime.inputs


def test_an_own_model_begins_without_an_input(runtime) -> None:
    id = own(runtime)
    at = open_screen("explain", model=id)
    assert "Give flowers a photo" in html(at)
    assert at.query_params.get("input") is None
    assert not [one for one in at.button if one.key == "run"], "nothing is predicted yet"
    assert [one.label for one in at.file_uploader] == ["Choose a photo of your own"]
    at.file_uploader(key="upload-first").upload("rose.jpg", b"a photo", "image/jpeg").run()
    assert "75 %" in html(at)
    assert at.session_state["selection"].name == "rose.jpg"
    assert at.button(key="run")
    again = open_screen("explain", model="efficientnet_lite0")
    assert again.query_params["input"], "a bundled model has an example"
    again.radio(key="model").set_value(id).run()
    assert "Give flowers a photo" in html(again), "the example was not made for it"


def test_imagenet_s_names_know_the_examples(runtime) -> None:
    upload = runtime._keep("net.pth", ME, b"net")
    card = runtime.describe(upload.id, ME, Facts(modality="image", labels=saying.imagenet()))
    assert inputs.familiar(card)


def test_a_table_of_one_s_own_begins_with_a_row(runtime) -> None:
    upload = runtime._keep("trees.json", ME, b"trees")
    facts = replace(COLUMNS, columns=(Column("age", low=20.0, high=60.0),))
    runtime.describe(upload.id, ME, facts)
    empty = open_screen("explain", model=upload.id)
    assert f"Give {upload.title} a row" in html(empty)
    assert [one.label for one in empty.number_input] == ["age"]
    runtime.describe(upload.id, ME, replace(facts, background="age\n40\n"))
    at = open_screen("models")
    at.button(key=f"act/explain/{upload.id}").click().run()
    assert json.loads(runtime.read(at.session_state["selection"].input)[0]) == {"age": "40"}
    explain = open_screen("explain", state={"selection": at.session_state["selection"]})
    assert explain.radio(key="model").value == upload.id
    assert not [one for one in explain.button if str(one.key).startswith("example-")], "no bundled row has its columns"


def test_the_check_up_says_what_was_found(runtime) -> None:
    id = own(runtime)
    at = open_screen("doctor", state={"examined": id})
    said = html(at)
    assert "flowers can be explained by 2 methods; 1 thing to know" in said
    for one in (
        "one float32 array (3, 224, 224); batches of any size",
        "11,180,103, 42.6 MiB with buffers",
        "31 ms forward, 80 ms with the gradient",
        "They <b>reach</b> the input.",
        "One &lt;ReLU&gt; is used twice. <b>Repair</b>: It was split; outputs are equal.",
        "on &lt;layer4&gt;",
        "It needs an ensemble of decision &lt;trees&gt;.",
        "Basic&lt;Block&gt;",
        "1 do not apply",
    ):
        assert one in said, one
    assert "".join(at.query_params["model"]) == id
    at.button(key="act/edit").click().run()
    assert at.session_state["adding"] == id


def test_the_check_up_of_a_model_that_fails_is_a_sentence(runtime) -> None:
    runtime.refuse = "It returned <nothing>."
    at = open_screen("doctor")
    assert "could not be examined" in html(at)
    assert "It returned &lt;nothing&gt;." in html(at)
    runtime.refuse = ""
    at.button(key="act/again").click().run()
    assert "can be explained by" in html(at)


def test_another_model_and_a_made_up_input(runtime) -> None:
    at = open_screen("doctor")
    first = at.selectbox(key="doctor/model").value
    at.selectbox(key="doctor/model").set_value("squeezenet").run()
    assert "SqueezeNet 1.1 can be explained" in html(at)
    assert first != "squeezenet"
    at.selectbox(key="doctor/input/squeezenet").set_value("made-up").run()
    assert not at.exception
