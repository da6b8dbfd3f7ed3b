"""Heads and backbones for long-tailed classification."""
