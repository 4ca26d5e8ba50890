"""The words of the prompts (PaDeLLM-NER, arXiv 2402.04838, section 3.1), in English and Chinese."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import srsly

# Matches keys that a config parses as separator, comment, section, registered function or variable.
INVALID_KEY = re.compile(r"^$|^[#\[@]|[:=\n]|\$\{")
NUMBER = "\n\n<num>"


@dataclass(frozen=True)
class Words:
    """The words before and after the text in the trunk of a prompt tree."""

    before_text: str
    after_text: str


WORDS = {
    "en": Words("text:\n", "\nentity type:\n"),
    "zh": Words("文本：\n", "\n实体类型：\n"),
}


@dataclass(frozen=True)
class Prompt:
    """The words of all prompts of a pipeline.

    words (Words): The words around the text.
    label_definitions (dict[str, str] | None): The words for each label in the prompt; a label
        without a definition stands for itself. None if `source` does not exist: a saved pipeline
        has the definitions itself.
    source (Path | None): The JSON file of the definitions.
    both_ways (bool): Whether the tokens of the text attend to one another in both directions.
    echo (bool): Whether the trunk has the text twice, so that each token of the second copy attends
        to all of the text.
    tag_text (bool): Whether training has a tag as the target of each token of the text too (see
        TreeBuilder.gold_trees); decoding is the same.
    """

    words: Words = WORDS["en"]
    label_definitions: dict[str, str] | None = field(default_factory=dict)
    source: Path | None = None
    both_ways: bool = False
    echo: bool = False
    tag_text: bool = False

    def describe(self, label: str) -> str:
        """RETURNS (str): The words for a label in the prompt.

        RAISES (ValueError): Definitions whose file does not exist.
        """
        if self.label_definitions is None:
            raise ValueError(
                f"label_definitions names a JSON file that is not there: {self.source}. Give the "
                'path of a file such as {"PER": "person"}, or the object itself.'
            )
        return self.label_definitions.get(label, label)

    @staticmethod
    def mention_head(index: int) -> str:
        """The control piece before a mention.

        index (int): Number k of the mention, from 1, in reading order.
        RETURNS (str): The control piece.
        """
        return f"\n<mention {index}>"


def make_prompt(
    lang: str = "en",
    label_definitions: dict[str, str] | str | Path | None = None,
    both_ways: bool = False,
    echo: bool = False,
    tag_text: bool = False,
) -> Prompt:
    """Registered as `spacy-padellm.prompt.v1` in spaCy's `misc` registry.

    lang (str): Language of the words around the text: "en" or "zh".
    label_definitions (dict[str, str] | str | Path | None): The words for each label in the prompt,
        or the path of a JSON file with such an object (required for labels with a character that
        a config key cannot have, such as ":", "=" or "#").
    both_ways (bool): Whether the tokens of the text attend to one another in both directions. A
        base has to be trained for it, and its architecture must support tree masks.
    echo (bool): Whether the prompt has the text twice, at the cost of its tokens once more.
    tag_text (bool): Whether training has a tag as the target of each token of the text too.
    RETURNS (Prompt): The words.
    RAISES (ValueError): An unknown language, a definition that is not a non-empty string, a label
        that can't be a config key, a file without a JSON object.
    """
    if lang not in WORDS:
        known = ", ".join(repr(name) for name in WORDS)
        raise ValueError(f"Prompts are written in one of {known}, not in lang = {lang!r}.")
    if isinstance(label_definitions, str | Path):
        source = Path(label_definitions)
        definitions = _read_definitions(source) if source.is_file() else None
        return Prompt(WORDS[lang], definitions, source, both_ways, echo, tag_text)
    definitions = dict(label_definitions or {})
    if invalid := [label for label in definitions if INVALID_KEY.search(label)]:
        raise ValueError(
            f"The labels {invalid} can't be keys of a config, which would read them as something "
            "else. Give label_definitions as the path of a JSON file."
        )
    return Prompt(WORDS[lang], _checked(definitions), None, both_ways, echo, tag_text)


def _checked(definitions: dict[str, str]) -> dict[str, str]:
    for label, definition in definitions.items():
        if not isinstance(definition, str) or not definition.strip():
            raise ValueError(
                f"The definition of label {label!r} must be a string that is not blank, "
                f"not {definition!r}."
            )
    return definitions


def _read_definitions(path: Path) -> dict[str, str]:
    try:
        definitions = srsly.read_json(path)
    except ValueError as error:
        raise ValueError(f"label_definitions file {path} is not valid JSON: {error}") from error
    if not isinstance(definitions, dict):
        raise ValueError(
            f"label_definitions file {path} must hold one JSON object, label to definition, "
            f"not {type(definitions).__name__}."
        )
    return _checked(definitions)
