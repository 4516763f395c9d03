"""Texts on their way in and back: tokenizers of every kind, words as a person counts them, every refusal."""

from __future__ import annotations

import time
from types import SimpleNamespace

import numpy as np
import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

from model_zoo.modalities.text import TextInput, WordTokenizer
from model_zoo.types import UserError

PIECES = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "it",
    "was",
    "un",
    "##believ",
    "##able",
    "great",
    "film",
    "!",
    ",",
]
ID = {piece: index for index, piece in enumerate(PIECES)}


def wordpiece(padding: bool = False) -> Tokenizer:
    """A small tokenizer of the BERT family."""
    found = Tokenizer(models.WordPiece(ID, unk_token="[UNK]"))
    found.normalizer = normalizers.BertNormalizer()
    found.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    found.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", ID["[CLS]"]), ("[SEP]", ID["[SEP]"])]
    )
    found.add_special_tokens(PIECES[:5])
    if padding:
        found.enable_padding(length=16, pad_id=0)
        found.enable_truncation(16)
    return found


BERT = TextInput(wordpiece(), limit=16)
TEXT = "It was unbelievable, great film!"


def ids(*pieces: str) -> list[int]:
    return [ID[piece] for piece in pieces]


def test_tokens_are_laid_on_the_text_as_written():
    sample = BERT.read(TEXT)
    view = sample.view
    assert sample.x.dtype == np.int64
    assert sample.x.tolist() == ids(
        "[CLS]", "it", "was", "un", "##believ", "##able", ",", "great", "film", "!", "[SEP]"
    )
    assert view.tokens == ("[CLS]", "It", "was", "un", "believ", "able", ",", "great", "film", "!", "[SEP]")
    assert [TEXT[start:stop] for start, stop in view.words] == ["It", "was", "unbelievable,", "great", "film!"]
    assert view.word_of == (-1, 0, 1, 2, 2, 2, 2, 3, 4, 4, -1)
    assert (view.kept, sample.notes) == (5, ())
    assert all(TEXT[a:b] == token for (a, b), token in zip(view.spans, view.tokens, strict=True) if b)


def test_tokens_and_words_as_players():
    sample = BERT.read(TEXT)
    tokens, words = BERT.players(sample), BERT.players(sample, "words")
    assert tokens.owner.tolist() == [-1, 0, 1, 2, 3, 4, 5, 6, 7, 8, -1]
    assert tokens.names == sample.view.tokens[1:-1]
    assert words.owner.tolist() == list(sample.view.word_of)
    assert words.names == ("It", "was", "unbelievable", "great", "film")
    with pytest.raises(UserError, match="players of a text are tokens or words; 'pixels' came"):
        BERT.players(sample, "pixels")


def test_a_chinese_character_is_a_word():
    view = BERT.read("很好 film").view
    assert [view.text[a:b] for a, b in view.words] == ["很", "好", "film"]


def test_a_long_text_is_cut_and_told_fast():
    began = time.perf_counter()
    sample = BERT.read("great film " * 50_000)
    assert time.perf_counter() - began < 2
    assert sample.x.tolist() == ids("[CLS]", *["great", "film"] * 7, "[SEP]")
    assert (len(sample.view.words), sample.view.kept) == (100_000, 14)
    assert sample.notes == ("The model reads the first 16 tokens: 14 of 100,000 words.",)
    assert BERT.players(sample, "words").count == 14


def test_a_text_of_just_the_limit_is_whole():
    assert BERT.read("great " * 14).notes == ()
    assert BERT.read("great " * 15).view.kept == 14


def test_words_that_no_token_stands_for_do_not_end_the_reading():
    sample = BERT.read("\u0007 " * 500 + "great film")  # control characters are dropped by the normaliser
    assert sample.x.tolist() == ids("[CLS]", "great", "film", "[SEP]")
    assert (sample.view.kept, sample.view.word_of) == (502, (-1, 500, 501, -1))


def test_a_text_of_nothing_but_unknown_words_is_marked():
    assert BERT.read("xyzzy qwrtz").view.unknown
    assert not BERT.read("a great xyzzy qwrtz").view.unknown


def test_unknown_words_are_told():
    assert BERT.read("a great xyzzy").notes == ("The model does not know 'a', 'xyzzy'; it reads [UNK] there.",)


def test_bytes_paths_and_marks(tmp_path):
    path = tmp_path / "review.txt"
    path.write_bytes("\ufeffgreat film".encode())
    sample = BERT.read(path)
    assert (sample.name, sample.view.text) == ("review.txt", "great film")
    assert sample.digest == BERT.read("great film").digest == BERT.read(b"great film").digest


@pytest.mark.parametrize(
    ("raw", "sentence"),
    [
        ("", "The text is empty; write at least one word."),
        (" \n\t ", "The text is empty"),
        (b"", "The text is empty; write at least one word"),
        ("café".encode("latin-1"), r"The text is not a UTF-8 text \(byte 3 is not\)"),
        ("\u0007", "finds nothing to read in this text"),
        ([1.5, 2], "whole numbers"),
        ([-1, 2], "from 0 upwards"),
        (np.array([[1, 2], [3, 4]]), r"ndarray came of int64, shape \(2, 2\)"),
        (None, "NoneType came"),
    ],
)
def test_refusals(raw, sentence):
    with pytest.raises(UserError, match=sentence):
        BERT.read(raw)


def test_ids_come_with_the_words_that_they_spell():
    sample = BERT.read(np.array(ids("[CLS]", "great", "film", "[SEP]")))
    assert sample.view.text == "great film"
    assert BERT.players(sample).owner.tolist() == [-1, 0, 1, -1]
    bare = TextInput().read([7, 0, 3])
    assert bare.view.tokens == ("7", "0", "3")
    assert TextInput().players(bare).count == 3
    with pytest.raises(UserError, match="without a tokenizer: give token ids"):
        TextInput().read("great")
    assert TextInput(limit=2).read([7, 0, 3]).notes == ("The model reads the first 2 of 3 tokens.",)


def test_baselines_leave_special_tokens_where_they_are():
    sample = BERT.read("great film")
    for baseline, piece in ((None, "[MASK]"), ("mask", "[MASK]"), ("pad", "[PAD]"), ("film", "film"), (10, "great")):
        found = BERT.reference(sample, baseline)
        assert found.rows.tolist() == [ids("[CLS]", piece, piece, "[SEP]")]
        assert found.sentence == f"every word replaced by {piece}"
    given = BERT.reference(sample, ids("[CLS]", "it", "was", "[SEP]"))
    assert given.rows.tolist() == [ids("[CLS]", "it", "was", "[SEP]")]
    with pytest.raises(UserError, match="one of mask, pad"):
        BERT.reference(sample, "zero")
    with pytest.raises(UserError, match=r"the input's shape \(4,\)"):
        BERT.reference(sample, [1, 2])
    own = TextInput(wordpiece(), baseline="film")
    assert own.reference(sample).rows.tolist() == [ids("[CLS]", "film", "film", "[SEP]")]
    assert own.baselines[0] == "film"


def test_background_texts_fit_the_sample():
    sample = BERT.read("great film !")
    found = BERT.background(sample, ["it was", "it was great film great"])
    assert found.rows.tolist() == [
        ids("[CLS]", "it", "was", "[SEP]", "[SEP]"),
        ids("[CLS]", "it", "was", "great", "[SEP]"),
    ]
    assert BERT.background(sample).kind == "mask"


def test_words_can_be_left_out():
    view = BERT.read("It was  great,\nfilm!").view
    for keep, text in (
        ((1, 1, 1, 1), "It was  great,\nfilm!"),
        ((0, 1, 0, 1), "was  film!"),
        ((1, 0, 1, 0), "It great,"),
        ((0, 0, 0, 0), ""),
    ):
        assert BERT.words_text(view, np.array(keep, bool)) == text
    long = BERT.read("great film " * 30)
    assert BERT.words_text(long.view, np.ones(long.view.kept, bool)) == "great film " * 6 + "great film"


def test_many_texts_are_padded():
    found = BERT.batch(["great film", "", "it"])
    assert found.dtype == np.int64
    assert found.tolist() == [
        ids("[CLS]", "great", "film", "[SEP]"),
        ids("[CLS]", "[SEP]", "[PAD]", "[PAD]"),
        ids("[CLS]", "it", "[SEP]", "[PAD]"),
    ]
    assert BERT.batch(["great " * 99]).shape == (1, 16)


def test_the_given_tokenizers_own_padding_is_left_out_and_left_alone():
    own = wordpiece(padding=True)
    assert TextInput(own).read("great film").x.tolist() == ids("[CLS]", "great", "film", "[SEP]")
    assert len(own.encode("great film").ids) == 16


# -- other tokenizers --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("padding", [False, True])
def test_a_callable_is_aligned_word_by_word(padding):
    own = wordpiece(padding)
    taken = TextInput(lambda text: own.encode(text).ids, limit=16)
    sample = taken.read(TEXT)
    assert sample.view.word_of[:11] == BERT.read(TEXT).view.word_of
    assert taken.players(sample, "words").names == BERT.players(BERT.read(TEXT), "words").names
    assert taken.reference(sample).rows[0][:11].tolist() == ids("[CLS]", *["[PAD]"] * 9, "[SEP]")


def test_a_callable_that_cannot_be_aligned_shows_tokens_alone():
    taken = TextInput(lambda text: [5, 6, 7, len(text)])
    sample = taken.read("great film indeed")
    assert "does not say which words" in sample.notes[0]
    assert taken.players(sample).count == 4
    with pytest.raises(UserError, match="Words need a tokenizer that tells the characters"):
        taken.players(sample, "words")


def test_a_callable_must_return_ids():
    with pytest.raises(UserError, match="expected to return a list of whole numbers; list came"):
        TextInput(lambda text: text.split()).read("great film")
    with pytest.raises(UserError, match=r"A tokenizer is a tokenizers\.Tokenizer, .*; int came"):
        TextInput(7)


class FastTokenizer:
    """The parts of a fast Hugging Face tokenizer that are used, over the same vocabulary."""

    is_fast = True
    pad_token_id, unk_token_id, mask_token_id, unk_token = 0, 1, 4, "[UNK]"
    all_special_ids = (0, 1, 2, 3, 4)

    def __init__(self):
        self.own = wordpiece()

    def __call__(self, text, **options):
        found = self.own.encode(text)
        return {
            "input_ids": found.ids,
            "offset_mapping": found.offsets,
            "special_tokens_mask": found.special_tokens_mask,
        }

    def encode(self, text):
        return self.own.encode(text).ids

    def convert_ids_to_tokens(self, token):
        return PIECES[token]

    def convert_tokens_to_ids(self, piece):
        return ID.get(piece, 1)


class SlowTokenizer(FastTokenizer):
    is_fast = False


@pytest.mark.parametrize("kind", [FastTokenizer, SlowTokenizer])
def test_hugging_face_tokenizers(kind):
    taken = TextInput(kind(), limit=16)
    sample, expected = taken.read(TEXT), BERT.read(TEXT)
    np.testing.assert_array_equal(sample.x, expected.x)
    assert sample.view.word_of == expected.view.word_of
    assert taken.reference(sample).sentence == "every word replaced by [MASK]"
    assert taken.reference(sample, "film").rows[0][1] == ID["film"]


def test_a_dict_of_tensors_is_a_callables_answer_too():
    taken = TextInput(lambda text: {"input_ids": SimpleNamespace(ids=[[5, 6]])})
    assert taken.read("it was").x.tolist() == [5, 6]


def test_words_from_a_vocabulary():
    taken = TextInput(WordTokenizer(["<pad>", "<unk>", "it", "isn't", "great", "!"]))
    sample = taken.read("It isn’t GREAT! Zebra")
    assert sample.x.tolist() == [2, 3, 4, 5, 1]
    assert sample.view.word_of == (0, 1, 2, 2, 3)
    assert taken.baselines == ("mask", "pad")
    assert taken.reference(sample).rows.tolist() == [[1] * 5]
    with pytest.raises(ValueError, match="needs '<pad>' and '<unk>'"):
        WordTokenizer(["a"])


def test_ids_beyond_the_vocabulary_are_refused_wherever_they_come_from():
    numbers = TextInput(vocabulary=20)
    sample = numbers.read([1, 2, 3])
    words = TextInput(lambda text: [19, 20], vocabulary=20)
    for use, sentence in (
        (lambda: numbers.read([1, 99]), "The text has the token id 99; the model's vocabulary has 20 tokens, 0 to 19"),
        (lambda: words.read("two words"), "The tokenizer has the token id 20"),
        (lambda: numbers.reference(sample, 20), "The baseline has the token id 20"),
        (lambda: numbers.reference(sample, [1, 2, 20]), "The baseline has the token id 20"),
        (lambda: numbers.background(sample, [[1, 2], [20]]), "The background has the token id 20"),
        (lambda: numbers.background(sample, 5), "The background of a text model is a list of texts or ids"),
        (lambda: numbers.background(sample, [[1, -2]]), "the background has -2"),
        (lambda: numbers.background(sample, [[[1], [2]]]), "The background of a text model is a list of texts or ids"),
        (lambda: numbers.reference(sample, [0.5, 1, 2]), "an array of float64 came"),
        (lambda: numbers.read([[1, 2], [3]]), "a ragged list came"),
    ):
        with pytest.raises(UserError, match=sentence):
            use()
    assert numbers.reference(sample, 19).rows.tolist() == [[19, 19, 19]]
    for given in ([[1, 2], [3]], [np.array([1, 2]), np.array([3])]):
        assert numbers.background(sample, given).rows.tolist() == [[1, 2, 0], [3, 0, 0]]
    assert numbers.background(sample, [4, 5]).rows.tolist() == [[4, 5, 0]]
