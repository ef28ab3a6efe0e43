"""The configuration document: read, checked, and turned into frozen values."""
