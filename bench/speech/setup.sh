#!/usr/bin/env bash
# The speech, and what scores it, into a folder. Safe to repeat: what is there is kept.
#   bench/speech/setup.sh OUT
set -euo pipefail
cd "$(dirname "$0")"
out=$(realpath -m "$1")
mkdir -p "$out"
if [ ! -x "$out/venv/bin/pip" ]; then
  python3 -m venv "$out/venv"
fi
"$out/venv/bin/pip" install --quiet --disable-pip-version-check numpy==2.4.6 scipy==1.17.1 pesq==0.0.4
recordings=$out/package/usr/share/pocketsphinx/test/data/librivox
if [ ! -d "$recordings" ]; then
  (cd "$out" && apt-get download -qq pocketsphinx-testdata && dpkg-deb --extract pocketsphinx-testdata_*.deb package)
fi
"$out/venv/bin/python" -B speech.py prepare "$recordings" "$out"
