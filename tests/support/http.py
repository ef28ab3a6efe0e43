"""httpx's functions with the patience of the tests: its own five seconds may pass on a busy machine."""

from functools import partial

import httpx

from support.calls import PATIENCE

get = partial(httpx.get, timeout=PATIENCE)
head = partial(httpx.head, timeout=PATIENCE)
post = partial(httpx.post, timeout=PATIENCE)
request = partial(httpx.request, timeout=PATIENCE)
