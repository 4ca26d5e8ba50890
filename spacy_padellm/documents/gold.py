"""The gold annotations of one document: the annotated labels and their spans."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gold:
    """The gold annotations of one document.

    text (str): The document's text.
    labels (tuple[str, ...]): The annotated labels, in the order of their prompts.
    spans (tuple[tuple[int, int, str], ...]): Start and end character and label of each entity of
        these labels, in reading order.
    complete (bool): Whether all labels of the component are annotated.
    """

    text: str
    labels: tuple[str, ...]
    spans: tuple[tuple[int, int, str], ...]
    complete: bool = True

    @property
    def mentions(self) -> dict[str, list[str]]:
        """RETURNS (dict[str, list[str]]): Mentions by label, in reading order."""
        mentions: dict[str, list[str]] = {label: [] for label in self.labels}
        for start, end, label in self.spans:
            mentions[label].append(self.text[start:end])
        return mentions
