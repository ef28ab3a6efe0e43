from __future__ import annotations

from support import stores

run, run_in_time, azurite = stores.run, stores.run_in_time, stores.azurite
pool, proxy, tables_at = stores.pool, stores.proxy, stores.tables_at
