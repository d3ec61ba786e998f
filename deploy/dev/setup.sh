#!/bin/sh
# Make .venv: a Python >= 3.12, exactly what requirements.lock holds, and this project itself.
#
# Needs a POSIX shell and any Python 3 with pip; everything else it finds or fetches.
# A second run does nothing until requirements.lock, pyproject.toml or the folder's place changes.
# ROWHOUSE_PYTHON=/path/to/python (or `make setup PYTHON=...`) decides for one interpreter.
set -eu

root=$(cd "$(dirname "$0")/../.." && pwd -P)
cd "$root"
venv="$root/.venv"
stamp="$venv/rowhouse-setup"

say() { printf '%s\n' "$*" >&2; }
fail() { say "setup: $*"; exit 1; }

# The place is part of it: the command's first line and the editable install hold the path.
wanted() { printf '%s\n' "$root"; cksum requirements.lock pyproject.toml; }

fits() { # Whether "$1" is a CPython our locked wheels exist for. It is run, because a pyenv shim may be there and answer "command not found".
    "$1" -I -c 'import sys, sysconfig
ok = (3, 12) <= sys.version_info[:2] < (3, 15) and sys.implementation.name == "cpython"
sys.exit(not ok or bool(sysconfig.get_config_var("Py_GIL_DISABLED")))' >/dev/null 2>&1
}

pyenv_pythons() { # Print every python under a pyenv, the newest first.
    for versions in "${PYENV_ROOT:-/nonexistent}/versions" "${HOME:-/nonexistent}/.pyenv/versions"; do
        [ -d "$versions" ] || continue
        (cd "$versions" && ls -d 3.1[2-4].* 2>/dev/null) | sort -t. -k2,2nr -k3,3nr |
            while IFS= read -r version; do printf '%s\n' "$versions/$version/bin/python"; done
    done
}

find_python() { # Print an interpreter that is on this machine, or nothing.
    if [ -n "${ROWHOUSE_PYTHON:-}" ]; then
        fits "$ROWHOUSE_PYTHON" || fail "ROWHOUSE_PYTHON is $ROWHOUSE_PYTHON, which is not a working CPython 3.12, 3.13 or 3.14."
        printf '%s\n' "$ROWHOUSE_PYTHON"
        return
    fi
    for name in python3.14 python3.13 python3.12 python3; do
        if fits "$name"; then command -v "$name"; return; fi
    done
    pyenv_pythons | while IFS= read -r python; do
        if fits "$python"; then printf '%s\n' "$python"; break; fi
    done
}

knows_python() { "$1" python find --help >/dev/null 2>&1; } # false for a uv of before 2024-08, too

any_python() { # Print any working Python >= 3.8: it only has to install uv.
    for name in python3 /usr/bin/python3 python "$1"; do
        [ -n "$name" ] || continue
        if "$name" -I -c 'import sys; sys.exit(sys.version_info < (3, 8))' >/dev/null 2>&1; then
            printf '%s\n' "$name"
            return
        fi
    done
}

find_uv() { # Print a uv: the one on PATH, the one fetched earlier, or one fetched now by "$1" or any other Python.
    if knows_python uv; then command -v uv; return; fi
    home="$root/.rowhouse/uv"
    if ! knows_python "$home/bin/uv"; then
        base=$(any_python "$1")
        [ -n "$base" ] || fail "no Python 3 and no uv was found; install either of them (Debian: apt-get install python3-venv)."
        say "setup: fetching uv with $base"
        fetch_uv "$base" "$home" || { [ -n "$1" ] && fetch_uv "$1" "$home"; } ||
            fail "uv could not be installed with $base; see the lines above (Debian: apt-get install python3-venv), or put uv on PATH."
    fi
    printf '%s\n' "$home/bin/uv"
}

fetch_uv() { # Install uv below "$2" with the Python "$1". Debian's python3 may have pip and no venv, or the other way round.
    rm -rf "$2"
    mkdir -p "$(dirname "$2")"
    if complaint=$("$1" -I -m venv "$2" 2>&1); then
        "$2/bin/python" -m pip install --quiet --no-user 'uv>=0.5' >&2
    elif rm -rf "$2" && "$1" -m pip --version >/dev/null 2>&1; then
        "$1" -m pip install --quiet --no-user --target "$2" 'uv>=0.5' >&2
    else
        say "$complaint"
        return 1
    fi
}

follow_pip() { # uv does not read pip's configuration; a company's mirror and certificate stand there.
    if [ -z "${UV_DEFAULT_INDEX:-}${UV_INDEX_URL:-}" ]; then
        index=${PIP_INDEX_URL:-$("$1" -m pip config get global.index-url 2>/dev/null || true)}
        [ -z "$index" ] || export UV_DEFAULT_INDEX="$index"
    fi
    [ -z "${PIP_CERT:-}" ] || export SSL_CERT_FILE="${SSL_CERT_FILE:-$PIP_CERT}"
    export UV_HTTP_TIMEOUT="${UV_HTTP_TIMEOUT:-180}"
    home=${HOME:-/nonexistent}
    if [ ! -w "$home" ] && [ ! -w "${XDG_CACHE_HOME:-$home/.cache}" ]; then # an account without a home
        export UV_CACHE_DIR="${UV_CACHE_DIR:-$root/.rowhouse/cache/uv}"
        export UV_PYTHON_INSTALL_DIR="${UV_PYTHON_INSTALL_DIR:-$root/.rowhouse/cache/python}"
    fi
}

make_venv() { # Make .venv with the Python "$2", or with what the uv "$1" knows or downloads.
    rm -rf "$venv"
    python=$2
    [ -n "$python" ] || python=$("$1" python find --system --no-python-downloads '>=3.12,<3.15' 2>/dev/null) || python=3.13
    "$1" venv --quiet --python "$python" "$venv" ||
        fail "no Python 3.12, 3.13 or 3.14 was found on PATH or under pyenv, and uv could not download one; install one (Debian 13: apt-get install python3, pyenv: pyenv install 3.13) and run this again."
    say "setup: .venv with $("$venv/bin/python" --version) of $python"
}

usable_venv() { # Whether .venv works and was made in this very folder.
    fits "$venv/bin/python" || return 1
    [ ! -f "$stamp" ] || [ "$(head -n 1 "$stamp")" = "$root" ]
}

if [ -x "$venv/bin/rowhouse" ] && [ -f "$stamp" ] && [ "$(cat "$stamp")" = "$(wanted)" ] && fits "$venv/bin/python"; then
    exit 0
fi

found=$(find_python)
uv=$(find_uv "$found")
follow_pip "$(any_python "$found")"
usable_venv || make_venv "$uv" "$found"
rm -f "$stamp"
say "setup: installing what requirements.lock holds"
# Compiled now: where PYTHONDONTWRITEBYTECODE is set, every start of a command would compile it all anew.
"$uv" pip install --quiet --compile-bytecode --python "$venv/bin/python" --require-hashes -r requirements.lock ||
    fail "the packages of requirements.lock could not be installed; see the lines above."
"$uv" pip install --quiet --python "$venv/bin/python" --no-deps --no-build-isolation --editable . ||
    fail "the project itself could not be installed into .venv; see the lines above."
"$venv/bin/python" -m compileall -q platform tenants datasets importer exporter audit || true
wanted >"$stamp"
say "setup: done"
