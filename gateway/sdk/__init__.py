"""The Python API: calls of deployments from Python, on the gateway's own core."""
