"""Sizes of captured passes, rounded to few values so that one capture serves many batches."""


def rounded_up(number: int) -> int:
    """RETURNS (int): The next of 1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 16, 20, …: four per octave."""
    step = max(1, 1 << max(0, (number - 1).bit_length() - 3))
    return -(-number // step) * step
