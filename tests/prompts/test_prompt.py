import json

import pytest

from spacy_padellm.prompts.prompt import NUMBER, WORDS, make_prompt


def test_words_of_both_languages():
    assert make_prompt().words == WORDS["en"]
    english, chinese = make_prompt("en").words, make_prompt("zh").words
    assert (english.before_text, english.after_text) == ("text:\n", "\nentity type:\n")
    assert (chinese.before_text, chinese.after_text) == ("文本：\n", "\n实体类型：\n")


def test_control_pieces():
    prompt = make_prompt("zh")
    assert NUMBER == "\n\n<num>"
    assert prompt.mention_head(1) == "\n<mention 1>"
    assert prompt.mention_head(12) == "\n<mention 12>"


def test_labels_are_described_by_definitions_else_by_themselves():
    prompt = make_prompt("en", {"PER": "person"})
    assert prompt.describe("PER") == "person"
    assert prompt.describe("LOC") == "LOC"


def test_definitions_from_a_file(tmp_path):
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"a:b": "names = of #things"}), encoding="utf8")
    for source in (path, str(path)):
        assert make_prompt("en", source).describe("a:b") == "names = of #things"


def test_definitions_are_copied():
    given = {"PER": "person"}
    prompt = make_prompt("en", given)
    given["PER"] = "changed"
    assert prompt.describe("PER") == "person"


@pytest.mark.parametrize("lang", ["de", "", None, "EN"])
def test_unknown_language(lang):
    with pytest.raises(ValueError, match=f"'en', 'zh', not in lang = {lang!r}"):
        make_prompt(lang)


@pytest.mark.parametrize("definition", ["", "  ", None, 3, ["person"]])
def test_definition_that_is_no_words(definition):
    with pytest.raises(ValueError, match=r"label 'PER' must be a string that is not blank"):
        make_prompt("en", {"PER": definition})


def test_definitions_file_that_is_not_there(tmp_path):
    prompt = make_prompt("en", tmp_path / "none.json")  # a saved pipeline brings its own
    with pytest.raises(ValueError, match=r"not there: .*none\.json"):
        prompt.describe("PER")


@pytest.mark.parametrize(
    ("content", "message"), [("{", "not valid JSON"), ('["person"]', "one JSON object.*not list")]
)
def test_definitions_file_of_another_kind(tmp_path, content, message):
    path = tmp_path / "labels.json"
    path.write_text(content, encoding="utf8")
    with pytest.raises(ValueError, match=message):
        make_prompt("en", path)
