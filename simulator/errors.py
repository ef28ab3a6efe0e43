"""The errors of Azure OpenAI and of OpenAI's platform, with the texts that were recorded.

Which of them are recorded, and which assumed, `tests/simulator/test_errors.py` says by comparing them.
"""

from __future__ import annotations

from typing import Any

from simulator.faults import Fault
from simulator.reply import Refusal, compact


def azure(status: int, code: str, message: str, **options: Any) -> Refusal:
    """An error of the service in front of the model: code and message only."""
    return Refusal(status, compact({"error": {"code": code, "message": message}}), code=code, **options)


def access_denied() -> Refusal:
    """No key, or a wrong one."""
    return azure(
        401,
        "401",
        "Access denied due to invalid subscription key or wrong API endpoint. Make sure to provide a valid "
        "key for an active subscription and use a correct regional API endpoint for your resource.",
        reason="PermissionDenied",
        bare=True,
    )


def bad_token() -> Refusal:
    """A Bearer credential that is no valid token; not wrapped in `error`."""
    body = {
        "statusCode": 401,
        "message": "Unauthorized. Access token is missing, invalid, audience is incorrect "
        "(https://cognitiveservices.azure.com), or have expired.",
    }
    return Refusal(401, compact(body), bare=True)


def lacks_role() -> Refusal:
    """A valid token of somebody without the role."""
    return azure(401, "PermissionDenied", "Principal does not have access to API/Operation.", bare=True)


def network_denied() -> Refusal:
    """The caller's network is not let in."""
    return azure(403, "403", "Access denied due to Virtual Network/Firewall rules.", bare=True)


def too_many_headers() -> Refusal:
    """More than 10 custom headers (documented; the body is assumed)."""
    return azure(431, "431", "Request header fields too large.", bare=True)


def resource_not_found() -> Refusal:
    """A wrong path, or a missing or unknown api-version. The bytes hold exactly one space outside text."""
    return Refusal(
        404,
        b'{"error":{"code":"404","message": "Resource not found"}}',
        reason="Resource Not Found",
        code="404",
    )


def version_not_supported() -> Refusal:
    """A dated api-version on a v1 path."""
    return azure(400, "BadRequest", "API version not supported")


def deployment_not_found(*, v1: bool) -> Refusal:
    """No such deployment. Sent chunked, without Content-Type."""
    inner: dict[str, Any] = {
        "type": "invalid_request_error",
        "code": "DeploymentNotFound",
        "message": "The API deployment for this resource does not exist. If you created the deployment "
        "within the last 5 minutes, please wait a moment and try again.",
    }
    if v1:
        inner["param"] = None
    return Refusal(404, compact({"error": inner}), code="DeploymentNotFound", content_type=None)


def operation_not_supported(operation: str, model: str) -> Refusal:
    """The deployment's model cannot do this."""
    return azure(
        400,
        "OperationNotSupported",
        f"The {operation} operation does not work with the specified model, {model}. Please choose different "
        "model and try again. You can learn more about which models can be used with each operation here: "
        "https://go.microsoft.com/fwlink/?linkid=2197993.",
    )


def timeout() -> Refusal:
    """The service gave up waiting for the model."""
    return azure(408, "Timeout", "The operation was timeout.")


def no_capacity() -> Refusal:
    """The region is busy, whatever the quota."""
    return azure(
        429,
        "NoCapacity",
        "The system is currently experiencing high demand and cannot process your request. Your request "
        "exceeds the maximum usage size allowed during peak load. Please retry after 20 seconds. For "
        "improved latency reliability, consider switching to Provisioned Throughput.",
        headers=[("retry-after", "20"), ("retry-after-ms", "20000")],
    )


def server_error() -> Refusal:
    """A plain 500 (the body is assumed)."""
    inner = {
        "message": "The server had an error while processing your request. Sorry about that!",
        "type": "server_error",
        "param": None,
        "code": None,
    }
    return Refusal(500, compact({"error": inner}))


def bad_gateway() -> Refusal:
    """What the edge says when the service behind it is gone: HTML."""
    body = (
        b"<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1>"
        b"</center>\r\n<hr><center>Microsoft-Azure-Application-Gateway/v2</center>\r\n</body>\r\n</html>\r\n"
    )
    return Refusal(502, body, content_type="text/html", bare=True)


def unavailable() -> Refusal:
    """A 503 without a body."""
    return Refusal(503, b"", content_type=None, bare=True)


def redirect() -> Refusal:
    """A redirect to another host, which would get the key."""
    return Refusal(
        302,
        b"",
        content_type=None,
        bare=True,
        headers=[("Location", "http://127.0.0.1:9/openai/elsewhere")],
    )


def scripted(fault: Fault, status: int) -> Refusal:
    """A fault's own body under its status."""
    if fault.body is None:
        body, content_type = b"", None
    elif isinstance(fault.body, str):
        body, content_type = fault.body.encode(), "text/plain"
    else:
        body, content_type = compact(fault.body), "application/json"
    if "content-type" in {name.lower() for name in fault.headers}:
        content_type = None
    return Refusal(status, body, reason=fault.reason, content_type=content_type)
