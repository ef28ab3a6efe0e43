"""One Azure service each: the only places where its SDK appears."""
