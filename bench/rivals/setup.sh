#!/bin/bash
# Installs every rival on a fresh Debian 12 machine, as root. Safe to repeat: what is there already is kept.
# `setup.sh calls` leaves out what only the fan-out benchmark needs (Go, Pion, Janus).
# All that is not a Debian package lies in ${RIVALS_WORK:-$HOME/.cache/duet-rivals}; delete that folder to undo.
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
work=${RIVALS_WORK:-$HOME/.cache/duet-rivals}
fanout=yes
[ "${1:-}" = calls ] && fanout=no
mkdir -p "$work"/{bin,node,logs,results}
say() { printf '== %s\n' "$*"; }

say "Debian packages"
packages=(
  python3-psutil python3-numpy python3-venv iproute2 ffmpeg    # the kit itself
  chromium firefox-esr                                         # chromium, firefox
  gstreamer1.0-{nice,plugins-base,plugins-good,plugins-bad}
  python3-gst-1.0 gir1.2-gst-plugins-{base,bad}-1.0            # gst
)
[ $fanout = no ] || packages+=(janus golang-go golang-github-pion-webrtc.v3-dev)
command -v node >/dev/null || packages+=(nodejs)
command -v npm >/dev/null || packages+=(npm)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if ((${#missing[@]})); then
  [ "$(id -u)" = 0 ] || { say "run this as root once, to install: ${missing[*]}" >&2; exit 1; }
  apt-get -o DPkg::Lock::Timeout=900 update -q
  DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=900 install -yq --no-install-recommends "${missing[@]}"
fi

say "aiortc, in a virtual environment"
[ -x "$work/venv/bin/pip" ] || /usr/bin/python3 -m venv "$work/venv"
"$work/venv/bin/pip" install -q aiortc==1.16.0 numpy

say "wrtc and the driver of the browsers, from npm"
(cd "$work/node" && { [ -f package.json ] || echo '{"private": true}' > package.json; } &&
  npm install --silent --no-audit --no-fund @roamhq/wrtc@0.10.0 puppeteer-core@24.43.1)

[ $fanout = no ] || {
  say "pion: the fan-out server and the viewers"
  for program in server viewers; do
    GO111MODULE=off GOPATH=/usr/share/gocode GOCACHE="$work/go-cache" \
      go build -o "$work/bin/fanout-$program" "$here/fanout/$program.go"
  done
}

say "the clip: raw I420, and VP8 in IVF for the fan-out"
clip=$work/clip.i420
[ -s "$clip" ] || { /usr/bin/python3 "$here/clip.py" "$clip.part" && mv "$clip.part" "$clip"; }
[ $fanout = no ] || [ -s "$work/clip.ivf" ] || {
  ffmpeg -v error -y -stream_loop 9 -f rawvideo -pix_fmt yuv420p -s 1280x720 -r 30 -i "$clip" \
    -c:v libvpx -threads 1 -deadline realtime -cpu-used 8 -lag-in-frames 0 \
    -b:v 2M -minrate 2M -maxrate 2M -bufsize 1M -g 60 -f ivf "$work/clip.ivf.part"
  mv "$work/clip.ivf.part" "$work/clip.ivf"
}
say "ready: $work"
