"""The words of the prompts (PaDeLLM-NER, arXiv 2402.04838, section 3.1), in English and Chinese."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import srsly

# What a config reads as a separator, comment, section, registered function or variable.
UNFIT_KEY = re.compile(r"^$|^[#\[@]|[:=\n]|\$\{")
NUMBER = "\n\n<num>"


@dataclass(frozen=True)
class Words:
    """What stands before and after the text in the trunk of a prompt tree."""

    before_text: str
    after_text: str


WORDS = {
    "en": Words("text:\n", "\nentity type:\n"),
    "zh": Words("文本：\n", "\n实体类型：\n"),
}


@dataclass(frozen=True)
class Prompt:
    """The words of all prompts of a pipeline.

    words (Words): What stands around the text.
    label_definitions (dict[str, str] | None): What the model reads for a label; a label that is
        not in it is read as it is. None where the file that holds them is not there: a saved
        pipeline brings its own.
    source (Path | None): The file that holds them.
    both_ways (bool): Whether the tokens of the text see one another in both directions.
    echo (bool): Whether the text stands twice in the trunk: its second copy has seen all of it.
    tag_text (bool): Whether training asks for a tag after each token of the text as well (see
        TreeBuilder.gold_trees); decoding is the same.
    """

    words: Words = WORDS["en"]
    label_definitions: dict[str, str] | None = field(default_factory=dict)
    source: Path | None = None
    both_ways: bool = False
    echo: bool = False
    tag_text: bool = False

    def describe(self, label: str) -> str:
        """RETURNS (str): What the model reads for a label.

        RAISES (ValueError): The definitions' file was not there.
        """
        if self.label_definitions is None:
            raise ValueError(
                f"label_definitions names a JSON file that is not there: {self.source}. Give the "
                'path of a file such as {"PER": "person"}, or the object itself.'
            )
        return self.label_definitions.get(label, label)

    @staticmethod
    def mention_head(index: int) -> str:
        """The control piece that asks for one mention.

        index (int): k, from 1, in reading order.
        RETURNS (str): The piece.
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
    label_definitions (dict[str, str] | str | Path | None): What the model reads for a label, or
        the path of a JSON file with such an object (needed where a label has a character that
        a config key cannot hold, such as ":", "=" or "#").
    both_ways (bool): Whether the tokens of the text see one another in both directions. A base
        has to be trained with it; it needs a base that reads prompt trees.
    echo (bool): Whether the text stands twice in the prompt. Costs its tokens once more.
    tag_text (bool): Whether training asks for a tag after each token of the text as well.
    RETURNS (Prompt): The words.
    RAISES (ValueError): Unknown language, a definition that is not a non-empty string, a label
        that a config key can't hold, a file that holds no JSON object.
    """
    if lang not in WORDS:
        known = ", ".join(repr(name) for name in WORDS)
        raise ValueError(f"Prompts are written in one of {known}, not in lang = {lang!r}.")
    if isinstance(label_definitions, str | Path):
        source = Path(label_definitions)
        definitions = _read_definitions(source) if source.is_file() else None
        return Prompt(WORDS[lang], definitions, source, both_ways, echo, tag_text)
    definitions = dict(label_definitions or {})
    if mangled := [label for label in definitions if UNFIT_KEY.search(label)]:
        raise ValueError(
            f"The labels {mangled} can't be keys of a config, which would read them as something "
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
