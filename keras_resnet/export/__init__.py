"""A trained run -> artifacts that others load without this package, proven to agree with it."""
