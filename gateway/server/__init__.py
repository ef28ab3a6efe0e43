"""The HTTP hosts: the Functions worker's web extension and the embedded host."""
