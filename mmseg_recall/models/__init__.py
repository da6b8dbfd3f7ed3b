"""Heads, layers and backbones for long-tailed data."""

from . import backbones, heads, layers

__all__ = ['backbones', 'heads', 'layers']
