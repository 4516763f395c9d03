"""wrap(): every kind of network, what is learnt from running it, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor
from sklearn.linear_model import LogisticRegression
from torch import nn

from explainers import explain
from model_zoo import wrap
from model_zoo.types import Capability, Column, UserError

X = np.random.default_rng(0).normal(size=(60, 3))
Y = (X[:, 0] + X[:, 1] > 0).astype(int)
W = np.array([[1.0, -2.0, 3.0], [0.5, 0.1, -0.7]])


def linear(outputs: int, dtype: torch.dtype = torch.float32) -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(3, outputs, dtype=dtype)


# -- modules -----------------------------------------------------------------------------------------------------


def test_a_module_scores_as_it_does_alone_and_stays_as_it_was():
    network = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.5), nn.Linear(8, 2)).train()
    before = {name: one.clone() for name, one in network.state_dict().items()}
    model = wrap(network, feature_names=["a", "b", "c"])
    sample = model.sample([1, 2, 3])
    found = model.predict(sample)
    assert all(part.training for part in network.modules())
    assert all(one.requires_grad and one.grad is None for one in network.parameters())
    assert not any(part._forward_hooks for part in network.modules())
    assert all(torch.equal(before[name], one) for name, one in network.state_dict().items())
    with torch.no_grad():
        alone = network.eval()(torch.tensor([[1.0, 2.0, 3.0]]))[0]
    np.testing.assert_allclose(found.raw, alone, rtol=1e-6)
    np.testing.assert_allclose(found.probabilities, alone.softmax(0), rtol=1e-5)
    assert model.can == Capability.GRADIENTS
    assert model.card.labels == ("class 0", "class 1")
    assert [cell.name for cell in sample.view.cells] == ["a", "b", "c"]


def test_a_prediction_is_asked_with_what_a_person_gives():
    network = torch.nn.Linear(3, 2)
    model = wrap(network, background=np.zeros((2, 3)))
    expected = network(torch.tensor([[1.0, 2.0, 3.0]])).detach().numpy()[0]
    np.testing.assert_allclose(model.predict([1.0, 2.0, 3.0]).raw, expected, atol=1e-6)
    np.testing.assert_allclose(model.predict(model.sample([1.0, 2.0, 3.0])).raw, expected, atol=1e-6)


def test_a_float64_module_keeps_every_bit():
    network = linear(2, torch.float64)
    model = wrap(network)
    x = np.array([0.1, 0.2, 0.3])
    assert model.sample(x).x.dtype == np.float64
    with torch.no_grad():
        np.testing.assert_array_equal(model.predict(model.sample(x)).raw, network(torch.tensor(x)).numpy())


@pytest.mark.parametrize("known", [{"feature_names": ["a", "b", "c"]}, {"background": X}, {}])
def test_one_column_is_a_regression_unless_said_to_be_binary(known):
    model = wrap(linear(1), **known)
    assert (model.card.task, model.card.output, model.card.labels) == ("regression", "value", ("value",))
    binary = wrap(linear(1), task="binary", class_names=["no", "yes"], **known)
    assert (binary.card.task, binary.card.output, binary.card.labels) == ("binary", "logit", ("no", "yes"))
    found = binary.predict(binary.sample([1, 2, 3]))
    assert found.probabilities[1] == pytest.approx(1 / (1 + np.exp(-found.raw[0])))


def test_the_width_is_learnt_from_the_first_sample_where_nothing_tells_it():
    model = wrap(lambda x: x @ torch.tensor(W.T, dtype=x.dtype))
    assert model.card.labels == ()
    sample = model.sample([1.0, 2.0, 3.0])
    assert model.card.labels == ("class 0", "class 1")
    np.testing.assert_allclose(model.predict(sample).raw, W @ [1, 2, 3])


def test_probabilities_are_recognised_and_logits_believed_when_said():
    network = nn.Sequential(linear(3), nn.Softmax(-1))
    assert wrap(network).card.output == "probability"
    assert wrap(network, output="logit").card.output == "logit"
    assert wrap(linear(3)).card.output == "logit"


def test_digest_names_the_weights():
    one, same, other = linear(2), linear(2), linear(3)
    assert wrap(one).card.digest == wrap(same).card.digest != wrap(other).card.digest
    assert wrap(one).card.digest.startswith("sha256:")
    assert wrap(lambda x: x).card.digest == ""


# -- callables ---------------------------------------------------------------------------------------------------


def numbers(x):
    return np.tanh(np.asarray(x)) @ W.T


def float32_only(x):
    return x @ torch.tensor(W.T, dtype=torch.float32)


def frozen(x):
    with torch.no_grad():
        return torch.stack([x[:, 0], x.sum(1)], 1)


@pytest.mark.parametrize(
    ("network", "gradients", "answer"),
    [
        (numbers, False, W @ np.tanh([1, 2, 3])),
        (float32_only, True, W @ [1, 2, 3]),
        (frozen, False, [1, 6]),
        (lambda x: x * 2, True, [2, 4, 6]),
        (lambda x: x[:, 0] ** 2, True, [1]),
    ],
    ids=["arrays", "float32", "no gradient", "both", "one dimension"],
)
@pytest.mark.parametrize("known", [{"background": X}, {}])
def test_a_callable_is_called_as_it_can_be(network, gradients, answer, known):
    model = wrap(network, **known)
    found = model.predict(model.sample([1.0, 2.0, 3.0]))
    assert (Capability.GRADIENTS in model.can) == gradients
    np.testing.assert_allclose(found.raw, answer, rtol=1e-6)


# -- estimators --------------------------------------------------------------------------------------------------


def xgboost_classifier():
    from xgboost import XGBClassifier

    return XGBClassifier(n_estimators=5, max_depth=2, n_jobs=1)


@pytest.mark.parametrize(
    "make",
    [
        lambda: RandomForestClassifier(5, random_state=0),
        lambda: GradientBoostingClassifier(n_estimators=5),
        xgboost_classifier,
        LogisticRegression,
    ],
    ids=["forest", "boosting", "xgboost", "logistic"],
)
@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("table", [False, True])
def test_a_classifier_gives_its_probabilities(make, classes, table):
    import pandas as pd

    y = Y if classes == 2 else Y + (X[:, 2] > 0.5)
    rows = pd.DataFrame(X, columns=["a", "b", "c"]) if table else X
    estimator = make().fit(rows, y)
    model = wrap(estimator, background=X[:10])
    sample = model.sample(X[3])
    np.testing.assert_allclose(model.predict(sample).probabilities, estimator.predict_proba(rows[3:4])[0], atol=1e-6)
    trees = not isinstance(estimator, LogisticRegression)
    assert (Capability.TREES in model.can, model.trees is estimator) == (trees, trees)
    assert Capability.GRADIENTS not in model.can
    assert model.card.output == "probability"
    assert model.card.labels == tuple(f"class {one}" for one in range(classes))
    assert [column.name for column in model.card.columns] == (
        ["a", "b", "c"] if table else ["feature 0", "feature 1", "feature 2"]
    )


def test_a_margin_is_given_for_logits_where_there_is_one():
    estimator = GradientBoostingClassifier(n_estimators=5).fit(X, Y)
    model = wrap(estimator, output="logit")
    assert model.predict(model.sample(X[0])).raw == pytest.approx(estimator.decision_function(X[:1]))
    boosted = xgboost_classifier().fit(X, Y)
    model = wrap(boosted, output="logit")
    assert model.predict(model.sample(X[0])).raw == pytest.approx(boosted.predict(X[:1], output_margin=True), rel=1e-6)
    with pytest.raises(UserError, match="gives probabilities and no logits"):
        wrap(RandomForestClassifier(3).fit(X, Y), output="logit")


def test_boosters_regressors_and_methods():
    import xgboost

    booster = xgboost.train({"objective": "binary:logistic", "max_depth": 2}, xgboost.DMatrix(X, Y), 5)
    model = wrap(booster)
    assert (model.card.task, model.card.output, model.trees) == ("binary", "probability", booster)
    assert model.predict(model.sample(X[0])).raw == pytest.approx(booster.predict(xgboost.DMatrix(X[:1])))
    forest = RandomForestRegressor(5, random_state=0).fit(X, X[:, 0])
    model = wrap(forest)
    assert (model.card.task, Capability.TREES in model.can) == ("regression", True)
    assert model.predict(model.sample(X[0])).raw == pytest.approx(forest.predict(X[:1]))
    logistic = LogisticRegression().fit(X, Y)
    model = wrap(logistic.predict_proba, class_names=["no", "yes"])
    assert (model.card.output, model.can, len(model.card.columns)) == ("probability", Capability.NONE, 3)
    words = LogisticRegression().fit(X, np.where(Y, "yes", "no"))
    assert wrap(words).card.labels == ("no", "yes")


# -- images ------------------------------------------------------------------------------------------------------


def pictures(channels: int) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    )


@pytest.mark.parametrize("channels", [1, 3, 5])
def test_an_image_model_takes_floats_as_they_are(channels):
    model = wrap(pictures(channels), modality="image")
    x = np.random.default_rng(1).normal(size=(channels, 9, 7)).astype(np.float32)
    sample = model.sample(x)
    np.testing.assert_array_equal(sample.x, x)
    assert model.can == Capability.GRADIENTS | Capability.SPATIAL
    assert model.predict(sample).probabilities.shape == (5,)
    assert model.input.players(sample, "segments").owner.shape == (9, 7)


def test_photos_become_shares_of_white():
    model = wrap(pictures(3), modality="image", size=(8, 8))
    photo = np.random.default_rng(2).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    np.testing.assert_allclose(model.sample(photo).x, photo.transpose(2, 0, 1) / 255, rtol=1e-6)
    grey = wrap(pictures(1), modality="image").sample(photo[..., 0]).x
    np.testing.assert_allclose(grey, photo[None, ..., 0] / 255, rtol=1e-6)


# -- texts -------------------------------------------------------------------------------------------------------


class Bag(nn.Module):
    """Logits from the mean of token vectors and position vectors."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.words, self.places = nn.Embedding(20, 4), nn.Embedding(64, 4)
        self.head = nn.Linear(4, 2)

    def forward(self, ids):
        places = torch.arange(ids.shape[1])
        return self.head((self.words(ids) + self.places(places)).mean(1))


def test_the_embedding_of_ids_is_found_among_others():
    network = Bag()
    model = wrap(network, modality="text")
    sample = model.sample(np.array([3, 4, 5]))
    assert model.embedding is network.words
    assert model.can == Capability.EMBEDDINGS | Capability.GRADIENTS
    with torch.no_grad():
        ids = model.tensor(sample.x[None])
        entry = model.entry(ids)
        torch.testing.assert_close(model.forward_entry(entry, ids), network(ids))
        moved = model.forward_entry(entry + 1, ids)
        expected = network.head((network.words(ids) + 1 + network.places(torch.arange(3))).mean(1))
    torch.testing.assert_close(moved, expected)
    assert wrap(network, modality="text", embedding="words").embedding is network.words
    with pytest.raises(UserError, match=r"there is no 'word'\. The network's nn.Embedding modules are: words, places"):
        wrap(network, modality="text", embedding="word")


@pytest.mark.parametrize(
    "network",
    [
        lambda rows: np.log1p(rows, out=rows) @ np.array([[1.0, 2], [3, 4]]),
        nn.Sequential(nn.ReLU(inplace=True), nn.Linear(2, 2)),
    ],
    ids=["arrays", "module"],
)
def test_a_network_that_works_in_place_does_not_change_what_it_is_given(network):
    model = wrap(network, modality="tabular", feature_names=["a", "b"])
    sample = model.sample([1.0, -0.5])
    first = model.predict(sample).raw
    assert sample.x.tolist() == [1.0, -0.5]
    np.testing.assert_array_equal(model.predict(sample).raw, first)
    if Capability.GRADIENTS in model.can:
        found = explain(model, sample, "saliency", target=0)
        np.testing.assert_allclose(found.values, [network[1].weight[0, 0].item(), 0.0])


def test_position_codes_may_be_added_in_place():
    class InPlace(Bag):
        def forward(self, ids):
            vectors = self.words(ids)
            vectors += self.places(torch.arange(ids.shape[1]))
            return self.head(vectors.mean(1))

    one, two = (explain(wrap(kind(), modality="text"), np.array([3, 4, 5]), "saliency") for kind in (Bag, InPlace))
    np.testing.assert_allclose(one.values, two.values)


def test_a_callable_tokenizer_is_enough_for_texts():
    vocabulary = {"good": 1, "bad": 2, "film": 3}
    model = wrap(Bag(), modality="text", tokenizer=lambda text: [vocabulary.get(word, 4) for word in text.split()])
    sample = model.sample("good film")
    assert sample.x.tolist() == [1, 3]
    assert model.input.players(sample, "words").names == ("good", "film")
    assert model.input.reference(sample).rows.tolist() == [[0, 0]]
    assert model.input.reference(sample, 4).rows.tolist() == [[4, 4]]


def test_a_text_callable_without_gradients_is_a_black_box():
    model = wrap(lambda ids: np.stack([ids.sum(1), -ids.sum(1)], 1).astype(float), modality="text")
    sample = model.sample([1, 2, 3])
    assert model.can == Capability.NONE
    assert model.predict(sample).raw.tolist() == [6, -6]


# -- tables with categories, defaults, preprocess ------------------------------------------------------------------


def test_categories_arrive_as_their_places():
    columns = (Column("size"), Column("colour", "category", categories=("red", "green", "blue")))
    model = wrap(lambda rows: rows.sum(1), columns=columns, background=[{"size": 1, "colour": "red"}])
    sample = model.sample({"size": 2.5, "colour": "blue"})
    assert sample.x.tolist() == [2.5, 2.0]
    assert model.predict(sample).raw[0] == 4.5


def test_the_default_baseline_is_the_given_one():
    model = wrap(linear(2), baseline=[1, 2, 3])
    sample = model.sample([0, 0, 0])
    assert model.input.reference(sample).rows.tolist() == [[1, 2, 3]]
    assert wrap(linear(2), baseline="zero", background=X).input.baselines[0] == "zero"


def test_preprocess_takes_what_the_person_gives():
    model = wrap(linear(2), preprocess=lambda raw: torch.tensor([raw["a"], raw["a"] ** 2, 1.0]))
    assert model.sample({"a": 3.0}).x.tolist() == [3, 9, 1]


# -- refusals ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("network", "about", "sentence"),
    [
        (linear(3), {"class_names": ["a", "b"]}, "Linear has 3 outputs, so 3 class names are expected; 2 came."),
        (linear(1), {"class_names": ["a", "b"]}, "Linear has one output and 2 class names; say task='binary'"),
        (linear(1), {"task": "binary", "class_names": ["a"]}, "one output for two classes, so 2 class names"),
        (linear(2), {"task": "binary"}, "A binary model has one output; Linear has 2. Say task='classification'."),
        (linear(2), {"modality": "sound"}, "modality is one of image, text, tabular, series, audio; 'sound' came."),
        (linear(2), {"task": "ranking"}, "task is one of classification, binary, regression; 'ranking' came."),
        (linear(2), {"output": "score"}, "output is one of logit, probability, value; 'score' came."),
        (linear(2), {"feature_names": ["a", "b"]}, "2 features were named .* the first nn.Linear of Linear takes 3;"),
        (linear(2), {"background": X[:, :2]}, "2 features were named or came with the background, .* takes 3;"),
        (linear(2), {"feature_names": ["a", "a", "b"]}, "Every feature has its own name; 'a' came more than once."),
        (
            linear(2),
            {"background": X[:, :2], "feature_names": ["a", "b", "c"]},
            "3 feature names came, and the background has 2 features",
        ),
        (linear(2), {"background": [[1, 2]], "feature_names": ["a", "b", "c"]}, "and the background has 2 features"),
        (
            LogisticRegression().fit(X, Y),
            {"feature_names": ["a", "b"]},
            "2 feature .* and the estimator has 3 features",
        ),
        (
            linear(2),
            {"background": X, "baseline": "median"},
            "baseline is one of mean, zero, a number .* 'median' came",
        ),
        (linear(2), {"background": 5}, "A background is an array of numbers .* or a CSV; int came"),
        (linear(2), {"background": "none.csv"}, "none.csv could not be opened"),
        (
            linear(2),
            {"task": "classification", "output": "value"},
            "a classification model is a logit or a probability",
        ),
        (linear(2), {"task": "regression", "output": "probability"}, "The output of a regression model is its value"),
        (linear(1), {"output": "probability"}, "one output, said to be a probability; say task='binary'"),
        (RandomForestRegressor(2).fit(X, Y), {"output": "probability"}, "gives a value; output='probability' came"),
        (RandomForestRegressor(2).fit(X, Y), {"task": "binary"}, "is a regression model; task='binary' came"),
        (LogisticRegression().fit(X, Y), {"task": "regression"}, "is a classification model; task='regression' came"),
        (RandomForestClassifier(2).fit(X, np.stack([Y, 1 - Y], 1)), {}, "answers 2 questions at once"),
        (RandomForestClassifier(2).fit(X, np.stack([Y, np.arange(60) % 3], 1)), {}, "answers 2 questions at once"),
        (linear(2), {"device": "nope"}, "device is where torch can compute here, such as 'cpu'; 'nope' is not there"),
        (linear(2), {"device": "cuda:99"}, "'cuda:99' is not there"),
        (lambda x: x, {"device": 1.5}, "1.5 is not there"),
        (linear(2), {"modality": "image", "size": (5,)}, r"size is \(height, width\) in pixels, or one number"),
        (linear(2), {"modality": "image", "size": 0}, "or one number for a square; 0 came"),
        (linear(2), {"modality": "text", "limit": 0}, "limit is a whole number of tokens from 1 upwards; 0 came"),
        (linear(2), {"background": X, "baseline": [1, 2]}, "A baseline array has the input's shape"),
        (7, {}, "A model is a torch module, a callable from inputs to scores or a fitted estimator; int came."),
        (lambda x: x[0, 0], {"background": X}, "is expected to return scores"),
    ],
)
def test_refusals(network, about, sentence):
    def use() -> None:
        model = wrap(network, **about)
        model.input.reference(model.sample([1, 2, 3]))

    with pytest.raises(UserError, match=sentence):
        use()


def test_a_wrong_number_of_class_names_is_seen_on_the_first_sample_too():
    model = wrap(lambda x: x * 1.0, class_names=["a", "b"])
    with pytest.raises(UserError, match="has 3 outputs, so 3 class names are expected; 2 came"):
        model.sample([1, 2, 3])


# -- what was silent or a raw exception once -----------------------------------------------------------------------


def test_values_of_several_columns_are_a_regression_when_said():
    model = wrap(linear(2), output="value")
    assert (model.card.task, model.card.labels) == ("regression", ("value 0", "value 1"))


def test_a_picture_may_be_a_square_and_has_the_networks_channels():
    model = wrap(pictures(3), modality="image", size=8, background=torch.rand(4, 3, 8, 8))
    assert model.input.size == (8, 8)
    sample = model.sample(torch.rand(3, 8, 8))
    assert model.input.background(sample).rows.shape == (4, 3, 8, 8)
    with pytest.raises(UserError, match=r"of shape \(3, 8, 8\); \(1, 8, 8\) came"):
        model.sample(torch.rand(1, 8, 8))
    five = wrap(pictures(5), modality="image", size=8)
    assert five.predict(five.sample(torch.rand(5, 8, 8))).raw.shape == (5,)
    anything = wrap(lambda x: x.mean((2, 3)).sum(1, keepdim=True) * torch.ones(2), modality="image", size=8)
    assert [anything.predict(anything.sample(torch.rand(n, 8, 8))).raw.shape for n in (1, 3, 4)] == [(2,)] * 3


def test_a_csv_is_a_background_and_names_the_columns(tmp_path):
    path = tmp_path / "rows.csv"
    path.write_text("a,b,c\n1,2,3\n4,5,6\n", encoding="utf-8")
    for given in (str(path), path):
        model = wrap(linear(2, torch.float64), background=given)
        assert [column.name for column in model.card.columns] == ["a", "b", "c"]
        sample = model.sample({"c": 3, "b": 2, "a": 1})
        assert model.input.background(sample).rows.tolist() == [[1, 2, 3], [4, 5, 6]]
    estimator = LogisticRegression().fit(X, Y)
    shuffled = [{"c": 3, "a": 1, "b": 2}]
    model = wrap(estimator, background=shuffled, feature_names=["a", "b", "c"])
    assert model.input.background(model.sample([0, 0, 0])).rows.tolist() == [[1, 2, 3]]


def test_one_row_is_a_background():
    for given in (X[0], X[0].tolist(), torch.tensor(X[0], requires_grad=True)):
        model = wrap(linear(2, torch.float64), background=given)
        np.testing.assert_array_equal(model.input.background(model.sample(X[1])).rows, X[:1])


def test_ids_that_the_embedding_does_not_have_are_a_sentence():
    model = wrap(Bag(), modality="text")
    with pytest.raises(UserError, match="token id 20; the model's vocabulary has 20 tokens, 0 to 19"):
        model.sample([1, 20])
    with pytest.raises(UserError, match="The baseline has the token id 99"):
        model.input.reference(model.sample([1, 19]), 99)


class Hidden(nn.Module):
    """A module whose numbers torch does not see."""

    def __init__(self, weights):
        super().__init__()
        self.score = lambda x: x @ weights

    def forward(self, x):
        return self.score(x)


class Buffered(nn.Module):
    """A module whose numbers are a buffer."""

    def __init__(self, weights):
        super().__init__()
        self.register_buffer("weights", weights)

    def forward(self, x):
        return x @ self.weights


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("kind", [Hidden, Buffered])
@pytest.mark.parametrize("known", [{"feature_names": ["a", "b", "c"]}, {}])
def test_a_module_without_parameters_is_run_in_the_type_of_its_numbers(kind, dtype, known):
    model = wrap(kind(torch.tensor(W.T, dtype=dtype)), **known)
    x = np.array([0.1, 0.2, 0.3])
    found = model.predict(model.sample(x))
    np.testing.assert_allclose(found.raw, W @ x, rtol=1e-15 if dtype == torch.float64 else 1e-6)
    assert (model.dtype, Capability.GRADIENTS in model.can) == (dtype, True)


def test_probabilities_are_recognised_in_half_precision():
    assert wrap(nn.Sequential(linear(3), nn.Softmax(-1)).bfloat16()).card.output == "probability"


def test_the_logit_of_the_exponential_loss_is_the_log_odds():
    estimator = GradientBoostingClassifier(loss="exponential", n_estimators=5).fit(X, Y)
    model = wrap(estimator, output="logit")
    np.testing.assert_allclose(model.predict(model.sample(X[0])).probabilities, estimator.predict_proba(X[:1])[0])


@pytest.mark.parametrize(
    "said", [{"output": "logit"}, {"task": "classification", "output": "logit"}, {"task": "regression"}]
)
def test_one_output_is_a_regression_unless_it_is_said_to_be_binary(said: dict) -> None:
    card = wrap(linear(1), feature_names=["a", "b", "c"], **said).card
    assert (card.task, card.output, card.labels) == ("regression", "value", ("value",))
