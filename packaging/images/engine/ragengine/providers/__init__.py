"""Where vectors and answers come from."""

from __future__ import annotations

from ..config import Settings
from .base import Provider


def make(settings: Settings) -> Provider:
    """The provider that the settings name; what the others need is not loaded."""
    if settings.offline:
        from ..offline.provider import OfflineProvider

        return OfflineProvider(settings)
    from .remote import make_remote

    return make_remote(settings)
