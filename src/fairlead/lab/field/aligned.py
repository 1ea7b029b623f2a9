"""Speech as it was said and as it came out, beside each other: for whoever compares the two."""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.lab.field.measure import Listened
from fairlead.lab.field.sound import SAMPLE_RATE, Samples
from fairlead.lab.field.speech import Speech


@dataclass(frozen=True)
class Aligned:
    """One direction of a run; all moments are seconds of the run."""

    voice: Speech
    began: float
    """When the first word was said; before the run."""
    heard: Listened
    whole: Samples
    """What came out during the run: `clips.laid_out`."""

    @property
    def seconds(self) -> float:
        """Of the run."""
        return len(self.whole) / SAMPLE_RATE

    def said(self, begin: float, end: float) -> Samples:
        """Between two moments."""
        return self.voice.between(begin - self.began, end - self.began)

    def came(self, begin: float, end: float, around: float = 0.0) -> Samples | None:
        """What was heard of what was said between two moments, by the median mouth to ear of that
        time, and so many seconds around it; None if no word of it was heard."""
        late = self.heard.delay_ms(begin, end)
        if late is None:
            return None
        first, last = (
            round((at + late / 1e3) * SAMPLE_RATE) for at in (begin - around, end + around)
        )
        return self.whole[max(0, first) : max(0, last)]
