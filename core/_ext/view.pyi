"""Where versions live, from newest to oldest. No Python names: the engine uses the C functions."""
