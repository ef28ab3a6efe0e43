"""Limits that are never exceeded: of deployments and of clients."""
