from __future__ import annotations

from support import stores

run, azurite, pool, proxy, tables_at = stores.run, stores.azurite, stores.pool, stores.proxy, stores.tables_at
