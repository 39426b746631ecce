"""The SQL frontend: PostgreSQL's dialect, parsed by sqlglot, compiled to plans of core."""
