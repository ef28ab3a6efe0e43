from __future__ import annotations

from support import stores

azurite, pool, tables_at = stores.azurite, stores.pool, stores.tables_at
