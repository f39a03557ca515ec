"""Mutation testing of the chapters' tests."""
