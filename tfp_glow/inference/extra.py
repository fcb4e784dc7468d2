"""What the extra `inference` brings."""

from __future__ import annotations

import types

__all__ = ["import_arviz"]


def import_arviz() -> types.ModuleType:
    """ArviZ, where it is installed.

    Raises:
      ImportError: If it is not; it names the extra.
    """
    try:
        import arviz
    except ImportError as error:
        raise ImportError(
            "This needs ArviZ, which the extra brings: pip install 'tfp-glow[inference]'."
        ) from error
    return arviz
