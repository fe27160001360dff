"""Requests become plans, plans are carried out: the only loops of memhp."""
