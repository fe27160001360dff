"""The model served as files: mounted, and standing in for those of the host."""
