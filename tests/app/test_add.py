"""Bringing one's own model: the drop zone, what was found, the form, and what goes wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import fake_runtime
import pytest
from streamlit.testing.v1 import AppTest
from visiting import ME, html, open_screen

from app.backend import shared
from app.components import receiving
from model_zoo import facts as cards
from model_zoo.facts import Facts
from model_zoo.files import Reading
from model_zoo.types import Column, UserError

NAMES = "daisy, dandelion, rose, sunflower, tulip, iris, lily"
HOSTILE = '<img src=x onerror="alert(1)">.pth'
ROWS = b"age,job\n31,clerk\n40,farmer\n"
TOKENIZER = json.dumps({"model": {"type": "WordPiece", "vocab": {"a": 0, "b": 1}}}).encode()


def drop(name: str = "flowers.pth", data: bytes = b"weights", **query: str) -> AppTest:
    at = open_screen("add", **query)
    at.file_uploader(key="drop/model/0").upload(name, data, "application/octet-stream").run()
    assert not at.exception
    return at


def use(at: AppTest) -> AppTest:
    at.button(key="act/use").click().run()
    assert not at.exception
    return at


def only(runtime: Any) -> str:
    (id,) = runtime.kept
    return id


def field(runtime: Any, name: str) -> str:
    return f"facts/{only(runtime)}/{name}"


def test_the_invitation_says_limits_and_formats(runtime) -> None:
    at = open_screen("add")
    assert at.file_uploader[0].label == "Drop a model file here, up to 4 GiB"
    assert not at.file_uploader[0].proto.type, "no ending is refused: bytes decide"
    assert "What opens" in html(at)
    assert not at.text_input, "no folder of the server was named"


def test_a_file_is_read_and_what_was_found_is_said(runtime) -> None:
    at = drop(HOSTILE)
    said = html(at)
    assert "ResNet-18 of torchvision, 11.2 million parameters, 7 classes" in said
    assert "&lt;img src=x" in said
    assert "<img src=x" not in said
    assert "The prefix &lt;module.&gt; was taken off." in said
    assert "No names yet for its 7 classes" in said
    assert "".join(at.query_params["upload"]) == only(runtime)
    assert at.selectbox(key=field(runtime, "normalisation")).value == "imagenet"
    assert not [one for one in at.file_uploader if one.label.startswith("Drop")]


def test_the_form_describes_the_model_and_it_is_chosen(runtime) -> None:
    at = drop()
    at.text_area(key=field(runtime, "labels")).set_value(NAMES).run()
    assert "7 names for 7 classes" in html(at)
    at.number_input(key=field(runtime, "height")).set_value(192).run()
    at.selectbox(key=field(runtime, "normalisation")).set_value("minus-one-one").run()
    at.selectbox(key=field(runtime, "crop")).set_value("0.0").run()
    use(at)
    (facts,) = runtime.described
    assert facts.labels == tuple(NAMES.split(", "))
    assert (facts.size, facts.mean, facts.std, facts.scale) == ((192, 224), (0.5,) * 3, (0.5,) * 3, 1.0)
    assert (facts.crop, facts.channels, facts.order, facts.modality) == (0.0, 3, "RGB", "image")
    chosen = at.session_state["selection"]
    assert chosen.model == only(runtime)
    assert chosen.input == "", "a model of flowers is not to judge a cup of coffee"
    explain = open_screen("explain", state={"selection": chosen})
    assert "Give flowers a photo" in html(explain)
    assert [one.label for one in explain.button if one.key == "own-model"] == ["Your own model"]
    assert explain.radio(key="model").options[0] == "flowers"


def test_a_wrong_number_of_names_is_a_sentence_and_nothing_is_lost(runtime) -> None:
    at = drop()
    at.text_area(key=field(runtime, "labels")).set_value("daisy, rose").run()
    assert "7 names are expected, one for each class that it tells apart; 2 came." in html(at)
    use(at)
    assert not runtime.described
    assert html(at).count("7 names are expected") == 2, "below the names and above the button"
    assert at.text_area(key=field(runtime, "labels")).value == "daisy, rose"


def test_what_describing_refuses_stands_above_the_button(runtime) -> None:
    at = drop()
    at.text_area(key=field(runtime, "labels")).set_value(NAMES).run()
    runtime.refuse_facts = "The model <failed> on a picture of 224 × 224."
    use(at)
    assert "The model &lt;failed&gt; on a picture" in html(at)
    assert at.text_area(key=field(runtime, "labels")).value == NAMES
    runtime.refuse_facts = ""
    use(at)
    assert len(runtime.described) == 1


def test_what_was_typed_outlives_another_screen(runtime) -> None:
    at = drop()
    at.text_area(key=field(runtime, "labels")).set_value(NAMES).run()
    id = only(runtime)
    at.button(key="act/another").click().run()
    at.button(key=f"act/go-on/{id}").click().run()
    assert at.text_area(key=field(runtime, "labels")).value == NAMES


def test_what_was_typed_outlives_a_refresh_and_nobody_else_sees_it(runtime) -> None:
    at = drop()
    at.text_area(key=field(runtime, "labels")).set_value(NAMES).run()
    at.number_input(key=field(runtime, "height")).set_value(96).run()
    again = open_screen("add", upload=only(runtime))
    assert again.text_area(key=field(runtime, "labels")).value == NAMES
    assert again.number_input(key=field(runtime, "height")).value == 96
    assert "7 names for 7 classes" in html(again)
    assert not shared().draft("somebody else", only(runtime))
    use(again)
    assert runtime.described[0].size == (96, 224)
    assert not shared().draft(ME, only(runtime)), "what was said is kept with the model from here on"


def test_an_address_finds_the_form_again_and_a_stranger_s_does_not(runtime) -> None:
    drop()
    again = open_screen("add", upload=only(runtime))
    assert "ResNet-18 of torchvision" in html(again)
    runtime.kept = {id: replace(one, owner="somebody else") for id, one in runtime.kept.items()}
    other = open_screen("add", upload=only(runtime))
    assert "belongs to somebody else" in html(other)
    other.button(key="add-another").click().run()
    assert other.file_uploader(key="drop/model/0")


def test_what_is_guessed_is_marked_until_its_owner_says_it(runtime) -> None:
    said = replace(fake_runtime.RESNET, assumed=("mean", "std", "crop", "resample"))
    runtime.reading = said
    at = drop()
    assert "Please check what was guessed, since the file does not say it: how pixels become numbers;" in html(at)
    assert "The file does not say how pictures are normalised" in html(at)
    assert at.selectbox(key=field(runtime, "normalisation")).label == "How pixels become numbers (guessed)"
    assert at.number_input(key=field(runtime, "height")).label == "Height in pixels"
    use(at)
    again = open_screen("add", upload=only(runtime))
    assert "guessed" not in html(again)
    assert again.selectbox(key=field(runtime, "normalisation")).label == "How pixels become numbers"


def test_an_ambiguous_file_is_a_choice_with_reasons(runtime) -> None:
    runtime.reading = replace(fake_runtime.RESNET, choices=fake_runtime.AMBIGUOUS)
    at = drop()
    choice = at.radio(key=field(runtime, "architecture"))
    assert not choice.proto.captions, "reasons are folded away"
    assert "<b>ResNet-18 of torchvision</b>: every name and shape fits" in html(at)
    assert "ResNet-18 of &lt;timm&gt;" in html(at)
    choice.set_value("timm/resnet18").run()
    use(at)
    assert runtime.described[0].architecture == "timm/resnet18"


def test_a_file_that_does_not_tell_its_architecture_is_not_opened_until_one_is_chosen(runtime) -> None:
    runtime.reading = replace(
        fake_runtime.RESNET, choices=fake_runtime.AMBIGUOUS, uncertain=True, required=("architecture",)
    )
    at = drop()
    assert at.radio(key=field(runtime, "architecture")).value is None
    use(at)
    assert runtime.described == []
    assert "Several networks fit these weights" in html(at)
    at.radio(key=field(runtime, "architecture")).set_value("torchvision/resnet18").run()
    at.run()
    use(at)
    assert runtime.described[0].architecture == "torchvision/resnet18"


def test_a_file_dropped_just_as_the_form_went_away_changes_nothing(runtime) -> None:
    receiving._act("nothing/labels", lambda data, name: pytest.fail("there is no file"))


def test_a_refused_file_can_be_removed_and_leads_nowhere(runtime) -> None:
    drop("whole.pt")
    id = only(runtime)
    runtime.kept[id] = replace(runtime.kept[id], problem="whole.pt is a <pickle>; save it so:\n    torch.save(x, 'y')")
    at = open_screen("models")
    assert "It could not be opened: whole.pt is a &lt;pickle&gt;" in html(at)
    assert '<pre class="as-code"><code>torch.save(x, &#x27;y&#x27;)</code></pre>' in html(at)
    assert "not described yet" not in html(at)
    assert not [one for one in at.button if one.label == "Go on"]
    assert not [one for one in open_screen("add").button if one.label == "Go on"]
    at.button(key=f"act/remove/{id}").click().run()
    at.button(key=f"act/removed/{id}").click().run()
    assert not runtime.kept


def test_the_same_bytes_by_another_name_are_said_to_be_there(runtime, monkeypatch) -> None:
    at = drop("flowers.pth")
    first = runtime.kept[only(runtime)]
    monkeypatch.setattr(runtime, "receive", lambda file, name, owner: first)
    at = drop("blossoms.pth")
    assert "You already have this file, as flowers." in html(at)


def test_a_problem_of_the_first_run_stands_beside_the_form(runtime) -> None:
    runtime.reading = replace(fake_runtime.RESNET, problem="It takes <1> channel.", outputs=None)
    at = drop()
    assert "It takes &lt;1&gt; channel." in html(at)
    at.button_group(key=field(runtime, "colours")).set_value("grey").run()
    use(at)
    assert (runtime.described[0].channels, len(runtime.described[0].mean)) == (1, 1)


def test_a_file_that_cannot_be_opened_is_a_sentence(runtime) -> None:
    runtime.reading = "evil.pkl is a pickle, which runs code: save it with torch.save(model.state_dict(), path)."
    at = drop("evil.pkl")
    assert "which runs code" in html(at)
    at.button(key="act/another").click().run()
    assert at.file_uploader(key="drop/model/1"), "a zone of its own, since the first one let go of its file"


def test_a_full_workspace_is_a_sentence_and_the_zone_stays(runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self, file, name, owner):
        raise UserError("There is no room for <this>.")

    monkeypatch.setattr(type(runtime), "receive", full)
    at = drop()
    assert "There is no room for &lt;this&gt;." in html(at)
    assert at.file_uploader(key="drop/model/1")


def test_own_numbers_of_a_normalisation(runtime) -> None:
    at = drop()
    at.selectbox(key=field(runtime, "normalisation")).set_value("other").run()
    at.text_input(key=field(runtime, "mean")).set_value("0.1, 0.2").run()
    use(at)
    assert "The mean is expected to be 3 numbers" in html(at)
    at.text_input(key=field(runtime, "mean")).set_value("0.1, 0.2, 0.3").run()
    at.text_input(key=field(runtime, "std")).set_value("0").run()
    use(at)
    assert "so it is not 0" in html(at)
    at.text_input(key=field(runtime, "std")).set_value("2").run()
    use(at)
    assert (runtime.described[0].mean, runtime.described[0].std) == ((0.1, 0.2, 0.3), (2.0, 2.0, 2.0))


def test_names_from_a_file_and_imagenet_s(runtime) -> None:
    runtime.reading = replace(fake_runtime.RESNET, outputs=1000)
    at = drop()
    id = only(runtime)
    at.file_uploader(key=f"drop/{id}/labels/0").upload("names.json", b'{"broken": 7}', "application/json").run()
    assert "is not a list of class names" in html(at)
    at.file_uploader(key=f"drop/{id}/labels/1").upload("names.txt", b"cat\ndog\n", "text/plain").run()
    assert at.text_area(key=field(runtime, "labels")).value == "cat\ndog"
    at.button(key=f"act/{id}/imagenet").click().run()
    use(at)
    assert len(runtime.described[0].labels) == 1000


def test_one_output_asks_what_it_means(runtime) -> None:
    runtime.reading = replace(fake_runtime.RESNET, outputs=1)
    at = drop()
    meaning = at.radio(key=field(runtime, "meaning"))
    assert meaning.value == "values"
    at.text_input(key=field(runtime, "unit")).set_value("US$").run()
    use(at)
    assert (runtime.described[0].task, runtime.described[0].unit) == ("regression", "US$")
    again = open_screen("add", upload=only(runtime))
    again.radio(key=field(runtime, "meaning")).set_value("second-logit").run()
    again.text_area(key=field(runtime, "labels")).set_value("no, yes").run()
    assert "2 names for 2 classes" in html(again)
    use(again)
    assert (runtime.described[1].task, runtime.described[1].output) == ("binary", "logit")
    assert runtime.described[1].labels == ("no", "yes")


def test_a_model_of_unknown_input_asks_for_it_first(runtime) -> None:
    runtime.reading = Reading("torchscript", "TorchScript", "A script", Facts(), required=("modality",))
    at = drop()
    use(at)
    assert "Say what it takes" in html(at)
    at.button_group(key=field(runtime, "modality")).set_value("tabular").run()
    assert at.text_area(key=field(runtime, "features"))
    at.button_group(key=field(runtime, "modality")).set_value("image").run()
    assert at.selectbox(key=field(runtime, "normalisation")).value == "imagenet"


def test_a_table_s_columns_come_from_a_csv(runtime) -> None:
    runtime.reading = Reading("torchscript", "TorchScript", "A script", Facts(modality="tabular"), outputs=7)
    at = drop()
    id = only(runtime)
    at.file_uploader(key=f"drop/{id}/rows/0").upload("rows.csv", b"1,2\n3,4\n", "text/csv").run()
    assert "begins with a row of numbers" in html(at)
    at.file_uploader(key=f"drop/{id}/rows/1").upload("rows.csv", ROWS, "text/csv").run()
    assert at.multiselect(key=field(runtime, "taken")).value == ["age", "job"]
    assert at.dataframe[0].value["Values"].tolist() == ["31 to 40", "clerk, farmer"]
    use(at)
    (facts,) = runtime.described
    assert [one.kind for one in facts.columns] == ["number", "category"]
    assert facts.background == "age,job\n31,clerk\n40,farmer\n"
    data, name = runtime.read(at.session_state["selection"].input)
    assert (json.loads(data), name) == ({"age": "31", "job": "clerk"}, "first row")


def test_a_table_s_features_by_name_or_number(runtime) -> None:
    runtime.reading = Reading("x", "X", "A booster", Facts(modality="tabular", columns=(Column("a"), Column("b"))))
    at = drop()
    assert at.text_area(key=field(runtime, "features")).value == "a\nb"
    at.text_area(key=field(runtime, "features")).set_value("3").run()
    use(at)
    assert [one.name for one in runtime.described[0].columns] == ["feature 0", "feature 1", "feature 2"]


def test_a_text_model_asks_for_its_tokenizer(runtime) -> None:
    runtime.reading = Reading("x", "X", "A BERT", Facts(modality="text"), required=("tokenizer",))
    at = drop()
    use(at)
    assert "The tokenizer is missing" in html(at)
    id = only(runtime)
    at.file_uploader(key=f"drop/{id}/tokenizer/0").upload("vocab.txt", b"a\nb\n", "text/plain").run()
    assert "vocab.txt is not a tokenizer.json" in html(at)
    at.file_uploader(key=f"drop/{id}/tokenizer/1").upload("tokenizer.json", TOKENIZER, "application/json").run()
    assert "WordPiece, 2 tokens" in html(at)
    use(at)
    assert runtime.described[0].tokenizer == TOKENIZER.decode()
    assert runtime.read(at.session_state["selection"].input)[0], "an example sentence to begin with"


def test_a_card_fills_the_form_in_and_comes_out_of_it(runtime) -> None:
    card = Facts(modality="image", size=(96, 96), channels=1, mean=(0.3,), std=(0.2,), labels=tuple("abcdefg"))
    at = drop()
    id = only(runtime)
    at.file_uploader(key=f"drop/{id}/card/0").upload("bad.json", b"{}", "application/json").run()
    assert "bad.json is not a model card" in html(at)
    at.file_uploader(key=f"drop/{id}/card/1").upload("card.json", card.dump().encode(), "application/json").run()
    assert at.number_input(key=field(runtime, "height")).value == 96
    assert at.button_group(key=field(runtime, "colours")).value == "grey"
    use(at)
    said = runtime.described[0]
    assert cards.parse(said.dump()) == said
    assert (said.size, said.channels, said.mean, said.labels) == (card.size, 1, (0.3,), card.labels)


def test_a_file_on_the_server(runtime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_MODELS", "/srv/models")
    at = open_screen("add")
    at.text_input(key="server-path").set_value("/nowhere/x.pt")
    next(one for one in at.button if one.label == "Open it").click().run()
    assert "There is no file &#x27;/nowhere/x.pt&#x27;" in html(at)
    at.text_input(key="server-path").set_value("/srv/models/resnet.pt")
    next(one for one in at.button if one.label == "Open it").click().run()
    assert runtime.kept[only(runtime)].path == "/srv/models/resnet.pt"
    assert "ResNet-18 of torchvision" in html(at)


def test_a_machine_without_a_sandbox_says_so(runtime) -> None:
    runtime.machine = fake_runtime.OPEN
    for screen in ("add", "models"):
        said = html(open_screen(screen))
        assert "only data formats are opened" in said
        assert "This &lt;system&gt; has no Landlock." in said
    assert "only data formats" not in html(open_screen("explain")), "bundled models are no stranger's"


def test_reading_takes_its_time_and_the_screen_says_so(runtime) -> None:
    runtime.ready.clear()
    at = drop()
    assert "Reading flowers.pth …" in html(at)
    runtime.ready.set()
    at.run()
    assert "ResNet-18 of torchvision" in html(at)


def test_an_address_with_somebody_else_s_model_is_a_sentence(runtime) -> None:
    upload = runtime._keep("theirs.pth", "somebody else", b"x")
    runtime.kept[upload.id] = replace(upload, card=fake_runtime.made_up_card(upload.id, Facts(), "theirs"))
    input = runtime.put(b"secret", "secret.png", "somebody else")
    at = open_screen("explain", model=upload.id, input=input)
    assert "not among yours" in html(at)
    assert "75 %" in html(at), "a bundled model is shown instead"
    assert "theirs" not in html(at)
    assert ME not in html(at)
    assert "not among yours" in html(open_screen("doctor", model=upload.id))
