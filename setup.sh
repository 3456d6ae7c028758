#!/bin/sh
# Installs the locked packages of a file into a virtual environment: setup.sh FOLDER LOCK_FILE
# Needs a Python 3.11 or newer ($PYTHON, python3 by default) with pip, and nothing else: some distributions
# leave ensurepip out of venv, so the environment is made without pip and filled from outside.
set -eu
venv=$1
lock=$2
python=${PYTHON:-python3}

fail() {
    echo "$1" >&2
    exit 2
}

command -v "$python" >/dev/null 2>&1 || fail "Python 3.11 or newer is needed, and there is no '$python' here; say which with: make PYTHON=/path/to/python3"
"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' ||
    fail "Python 3.11 or newer is needed; '$python' is $("$python" -c 'import platform; print(platform.python_version())'); say another with: make PYTHON=/path/to/python3"
"$python" -m pip --version >/dev/null 2>&1 || fail "pip is needed, and '$python' has none"

if [ ! -x "$venv/bin/python" ]; then
    "$python" -m venv --without-pip "$venv" || fail "'$python' cannot make a virtual environment in $venv"
fi
echo "installing $lock into $venv ..."
"$python" -m pip --python "$venv/bin/python" install --disable-pip-version-check --require-hashes \
    --no-deps --only-binary :all: -r "$lock" || fail "the packages of $lock could not be installed (see above)"

# Nameko's shell waits for ever, and knows nothing of a platform that is one process: `nameko shell` is ours.
program=$venv/bin/nameko
if [ -f "$program" ] && grep -q '^from nameko.cli.main import main$' "$program"; then
    ours='import os\
sys.path.append(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))\
try:\
    from broker.command import nameko as main\
except ImportError:\
    from nameko.cli.main import main'
    sed "s|^from nameko.cli.main import main\$|$ours|" "$program" >"$program.new"
    cat "$program.new" >"$program"
    rm "$program.new"
fi
