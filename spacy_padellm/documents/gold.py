"""What a gold document says: the labels it answers for, and their spans."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Gold:
    """The gold answers of one document.

    text (str): Its text.
    labels (tuple[str, ...]): The labels that it answers for, in the order they are asked for.
    spans (tuple[tuple[int, int, str], ...]): Start and end character and label of each entity of
        these labels, in reading order.
    complete (bool): Whether it answers for all labels of the component.
    """

    text: str
    labels: tuple[str, ...]
    spans: tuple[tuple[int, int, str], ...]
    complete: bool = True

    @property
    def mentions(self) -> dict[str, list[str]]:
        """RETURNS (dict[str, list[str]]): For each label, its mentions in reading order."""
        mentions: dict[str, list[str]] = {label: [] for label in self.labels}
        for start, end, label in self.spans:
            mentions[label].append(self.text[start:end])
        return mentions
