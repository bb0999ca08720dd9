#!/usr/bin/env bash
# Remove the credentials that login.sh stored: a runner of one's own keeps its home folder.
set -euo pipefail
docker logout -- "$HOST"
