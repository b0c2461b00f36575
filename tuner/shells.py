"""What the completion scripts of each shell have in common; ``@@name`` marks are filled by ``completion``."""

from __future__ import annotations

BASH = r"""# bash completion for gputune: source this, or put it into ~/.local/share/bash-completion/completions/gputune
_gputune_runs() {
    local folder
    printf 'last\n'
    for folder in results/*/run.json; do
        [[ -e $folder ]] && folder=${folder%/run.json} && printf '%s\n' "${folder#results/}"
    done
}
_gputune() {
    local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local options="" words=none choices="" position word
    COMPREPLY=()
    if ((COMP_CWORD == 1)); then
        COMPREPLY=($(compgen -W "@@verbs --help --version" -- "$current"))
        return
    fi
    if [[ ${COMP_WORDS[1]} == check || ${COMP_WORDS[1]} == profile || ${COMP_WORDS[1]} == run ]]; then
        # The first word that is no option of ours is the script; what follows belongs to it.
        for ((position = 2; position < COMP_CWORD; position++)); do
            word=${COMP_WORDS[position]}
            case $word in
            -m | --) return ;;
            -*) [[ $(_gputune_valued "${COMP_WORDS[1]}") == *" $word "* ]] && ((position++)) ;;
            *) return ;;
            esac
        done
    fi
    case ${COMP_WORDS[1]} in
@@cases    *) return ;;
    esac
    if [[ $current == -* ]]; then
        COMPREPLY=($(compgen -W "$options" -- "$current"))
    elif [[ $words == run ]]; then
        COMPREPLY=($(compgen -W "$(_gputune_runs)" -- "$current"))
    elif [[ $words == choice ]]; then
        COMPREPLY=($(compgen -W "$choices" -- "$current"))
    fi
}
_gputune_valued() {
    case $1 in
@@valued    esac
}
complete -o default -o bashdefault -F _gputune gputune
"""

ZSH = r"""#compdef gputune
# zsh completion for gputune: source this after compinit, or save it as _gputune in a folder of your $fpath
_gputune_runs() {
  local -a runs
  runs=(last results/*/run.json(N:h:t))
  compadd -a runs
}
_gputune() {
  local curcontext=$curcontext state line
  typeset -A opt_args
  _arguments -C '(- *)--help[show help]' '(- *)--version[show the version]' '1:verb:->verb' '*::argument:->argument'
  case $state in
  verb)
    local -a verbs
    verbs=(
@@verbs    )
    _describe verb verbs
    ;;
  argument)
    case $line[1] in
@@cases    esac
    ;;
  esac
}
if [[ ${zsh_eval_context[-1]} == loadautofunc ]]; then
  _gputune "$@"
else
  compdef _gputune gputune
fi
"""

FISH = r"""# fish completion for gputune: save as ~/.config/fish/completions/gputune.fish
function __gputune_at_verb
    test (count (commandline -opc)) -eq 1
end
function __gputune_in
    set -l words (commandline -opc)
    test (count $words) -gt 1; and contains -- $words[2] $argv
end
function __gputune_runs
    echo last
    for file in results/*/run.json
        basename (dirname $file)
    end
end
complete -c gputune -n __gputune_at_verb -f
complete -c gputune -n __gputune_at_verb -l version -d 'show the version'
@@lines
"""
