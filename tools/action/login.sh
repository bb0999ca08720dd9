#!/usr/bin/env bash
# Log in to the registry for the rest of the job. Without a password (a fork has no secrets) nothing is done: public images can be
# read without one. GitHub's own registry takes the job's token.
set -euo pipefail
host=${REPOSITORY%%/*}
if [ "$host" = ghcr.io ] && [ -z "${REGISTRY_PASSWORD:-}" ]; then
  REGISTRY_USER=${GITHUB_ACTOR:-} REGISTRY_PASSWORD=${GITHUB_TOKEN:-} by_token=true
fi
if [ -z "$host" ] || [ -z "${REGISTRY_PASSWORD:-}" ]; then
  echo "No login: no registry or no password is given."
  exit 0
fi
if printf '%s' "$REGISTRY_PASSWORD" | docker login --username "${REGISTRY_USER:-}" --password-stdin -- "$host"; then
  echo "host=$host" >>"${GITHUB_OUTPUT:-/dev/null}"
elif [ -n "${by_token:-}" ]; then
  echo "::warning title=No login::$host does not take the job's token; give the job the right packages: read, or write to push"
else
  exit 1
fi
