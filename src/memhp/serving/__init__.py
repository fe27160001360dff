"""A model machine that is served: one live kernel, its files over FUSE, its uevents."""
