"""The shared store: its interface, a store in memory, and how a store is watched."""
