"""Functions and operators by subject; registry.py says how they are found."""
