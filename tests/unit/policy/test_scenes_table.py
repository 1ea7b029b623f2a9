"""The table of docs/scenes.md says what the scenes are."""

from __future__ import annotations

from pathlib import Path

from fairlead.policy.scenes import Scene, packaged

PAGE = Path(__file__).parents[3] / "docs" / "scenes.md"


def row(name: str, scene: Scene) -> str:
    cells = [
        f"`{name}`",
        str(scene.audio_top or "all"),
        str(scene.speech_repeats),
        f"{scene.speech_reserve_kbps} kbit/s" if scene.speech_reserve_kbps else "-",
        f"{scene.video_height}p" if scene.video_height else "any",
        scene.video_copies,
        " to ".join(map(str, scene.playout_ms)) + " ms"
        if scene.playout_ms
        else "as the client likes",
    ]
    return f"| {' | '.join(cells)} |"


def test_the_page_has_one_row_for_each_scene() -> None:
    lines = PAGE.read_text("utf-8").splitlines()
    written = [line for line in lines if line.startswith("| `") and line.count("|") == 8]
    assert written == [row(name, scene) for name, scene in packaged().items()]


def test_the_page_explains_every_value() -> None:
    text = PAGE.read_text("utf-8")
    for key in Scene.__struct_fields__:
        assert key == "about" or f"| `{key}` |" in text, key
