"""The text format."""

from __future__ import annotations

import pytest

from fairlead.telemetry.exposition import Family, Sample, expose


def test_families_are_written_with_help_type_and_sorted_labels() -> None:
    family = Family(
        name="fairlead_x_total",
        kind="counter",
        help="Lines\nand \\ slashes.",
        samples=[Sample(3), Sample(0.25, {"b": 'say "hi"\n', "a": "\\"})],
    )
    assert expose([family]) == (
        "# HELP fairlead_x_total Lines\\nand \\\\ slashes.\n"
        "# TYPE fairlead_x_total counter\n"
        "fairlead_x_total 3\n"
        'fairlead_x_total{a="\\\\",b="say \\"hi\\"\\n"} 0.25\n'
    )


@pytest.mark.parametrize(("name", "label"), [("bad name", "a"), ("", "a"), ("ok", "b-c")])
def test_names_that_a_scraper_would_refuse_are_refused(name: str, label: str) -> None:
    family = Family(name=name, kind="gauge", help="", samples=[Sample(1, {label: "x"})])
    with pytest.raises(ValueError, match="can't be"):
        expose([family])
