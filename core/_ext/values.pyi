"""Value log: where large values live. Nothing public; see value_probe and value_file."""
