#!/usr/bin/env bash
# Makes local stand-ins for the public images that docker/Dockerfile starts from, for a machine that
# can pull none. Elsewhere the public ones are pulled, and the Dockerfile is the same to the letter.
#   docker/base-images.sh IMAGE...    any of debian:bookworm-slim node:20-bookworm-slim rust:1.95-bookworm
# Needs debootstrap, a running engine, and the tools themselves (node, rustc) on this machine.
set -euo pipefail
work=$(mktemp -d -p /var/tmp)
trap 'rm -rf "$work"' EXIT

make_debian() {
  docker image inspect debian:bookworm-slim >/dev/null 2>&1 && return
  local mirror root=$work/root
  mirror=$({ grep -rhoE 'https?://[^ ]+/debian/?( |$)' /etc/apt/sources.list /etc/apt/sources.list.d 2>/dev/null || true; } | head -1 | tr -d ' ')
  mirror=${mirror:?no Debian mirror is configured in /etc/apt}
  debootstrap --variant=minbase --include=ca-certificates bookworm "$root" "$mirror" >"$work/debootstrap.log"
  rm -f "$root/etc/apt/sources.list"
  cp -a /etc/apt/sources.list "$root/etc/apt/" 2>/dev/null || true
  cp -a /etc/apt/sources.list.d/. "$root/etc/apt/sources.list.d/" 2>/dev/null || true
  cp -a /etc/apt/apt.conf.d/. "$root/etc/apt/apt.conf.d/" 2>/dev/null || true
  # The machine's own certificate authorities, so that package clients work inside a build.
  cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
  tar -C "$root" -c . | docker import -c 'CMD ["bash"]' \
    -c 'ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    -c 'ENV NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt' - debian:bookworm-slim
}

make_node() {
  mkdir -p "$work/node/lib"
  cp "$(readlink -f "$(command -v node)")" "$work/node/node"
  cp -r "$(npm root -g)/npm" "$work/node/lib/npm"
  cat >"$work/node/Dockerfile" <<'D'
FROM debian:bookworm-slim
COPY node /usr/local/bin/node
COPY lib/npm /usr/local/lib/node_modules/npm
RUN ln -s ../lib/node_modules/npm/bin/npm-cli.js /usr/local/bin/npm && npm --version
D
  docker build -q -t node:20-bookworm-slim "$work/node"
}

make_rust() {
  mkdir "$work/rust"
  tar -C "$(rustc --print sysroot)" --exclude=share/doc --exclude=share/man -cf "$work/rust/toolchain.tar" .
  cat >"$work/rust/Dockerfile" <<'D'
FROM debian:bookworm-slim
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ libc6-dev make pkg-config && rm -rf /var/lib/apt/lists/*
ADD toolchain.tar /usr/local/
ENV CARGO_HOME=/usr/local/cargo
D
  docker build -q -t rust:1.95-bookworm "$work/rust"
}

make_debian
for image in "$@"; do
  case "$image" in
    debian:bookworm-slim) ;;
    node:20-bookworm-slim) make_node ;;
    rust:1.95-bookworm) make_rust ;;
    *) echo "no stand-in is known for $image" >&2; exit 2 ;;
  esac
done
