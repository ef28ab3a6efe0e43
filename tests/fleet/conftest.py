from __future__ import annotations

from support import stores

azurite = stores.azurite
