"""Suppresses the output of converters."""

import contextlib
import os
import sys
import tempfile


@contextlib.contextmanager
def quiet():
    """Suppresses stderr in its scope, including that of C++; prints it if the scope raises an error."""
    with tempfile.TemporaryFile() as held:
        sys.stderr.flush()
        stderr = os.dup(2)
        os.dup2(held.fileno(), 2)
        try:
            yield
        except BaseException:
            sys.stderr.flush()
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
