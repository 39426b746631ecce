"""Values that are no containers, as bytes: the one form all codecs of rows share. For other extensions only."""
