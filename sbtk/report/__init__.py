"""One page a run: what was copied, by which path, how long it took, what was checked."""
