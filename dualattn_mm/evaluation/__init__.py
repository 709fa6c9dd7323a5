"""Metrics of colorization."""

from .colorfulness import colorfulness

__all__ = ['colorfulness']
