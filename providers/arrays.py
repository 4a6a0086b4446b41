"""numpy, imported when it is first used: most commands use none of it, and would wait for it.

Its import takes about as long as Python, ``click`` and this package together (0.1 to 0.3 s).
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__all__ = ["np"]

if TYPE_CHECKING:
    import numpy as np
else:

    class _Numpy:
        """What numpy has, each kept here once it was asked for."""

        def __getattr__(self, name: str) -> Any:
            found = getattr(import_module("numpy"), name)
            setattr(self, name, found)
            return found

    np = _Numpy()
