"""Cells that a spreadsheet would run: defused on the way out, and as they were on the way in; pure.

A spreadsheet takes a cell that begins with one of a few characters for a formula, and so would run
what a customer typed. An apostrophe in front says that it is text. Telephone numbers begin with a
plus sign, so an import takes the apostrophe away again.
"""

_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def defused(text: str) -> str:
    """Return a text as a cell that no spreadsheet runs; ``as_written`` gives the text back."""
    return f"'{text}" if _would_run(text) else text


def as_written(cell: str) -> str:
    """Return the text of a cell that may have been defused."""
    return cell[1:] if cell.startswith("'") and _would_run(cell) else cell


def _would_run(text: str) -> bool:
    # Apostrophes in front of it, too: else a text that begins with one could not be told apart.
    return text.lstrip("'").startswith(_FORMULA)


__all__ = ["as_written", "defused"]
