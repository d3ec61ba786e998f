"""Worked examples for developers; not installed unless asked for."""
