#!/usr/bin/env bash
# Add a run to the history on the branch gh-pages, which is made if there is none: publish.sh RESULTS. Prints the run's table.
# GITHUB_TOKEN needs the right to write contents.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
results=$(cd "$1" && pwd) pages=$(mktemp -d)
cd "$root"
export GIT_CONFIG_COUNT=1 GIT_CONFIG_KEY_0="http.${GITHUB_SERVER_URL:-https://github.com}/.extraheader"
GIT_CONFIG_VALUE_0="AUTHORIZATION: basic $(printf 'x-access-token:%s' "${GITHUB_TOKEN:-}" | base64 --wrap=0)"
export GIT_CONFIG_VALUE_0
if [ -n "$(git ls-remote --heads origin gh-pages)" ]; then
  git fetch --quiet --depth=1 origin gh-pages
  git worktree add --quiet --detach "$pages" FETCH_HEAD
else
  git worktree add --quiet --detach "$pages"
  git -C "$pages" checkout --quiet --orphan gh-pages
  git -C "$pages" rm --quiet -r --force .
fi
python3 -P -c 'import sys; sys.path.insert(0, sys.argv.pop(1)); from tools.start_history.__main__ import main; sys.exit(main(sys.argv[1:]))' \
  "$root" "$results" "$pages/cold-start"
git -C "$pages" add cold-start
git -C "$pages" -c user.name="github-actions[bot]" -c user.email="41898282+github-actions[bot]@users.noreply.github.com" \
  commit --quiet --message "Cold starts of ${GITHUB_SHA:-this checkout}"
git -C "$pages" push --quiet origin HEAD:refs/heads/gh-pages
git worktree remove --force "$pages"
