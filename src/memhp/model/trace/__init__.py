"""Recordings of real kernels: reading them, predicting them, comparing."""
