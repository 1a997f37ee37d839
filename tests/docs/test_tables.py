"""The page of the run directory says what is written."""

from __future__ import annotations

from tests.docs.tables import BEGIN, END, PAGE, made


def test_the_tables_of_the_run_directory_are_those_of_the_code() -> None:
    """A key or column that is added, renamed or explained anew changes the page: `python -m tests.docs.tables`."""
    _, _, rest = PAGE.read_text().partition(BEGIN)
    assert rest.partition(END)[0].strip() == made().strip()
