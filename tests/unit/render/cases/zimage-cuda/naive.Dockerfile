# zimage (Z-Image-Turbo) as most people deploy it: the same weights, torch and transformers, loaded by the first request.
# `make bench` compares the baked image with it.
ARG BASE=python:3.11-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b
# Local wheels, if the builder has some: --build-context wheels=DIR replaces this stage by them.
FROM scratch AS wheels

FROM ${BASE} AS base

# pip is installed here, and never in the served image.
FROM base AS tools
RUN python3 -m venv /tools

FROM tools AS export-packages
RUN --mount=type=secret,id=ca --mount=type=secret,id=pip --mount=type=secret,id=client --mount=type=secret,id=netrc \
    --mount=type=secret,id=proxy --mount=type=cache,target=/root/.cache/pip \
    --mount=type=bind,from=wheels,target=/wheels \
    --mount=type=bind,source=requirements/export.txt,target=/requirements/export.txt \
    --mount=type=bind,source=requirements/torch-cpu.txt,target=/requirements/torch-cpu.txt \
    --mount=type=bind,source=requirements/torch-cuda.txt,target=/requirements/torch-cuda.txt \
    if [ -s /run/secrets/ca ]; then export PIP_CERT=/run/secrets/ca; fi; \
    if [ -s /run/secrets/pip ]; then export PIP_CONFIG_FILE=/run/secrets/pip; fi; \
    if [ -s /run/secrets/client ]; then export PIP_CLIENT_CERT=/run/secrets/client; fi; \
    if [ -s /run/secrets/netrc ]; then export NETRC=/run/secrets/netrc; fi; \
    if [ -s /run/secrets/proxy ]; then . /run/secrets/proxy; fi; \
    install() { /tools/bin/pip install --no-deps --require-hashes --no-compile \
      --find-links=/wheels --root-user-action=ignore --disable-pip-version-check --quiet --target=/opt/export --requirement="/requirements/$1"; }; \
    install export.txt \
    && (install torch-cpu.txt || install torch-cuda.txt) \
    && (python3 -m compileall -q -j 0 /opt/export || true)

FROM base AS naive
COPY --link --from=export-packages /opt/export /opt/export
COPY --link published/09aa042d0da4de43/models /checkpoint
COPY --link checkpoint /checkpoint
COPY --link naive /app
RUN python3 -m compileall -q /app
ENV PYTHONPATH=/app:/opt/export PYTHONUNBUFFERED=1 HF_HUB_OFFLINE=1 PREBAKE_NAIVE=images.zimage.naive
USER 65532:65532
EXPOSE 8000
ENTRYPOINT ["python3", "/app/serve.py"]
