"""One call of one deployment: credentials, connections, replies."""
