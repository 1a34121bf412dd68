"""What converters write of themselves, kept back."""

import contextlib
import os
import sys
import tempfile


@contextlib.contextmanager
def quiet():
    """Keeps back what is written to stderr in its scope, by C++ too, unless it fails."""
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
