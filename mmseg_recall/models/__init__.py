"""Heads and backbones for long-tailed classification."""

from . import backbones, heads

__all__ = ['backbones', 'heads']
