#!/usr/bin/env bash
# Measures docs/tutorial.md's run again: a fresh project, three commands, and the run after the patch.
# Then write the new output into the page: pytest --overwrite tests/test_tutorial.py
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python}
project=${1:-$(mktemp -d)}/project
mkdir -p "$project" && cd "$project"
cp "$here/../../examples/remote_storage.py" train.py
git init -q . && printf 'results/\n' > .gitignore && git add . && git -c user.name=you -c user.email=you@example.org commit -qm start
"$python" -m gputune profile --budget 45 train.py 2> "$here/profile.txt"
cp "$(ls -d results/*/ | tail -n 1)run.json" "$here/before.json"
"$python" -m gputune export --format patch > "$here/train.patch" 2> "$here/export.txt"
git apply "$here/train.patch"
"$python" -m gputune profile --no-search --quiet train.py 2> /dev/null
cp "$(ls -d results/*/ | tail -n 1)run.json" "$here/after.json"
