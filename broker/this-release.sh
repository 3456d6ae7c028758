#!/bin/sh
# Ends with code 2 and a line where this image was not made of the checkout in the folder $1: an image of an older
# release, or one from before config.yaml was edited. A folder that holds no checkout, or may not be read, says nothing.
set -eu
checkout=$1
if [ ! -r "$checkout/config.yaml" ] || [ ! -r "$checkout/broker/this-release.sh" ]; then
    echo "the compose files lie in no checkout that can be read: this image is taken as it is"
    exit 0
fi
find alembic.ini config.yaml requirements.lock setup.sh auth broker gateway movies notifications \
    -type f ! -name '*.pyc' -exec sha256sum {} + >/tmp/image
# What a new release adds changes one of the others, too.
differs=$(cd "$checkout" && sha256sum --check --quiet /tmp/image 2>/dev/null | sed -n '1s/: FAILED.*//p')
if [ -n "$differs" ]; then
    echo "this image is not of this checkout, where $differs is another: build it (docker-compose build, or up --build)" >&2
    exit 2
fi
echo "this image is of this checkout"
