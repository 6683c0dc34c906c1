"""Where vectors and answers come from."""

from __future__ import annotations

from ..config import Settings
from .base import Provider


def make(settings: Settings, *, attempts: int | None = None) -> Provider:
    """The provider that the settings name; what the others need is not loaded. `attempts`: how
    often a request is tried, instead of the usual."""
    if settings.offline:
        from ..offline.provider import OfflineProvider

        return OfflineProvider(settings)
    from .remote import make_remote

    return make_remote(settings, attempts=attempts)
