"""Doubles of what Azure hosts and no emulator stands in for: identities, Entra ID, Key Vault.

The unmodified azure-identity, azure-keyvault-secrets and PyJWT run against them. Each listens on a free port of
127.0.0.1; https by a test authority, which clients trust by SSL_CERT_FILE.
"""
