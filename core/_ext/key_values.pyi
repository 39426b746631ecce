"""The keys of single values: bytes that compare as the values do. For other extensions only."""
