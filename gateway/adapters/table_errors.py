"""What azure-data-tables raises, told apart."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress

from gateway.storage.store import StoreError, StoreFailure


@contextmanager
def translated() -> Iterator[None]:
    """Whatever the SDK raises becomes a StoreError."""
    try:
        yield
    except StoreError:
        raise
    except Exception as error:
        raise StoreError(_reason(error)) from error


def _reason(error: Exception) -> StoreFailure:
    from azure.core.exceptions import ServiceRequestError, ServiceResponseError  # noqa: PLC0415

    status = getattr(error, "status_code", None)
    if status is None and isinstance(error, ServiceRequestError | ServiceResponseError | OSError):
        return StoreFailure.DOWN
    if code(error) == "TableBeingDeleted":
        return StoreFailure.DELETING
    if status in {401, 403} or _is_identity(error):
        return StoreFailure.FORBIDDEN
    if status in {408, 429, 500, 502, 503, 504}:
        return StoreFailure.BUSY
    return StoreFailure.FAILED


def _is_identity(error: Exception) -> bool:
    from azure.core.exceptions import ClientAuthenticationError  # noqa: PLC0415

    return isinstance(error, ClientAuthenticationError)


def code(error: Exception) -> str:
    """The service's error code, which the SDK gives as an enumeration's member or as text."""
    known = getattr(error, "error_code", None)
    if known is not None:
        return str(getattr(known, "value", known))
    # `create_entity` raises the error undecoded.
    with suppress(Exception):
        return str(json.loads(error.response.text())["odata.error"]["code"])  # type: ignore[attr-defined]
    return ""


def is_missing(error: Exception) -> bool:
    """Whether the row or its table does not exist."""
    return getattr(error, "status_code", None) == 404


def is_lost(error: Exception) -> bool:
    """Whether a compare-and-swap met another's change: of a row, or where one was to be new, or is gone."""
    status = getattr(error, "status_code", None)
    return status in {404, 412} or (status == 409 and code(error) == "EntityAlreadyExists")
