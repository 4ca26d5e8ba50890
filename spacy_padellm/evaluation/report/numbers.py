"""Format numbers for the page and the terminal."""

from __future__ import annotations

MISSING = "–"


def percent(value: float | None) -> str:
    """RETURNS (str): A share as a percentage with one decimal; a dash for None."""
    return MISSING if value is None else f"{value:.1%}"


def decimal(value: float | None, digits: int = 2) -> str:
    """RETURNS (str): A number with the given number of decimals; a dash for None."""
    return MISSING if value is None else f"{value:.{digits}f}"
