"""The one door to the packet path: ``from fairlead.core import Node``.

Everything else of the package imports without the compiled library.
"""

from __future__ import annotations

from fairlead import _guard

try:
    from fairlead._core import SOURCE_HASH, AccessNetwork, Load, Node, Simulator
except ModuleNotFoundError as error:
    raise ImportError(
        "the compiled library fairlead._core is not built: run `make setup` in the checkout"
    ) from error

_guard.check(SOURCE_HASH)

__all__ = ["AccessNetwork", "Load", "Node", "Simulator"]
