# Use the course's environment in this shell, bash or zsh:
#
#   source bin/activate-tinytorch.sh
#
# `python` is then the one that has tinytorch, `tito` works from any directory, and `deactivate` ends it.
# The first time, this makes the environment.

_tinytorch_activate() {
    local root shell
    if [ -n "${ZSH_VERSION:-}" ]; then
        shell=zsh
    elif [ -n "${BASH_VERSION:-}" ]; then
        shell=bash
    fi
    root=$(cd "$(dirname "$1")/.." && pwd -P) || return 1
    python3 "$root/bin/tito" --version >/dev/null || return 1
    . "$root/.venv/bin/activate" || return 1
    export PATH="$root/bin:$PATH"
    export JUPYTER_CONFIG_PATH="$root/etc/jupyter${JUPYTER_CONFIG_PATH:+:$JUPYTER_CONFIG_PATH}"
    if [ "$shell" = bash ] || { [ "$shell" = zsh ] && typeset -f compdef >/dev/null; }; then
        eval "$(_TITO_COMPLETE=${shell}_source tito)"
    fi
}

if [ -n "${ZSH_VERSION:-}" ]; then
    eval '_tinytorch_activate "${(%):-%x}"'
elif [ -n "${BASH_VERSION:-}" ] && [ "${BASH_SOURCE[0]}" != "$0" ]; then
    _tinytorch_activate "${BASH_SOURCE[0]}"
else
    echo "This file is to be sourced, by bash or zsh: source bin/activate-tinytorch.sh" >&2
    exit 1
fi
