"""Programs that guests run."""
