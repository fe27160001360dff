"""Live Linux, or a saved tree of its files, through one root folder."""
