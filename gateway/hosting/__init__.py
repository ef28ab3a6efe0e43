"""The two ways to serve the function app: the Functions worker's web extension and the embedded host."""
