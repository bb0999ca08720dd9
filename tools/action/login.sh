#!/usr/bin/env bash
# Log in to the registry for the rest of the job. Without a password (a fork has no secrets) nothing is done: public images can be
# read without one. GitHub's own registry takes the job's token.
set -euo pipefail
host=${REPOSITORY%%/*}
if [ "$host" = ghcr.io ] && [ -z "${REGISTRY_PASSWORD:-}" ]; then
  REGISTRY_USER=${GITHUB_ACTOR:-} REGISTRY_PASSWORD=${GITHUB_TOKEN:-}
fi
if [ -z "$host" ] || [ -z "${REGISTRY_PASSWORD:-}" ]; then
  echo "No login: no registry or no password is given."
  exit 0
fi
printf '%s' "$REGISTRY_PASSWORD" | docker login --username "$REGISTRY_USER" --password-stdin -- "$host"
echo "host=$host" >>"$GITHUB_OUTPUT"
