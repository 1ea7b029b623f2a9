"""What protects streams between nodes, as metrics: copies, detours, repairs, and what was shed.

From the packet path's own counts; one that it does not have yet has no sample.
"""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.telemetry.exposition import Family, Sample, counter

CLASSES = ("control", "audio", "base", "rest")
COPIES = ("sent", "won", "left_out")
REPAIRS = {
    "asked_and_sent": "mesh_repairs_sent",
    "repaired": "mesh_repaired",
    "missed": "mesh_repairs_missed",
    "given_up": "mesh_repairs_gone",
    "capped": "mesh_repairs_capped",
    "unknown": "mesh_repairs_unknown",
    "parity_sent": "mesh_parity_sent",
    "parity_repaired": "mesh_parity_recovered",
}


def families(counts: Mapping[str, int]) -> list[Family]:
    """Labels: ``class`` of frames; what became of them."""
    return [
        counter(
            "fairlead_protection_copies_total",
            "Frames doubled on second paths (sent), whose copy came first (won), "
            "or that had none because the budget was spent (left_out).",
            [
                Sample(counts[name], {"class": one, "copies": fate})
                for one in CLASSES
                for fate in COPIES
                if (name := f"mesh_copies_{fate}_{one}") in counts
            ],
        ),
        counter(
            "fairlead_protection_bytes_total",
            "Bytes of frames times links, on first paths and of copies.",
            _named(counts, "path", {"first": "mesh_first_bytes", "copy": "mesh_copy_bytes"}),
        ),
        counter(
            "fairlead_protection_rescues_total",
            "Frames sent around a failing link by a relay (detour), or again another way (replay).",
            _named(counts, "by", {"detour": "mesh_detours", "replay": "mesh_replayed"}),
        ),
        counter(
            "fairlead_repairs_total",
            "Repairs of lost frames between neighbours, by what became of them.",
            _named(counts, "outcome", REPAIRS),
        ),
        counter(
            "fairlead_shed_total",
            "Frames that waited too long for their turn on a link.",
            _named(counts, "class", {one: f"mesh_shed_{one}" for one in CLASSES}),
        ),
    ]


def _named(counts: Mapping[str, int], label: str, names: Mapping[str, str]) -> list[Sample]:
    return [Sample(counts[name], {label: word}) for word, name in names.items() if name in counts]
