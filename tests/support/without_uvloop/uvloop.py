raise ImportError("as where uvloop is not installed")
