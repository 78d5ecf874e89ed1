"""The seven published systems, a file each: short compositions of the shared parts."""
