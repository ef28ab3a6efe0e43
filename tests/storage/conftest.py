from __future__ import annotations

from support import stores

azurite, run = stores.azurite, stores.run
