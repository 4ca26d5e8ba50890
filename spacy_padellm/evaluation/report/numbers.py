"""Numbers as people read them, in the page and in the terminal."""

from __future__ import annotations

MISSING = "–"


def percent(value: float | None) -> str:
    """RETURNS (str): A share as a percentage; a dash where there was nothing to count."""
    return MISSING if value is None else f"{value:.1%}"


def decimal(value: float | None, digits: int = 2) -> str:
    """RETURNS (str): A number with so many decimals; a dash where there was nothing to count."""
    return MISSING if value is None else f"{value:.{digits}f}"
