"""What was counted, here and by other instances."""
