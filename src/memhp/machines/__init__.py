"""Drivers: each kind of machine behind the same door."""
