"""TinyTorch: a small deep-learning framework that its students write themselves."""

__version__ = "0.1.0"
