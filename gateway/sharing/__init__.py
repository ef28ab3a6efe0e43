"""When instances tell each other what they counted, and who waits for it."""
