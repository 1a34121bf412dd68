#!/bin/sh
# Makes a virtual environment with everything that train.py, export.py and the tests import.
#   sh tools/setup.sh .venv
set -eu
venv=$1

case "$(uname -s)-$(uname -m)" in
  Linux-x86_64 | Linux-aarch64 | Darwin-arm64) ;;
  *) echo "error: $(uname -s) on $(uname -m) is not supported: TensorFlow 2.20 needs Linux (x86-64, arm64) or macOS (arm64)" >&2; exit 2 ;;
esac

supported='import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))'
python=
for candidate in ${PYTHON_FOR_VENV:-} python3 python3.12 python3.13 python3.11; do
  if "$candidate" -c "$supported" 2>/dev/null; then python=$candidate; break; fi
done
if [ -z "$python" ]; then
  echo "error: no Python 3.11 to 3.13 found (python3 is $(python3 --version 2>&1 || echo missing)); install one, or name it: PYTHON_FOR_VENV=/path/to/python3.12 make" >&2
  exit 2
fi

echo "Setting up $venv with $("$python" --version): about 4 GB, two to five minutes ..."
"$python" -m venv --clear "$venv" || { echo "error: $python cannot make a virtual environment; on Debian and Ubuntu: apt-get install python3-venv" >&2; exit 2; }
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --requirement requirements.lock
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation --editable .
echo "Ready: $venv"
