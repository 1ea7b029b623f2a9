"""Matrices that outlive a change of the set of nodes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fairlead.routing.links import Matrix


def carried(matrix: Matrix, before: Sequence[int], after: Sequence[int], fill: float) -> Matrix:
    """The matrix of nodes ``before`` for the nodes ``after``; ``fill`` for those that are new."""
    if tuple(before) == tuple(after):
        return matrix
    place = {node: position for position, node in enumerate(before)}
    kept = [node for node in after if node in place]
    old = [place[node] for node in kept]
    new = [position for position, node in enumerate(after) if node in place]
    result = np.full((len(after), len(after)), fill)
    result[np.ix_(new, new)] = matrix[np.ix_(old, old)]
    return result
