"""Reproducible comparisons: TinyTorch beside hand-written NumPy and other frameworks, as ratios in one run."""
